//! The CRF as the caller sees it: pose, add kernels, infer.

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::error::CrfError;
use crate::lattice::embed::Features;
use crate::lattice::permutohedral::PermutohedralLattice;
use crate::mean_field::solver::{Pairwise, Solver, row_shape};
use crate::params::{BilateralKernel, Compatibility, GaussianKernel, Mode, Normalization, Preset, check_sigma};
use crate::simd::{Level, WIDEST};
use crate::unary::{Unary, check_size, planes};

/// The memory limit of a CRF for which [`DenseCrf::memory_limit`] was not called: 16 GiB.
pub const DEFAULT_MEMORY_LIMIT: u64 = 16 << 30;

/// A fully connected CRF over an image of W x H pixels and C labels.
///
/// Work is spread over the rayon pool that the caller is in: use `ThreadPool::install` to choose the number of threads.
pub struct DenseCrf {
    width: usize,
    height: usize,
    labels: usize,
    /// Negative energies, \[N, C\], and `WIDEST` values that are read but mean nothing; empty before `unary`.
    scores: Aligned<f32>,
    kernels: Vec<Pairwise>,
    mode: Mode,
    memory_limit: u64,
    level: Level,
}

impl std::fmt::Debug for DenseCrf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (size, kernels) = ((self.width, self.height), self.kernels.len());
        f.debug_struct("DenseCrf")
            .field("size", &size)
            .field("labels", &self.labels)
            .field("kernels", &kernels)
            .finish_non_exhaustive()
    }
}

impl DenseCrf {
    /// A CRF without energies or kernels. At most 65536 labels and 2^32 / 6 pixels.
    pub fn new(width: usize, height: usize, labels: usize) -> Result<Self, CrfError> {
        if width == 0 || height == 0 || labels == 0 {
            return Err(CrfError::Empty { width, height, labels });
        }
        if labels > 1 << 16 {
            return Err(CrfError::TooManyLabels { labels });
        }
        let (needed, limit) = (width as u128 * height as u128 * 6, u64::from(u32::MAX));
        if needed > u128::from(limit) {
            return Err(CrfError::TooLarge { of: "simplex vertices", width, height, needed, limit });
        }
        Ok(Self {
            width,
            height,
            labels,
            scores: Aligned::zeroed(0),
            kernels: Vec::new(),
            mode: Mode::default(),
            memory_limit: DEFAULT_MEMORY_LIMIT,
            level: Level::best(),
        })
    }

    /// Chooses between exact and fast arithmetic.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Bytes that may be used at a time, by estimate; [`DEFAULT_MEMORY_LIMIT`] at first. Call it before `unary`.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Sets the unary energies.
    pub fn unary(mut self, unary: Unary<'_>) -> Result<Self, CrfError> {
        self.check_memory(0)?;
        self.scores = unary.scores(self.width, self.height, self.labels, WIDEST)?;
        Ok(self)
    }

    /// Adds a smoothness kernel. Kernels act in the order in which they are added.
    pub fn add_gaussian(self, kernel: GaussianKernel) -> Result<Self, CrfError> {
        let GaussianKernel { sigma_x_px, sigma_y_px, compat, normalization } = kernel;
        self.add([sigma_x_px, sigma_y_px], &[], &[], compat, normalization)
    }

    /// Adds an appearance kernel over an 8-bit picture, \[H, W, 3\] in the order red, green, blue.
    pub fn add_bilateral(self, kernel: BilateralKernel, rgb: &[u8]) -> Result<Self, CrfError> {
        let BilateralKernel { sigma_x_px, sigma_y_px, sigma_rgb, compat, normalization } = kernel;
        check_size("the picture", rgb.len(), self.width, self.height, 3, "expected 8-bit RGB, [height, width, 3]")?;
        self.add([sigma_x_px, sigma_y_px], &sigma_rgb, rgb, compat, normalization)
    }

    /// Adds both kernels of a preset; its number of iterations goes to [`DenseCrf::inference`].
    pub fn add_preset(self, preset: Preset, rgb: &[u8]) -> Result<Self, CrfError> {
        self.add_gaussian(preset.gaussian)?.add_bilateral(preset.bilateral, rgb)
    }

    fn add(
        mut self,
        sigma_xy: [f32; 2],
        sigma_rgb: &[f32],
        rgb: &[u8],
        compat: Compatibility,
        normalization: Normalization,
    ) -> Result<Self, CrfError> {
        let names = ["sigma_x_px", "sigma_y_px", "sigma of red", "sigma of green", "sigma of blue"];
        for (name, &sigma) in names.into_iter().zip(sigma_xy.iter().chain(sigma_rgb)) {
            check_sigma(name, sigma)?;
        }
        compat.check(self.labels)?;
        self.check_memory(1 + self.kernels.len())?;
        let features = Features::new(self.width, self.height, sigma_xy, sigma_rgb, rgb);
        let lattice = PermutohedralLattice::new(&features, !sigma_rgb.is_empty(), self.level)?;
        self.kernels.push(Pairwise::new(lattice, compat.symmetric(self.labels), normalization));
        Ok(self)
    }

    /// Estimated peak bytes of inference, without the caller's own arrays. Kernels count once they are added.
    pub fn memory_estimate(&self) -> u64 {
        self.estimate(self.kernels.len())
    }

    fn estimate(&self, kernels: usize) -> u64 {
        let pixels = (self.width * self.height) as u64;
        let row = 4 * row_shape(self.labels).1 as u64;
        let vertices: u64 = self.kernels.iter().map(|k| k.vertices() as u64).sum();
        // Scores; per kernel six corners of 8 bytes and a scale factor; two sets of lattice values.
        pixels * (4 * self.labels as u64 + kernels as u64 * 52) + 2 * vertices * row
    }

    fn check_memory(&self, kernels: usize) -> Result<(), CrfError> {
        let (needed, limit) = (self.estimate(kernels), self.memory_limit);
        if needed > limit { Err(CrfError::Memory { needed, limit }) } else { Ok(()) }
    }

    /// Does now what the first `inference` would otherwise do first: the normalisations. Useful for timing.
    pub fn prepare(&self) {
        self.solver().prepare();
    }

    fn solver(&self) -> Solver<'_> {
        let Self { labels, level, mode, .. } = *self;
        Solver { labels, pixels: self.width * self.height, kernels: &self.kernels, level, mode }
    }

    /// Mean-field inference. Zero iterations give the softmax of the negative energies.
    ///
    /// The result takes the place of the energies in memory, which is why this is the end of the problem.
    pub fn inference(mut self, iterations: usize) -> Result<Marginals, CrfError> {
        if self.scores.is_empty() {
            return Err(CrfError::MissingUnary);
        }
        self.check_memory(self.kernels.len())?;
        let mut rows = std::mem::replace(&mut self.scores, Aligned::zeroed(0));
        self.solver().infer(&mut rows, iterations);
        Ok(Marginals { labels: self.labels, rows })
    }
}

/// The probability of each label at each pixel after inference.
#[derive(Debug, Clone, PartialEq)]
pub struct Marginals {
    labels: usize,
    /// \[N, C\]
    rows: Aligned<f32>,
}

impl Marginals {
    /// Probabilities, \[C, H, W\].
    pub fn to_chw(&self) -> Vec<f32> {
        planes(&self.rows, self.labels)
    }

    /// The likeliest label of each pixel, \[H, W\]; of equally likely ones the first.
    pub fn map(&self) -> Vec<u16> {
        let best = |row: &[f32]| {
            let larger = |best: usize, l: usize| if row[l] > row[best] { l } else { best };
            (1..self.labels).fold(0, larger) as u16
        };
        self.rows.par_chunks_exact(self.labels).with_min_len(4096).map(best).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    /// \[C, N\] from \[N, C\].
    fn transposed(rows: &[f32], labels: usize) -> Vec<f32> {
        (0..rows.len()).map(|i| rows[i % (rows.len() / labels) * labels + i / (rows.len() / labels)]).collect()
    }

    prop_compose! {
        fn problem()(width in 1..24_usize, height in 1..20_usize, labels in prop::sample::select(vec![1, 2, 3, 4, 5, 8, 13, 21, 33, 50]))(
            energies in prop::collection::vec(0.0..6.0_f32, width * height * labels),
            rgb in prop::collection::vec(any::<u8>(), width * height * 3),
            sigmas in prop::array::uniform5(0.6..40.0_f32),
            price in prop_oneof![
                (-4.0..12.0_f32).prop_map(Compatibility::Potts),
                prop::collection::vec(-5.0..2.0_f32, labels).prop_map(Compatibility::Diagonal),
                prop::collection::vec(-5.0..2.0_f32, labels * labels).prop_map(Compatibility::Matrix),
            ],
            normalization in prop::sample::select(vec![Normalization::Symmetric, Normalization::Before, Normalization::After]),
            iterations in 0..5_usize,
            width in Just(width), height in Just(height), labels in Just(labels),
        ) -> (usize, usize, usize, Vec<f32>, Vec<u8>, [f32; 5], Compatibility, Normalization, usize) {
            (width, height, labels, energies, rgb, sigmas, price, normalization, iterations)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn any_level_and_number_of_threads_gives_the_oracles_bits(
            (width, height, labels, energies, rgb, sigmas, compat, normalization, iterations) in problem()
        ) {
            let features = |n: usize| oracle::features(width, height, &sigmas[..n], &rgb);
            let slow = [2, 5].map(|n| oracle::Pairwise::new(&features(n), compat.clone().symmetric(labels), normalization));
            let scores = Unary::from_energies(&energies).scores(width, height, labels, 0).expect("valid");
            let expected = transposed(&oracle::infer(&scores, labels, &slow, iterations), labels);
            let mut fast_on_one_thread = Vec::new();
            for (level, threads) in Level::available().flat_map(|l| [1, 2, 4].map(|t| (l, t))) {
                let infer = |mode| pool(threads).install(|| {
                    let mut crf = DenseCrf::new(width, height, labels)?.mode(mode);
                    crf.level = level;
                    let [sigma_x_px, sigma_y_px, r, g, b] = sigmas;
                    let (sigma_rgb, c) = ([r, g, b], compat.clone());
                    let gaussian = GaussianKernel { sigma_x_px, sigma_y_px, compat: c.clone(), normalization };
                    let bilateral = BilateralKernel { sigma_x_px, sigma_y_px, sigma_rgb, compat: c, normalization };
                    crf.unary(Unary::from_energies(&energies))?
                        .add_gaussian(gaussian)?
                        .add_bilateral(bilateral, &rgb)?
                        .inference(iterations)
                });
                let exact = infer(Mode::Exact).expect("valid").to_chw();
                prop_assert_eq!(bits(&exact), bits(&expected), "{:?}, {} threads", level, threads);
                let fast = infer(Mode::Fast).expect("valid").to_chw();
                let worst = fast.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                prop_assert!(worst < 1e-4, "{:?}, {} threads: {}", level, threads, worst);
                if threads == 1 {
                    fast_on_one_thread = bits(&fast);
                }
                prop_assert_eq!(bits(&fast), fast_on_one_thread.clone(), "{:?}, {} threads, fast", level, threads);
            }
        }

        #[test]
        fn extreme_energies_and_prices_give_probabilities(
            labels in 1..6_usize,
            energies in prop::collection::vec(prop_oneof![Just(1e30_f32), Just(-1e30), Just(0.0), -90.0..90.0_f32], 60),
            price in prop_oneof![Just(1e30_f32), Just(-1e30), Just(0.0), -5.0..5.0_f32],
            value in any::<u8>(),
            normalization in prop::sample::select(vec![Normalization::Symmetric, Normalization::After, Normalization::None]),
            iterations in 0..4_usize,
        ) {
            let compat = Compatibility::Potts(price);
            let kernel = GaussianKernel { compat, normalization, ..GaussianKernel::default() };
            for mode in [Mode::Exact, Mode::Fast] {
                let q = DenseCrf::new(4, 3, labels)
                    .and_then(|c| c.mode(mode).unary(Unary::from_energies(&energies[..12 * labels])))
                    .and_then(|c| c.add_gaussian(kernel.clone()))
                    .and_then(|c| c.add_bilateral(BilateralKernel::default(), &[value; 36]))
                    .and_then(|c| c.inference(iterations))
                    .expect("valid")
                    .to_chw();
                prop_assert!(q.iter().all(|v| (0.0..=1.0).contains(v)), "{:?}: {:?}", mode, q);
            }
        }
    }

    #[test]
    fn every_fault_of_a_problem_has_its_name() {
        let crf = |w, h, c| DenseCrf::new(w, h, c);
        let ready = || crf(4, 3, 2).and_then(|c| c.unary(Unary::from_energies(&[1.0; 24]))).expect("valid");
        let wrong_rgb = ready().add_bilateral(BilateralKernel::default(), &[0; 35]);
        let faults = [
            ("empty", matches!(crf(4, 0, 2), Err(CrfError::Empty { height: 0, .. }))),
            ("labels", matches!(crf(4, 3, 70_000), Err(CrfError::TooManyLabels { labels: 70_000 }))),
            ("large", matches!(crf(30_000, 30_000, 21), Err(CrfError::TooLarge { .. }))),
            ("largest", matches!(crf(usize::MAX, usize::MAX, 21), Err(CrfError::TooLarge { .. }))),
            ("unary", matches!(crf(4, 3, 2).and_then(|c| c.inference(1)), Err(CrfError::MissingUnary))),
            ("rgb", matches!(wrong_rgb, Err(CrfError::Size { found: 35, expected: 36, .. }))),
            (
                "sigma",
                matches!(
                    ready().add_gaussian(GaussianKernel::new(0.0, 3.0)),
                    Err(CrfError::Sigma { name: "sigma_x_px", .. })
                ),
            ),
            (
                "overflow",
                matches!(
                    ready().add_bilateral(BilateralKernel::new(80.0, 1e-3, 3.0), &[255; 36]),
                    Err(CrfError::KeyOverflow { .. })
                ),
            ),
            (
                "memory",
                matches!(
                    crf(20_000, 20_000, 21).and_then(|c| c.unary(Unary::from_energies(&[]))),
                    Err(CrfError::Memory { .. })
                ),
            ),
            (
                "lattice memory",
                matches!(
                    ready().memory_limit(500).add_gaussian(GaussianKernel::default()),
                    Err(CrfError::Memory { limit: 500, .. })
                ),
            ),
        ];
        let unnamed: Vec<_> = faults.iter().filter(|f| !f.1).map(|f| f.0).collect();
        assert!(unnamed.is_empty(), "{unnamed:?}");
    }

    #[test]
    fn the_map_takes_the_first_of_equal_labels() {
        let energies = [1.0, 2.0, 5.0, 1.0, 0.5, 5.0];
        let crf = DenseCrf::new(3, 1, 2).and_then(|c| c.unary(Unary::from_energies(&energies))).expect("valid");
        assert_eq!(crf.inference(0).expect("valid").map(), [0, 1, 0]);
    }

    #[test]
    fn one_label_is_certain_and_no_iterations_are_the_softmax() {
        let infer = |labels, iterations, energies: &[f32]| {
            DenseCrf::new(3, 2, labels)
                .and_then(|c| c.unary(Unary::from_energies(energies)))
                .and_then(|c| c.add_preset(Preset::paper(), &[200; 18]))
                .and_then(|c| c.inference(iterations))
                .expect("valid")
                .to_chw()
        };
        for iterations in [0, 1, 5] {
            assert_eq!(infer(1, iterations, &[-3.0, 0.0, 5.0, 1e30, -1e30, 7.0]), [1.0; 6]);
        }
        let q = infer(2, 0, &[1.0; 12].map(|v: f32| v * 2.0));
        assert_eq!(q, [0.5; 12]);
    }

    #[test]
    fn impossible_labels_and_many_labels_stay_finite() {
        for labels in [2, 5, 256] {
            let mut energies: Vec<f32> = (0..35 * labels).map(|i| (i * 7919 % 83) as f32).collect();
            energies[3..20].fill(f32::INFINITY);
            for mode in [Mode::Exact, Mode::Fast] {
                let q = DenseCrf::new(7, 5, labels)
                    .and_then(|c| c.unary(Unary::from_energies(&energies)))
                    .and_then(|c| c.mode(mode).add_preset(Preset::paper(), &[7; 105]))
                    .and_then(|c| c.inference(10))
                    .expect("valid")
                    .to_chw();
                assert!(q.iter().all(|v| (0.0..=1.0).contains(v)), "{labels} labels, {mode:?}");
                assert!(q[3..20].iter().all(|v| *v == 0.0), "{labels} labels, {mode:?}");
            }
        }
    }
}
