//! The fully connected CRF as the product uses it: probabilities and the photograph in, sharper probabilities and a label
//! map out. The mathematics is the crate [`densecrf`]'s; here are the parameters that a user sets, and the judgement of
//! what goes in.
//!
//! `K` classes, `H x W` pixels. Probabilities are `[K, H, W]` in C order. The CRF knows no void: a photograph has none,
//! and what surrounds it while it goes through a network is cropped off before.

use densecrf::{BilateralKernel, Compatibility, CrfError, DenseCrf, GaussianKernel, Mode, Preset, Unary};
use serde::{Deserialize, Serialize};

use crate::environment::gib;
use crate::{Error, ErrorKind, Result};
use segdata::image::RgbImage;
use segdata::labels::{LabelMap, most_likely};

/// [`CLIP`] as it is for probabilities of 64 bits.
const CLIP_F64: f64 = 1e-5;

/// Probabilities are raised to at least this before their logarithm is taken, so that no class is ruled out by rounding
/// (pydensecrf's `unary_from_softmax`).
pub const CLIP: f32 = CLIP_F64 as f32;

/// Iterations that may be asked for. Mean field has usually settled after ten.
pub const MAX_ITERATIONS: usize = 1000;

/// Classes that a label map of one byte a pixel can name. Of 256 the last one has the id that elsewhere means void.
pub const MAX_CLASSES: usize = 256;

/// How far a pixel's probabilities may be from 1 in sum: twenty times what storing them in 16 bits can cost.
const SUM_TOLERANCE: f32 = 0.01;

/// Known sets of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CrfPreset {
    /// (3 px; 3) + (80 px, 13 colour steps; 10), 5 iterations: the released code of Kraehenbuehl & Koltun (2011).
    #[default]
    Paper,
    /// (10 px; 3) + (50 px, 20 colour steps; 10), 5 iterations: widely used with FCN-8s in TensorFlow.
    Reference,
}

/// What the CRF does: two kernels with Potts compatibility and symmetric normalisation, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrfParams {
    /// Mean-field iterations; 0 leaves the probabilities as they are.
    pub iterations: usize,
    /// Standard deviation of the smoothness kernel, pixels.
    pub gaussian_sxy: f32,
    /// Weight of the smoothness kernel.
    pub gaussian_compat: f32,
    /// Standard deviation of the appearance kernel in position, pixels.
    pub bilateral_sxy: f32,
    /// Standard deviation of the appearance kernel in colour, steps of 0 to 255.
    pub bilateral_srgb: f32,
    /// Weight of the appearance kernel.
    pub bilateral_compat: f32,
    /// Faster, and within 1e-4 of what pydensecrf gives, instead of equal to it.
    pub fast: bool,
}

impl Default for CrfParams {
    fn default() -> Self {
        CrfPreset::default().into()
    }
}

impl From<CrfPreset> for CrfParams {
    fn from(preset: CrfPreset) -> Self {
        let Preset { gaussian, bilateral, iterations } = match preset {
            CrfPreset::Paper => Preset::paper(),
            CrfPreset::Reference => Preset::reference_system(),
        };
        let weight = |compat: &Compatibility| if let Compatibility::Potts(w) = compat { *w } else { 0.0 };
        CrfParams {
            iterations,
            gaussian_sxy: gaussian.sigma_x_px,
            gaussian_compat: weight(&gaussian.compat),
            bilateral_sxy: bilateral.sigma_x_px,
            bilateral_srgb: bilateral.sigma_rgb[0],
            bilateral_compat: weight(&bilateral.compat),
            fast: false,
        }
    }
}

impl CrfParams {
    /// Refuses values that cannot work, naming each as its flag and its key are named.
    ///
    /// # Errors
    /// The first value out of range, as a fault of usage.
    pub fn validate(&self) -> Result<()> {
        if self.iterations > MAX_ITERATIONS {
            return Err(Error::usage(format!(
                "the CRF's iterations are {}; they must be between 0 and {MAX_ITERATIONS}",
                self.iterations
            ))
            .hint("more than 10 rarely change anything"));
        }
        let sigmas = [
            ("gaussian_sxy", self.gaussian_sxy),
            ("bilateral_sxy", self.bilateral_sxy),
            ("bilateral_srgb", self.bilateral_srgb),
        ];
        for (name, sigma) in sigmas {
            // The largest is beyond any image; much smaller ones than the smallest are refused by the lattice itself.
            if !(1e-3..=1e5).contains(&sigma) {
                return Err(Error::usage(format!(
                    "{name} is {sigma}; a standard deviation must be between 0.001 and 100000"
                )));
            }
        }
        for (name, weight) in [("gaussian_compat", self.gaussian_compat), ("bilateral_compat", self.bilateral_compat)] {
            if !(0.0..=1e6).contains(&weight) {
                return Err(Error::usage(format!("{name} is {weight}; a weight must be between 0 and 1000000"))
                    .hint("0 turns the kernel off"));
            }
        }
        Ok(())
    }

    /// Exact or fast arithmetic.
    pub fn mode(&self) -> Mode {
        if self.fast { Mode::Fast } else { Mode::Exact }
    }

    /// Adds both kernels to a CRF; a kernel of weight 0 is left out, since it would cost time and change nothing.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn add_kernels(&self, mut crf: DenseCrf, rgb_hwc: &[u8]) -> std::result::Result<DenseCrf, CrfError> {
        if self.gaussian_compat > 0.0 {
            crf = crf.add_gaussian(GaussianKernel::new(self.gaussian_sxy, self.gaussian_compat))?;
        }
        if self.bilateral_compat > 0.0 {
            let kernel = BilateralKernel::new(self.bilateral_sxy, self.bilateral_srgb, self.bilateral_compat);
            crf = crf.add_bilateral(kernel, rgb_hwc)?;
        }
        Ok(crf)
    }
}

/// What the CRF made of a prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Refined {
    /// The most probable class of each pixel; of equal ones the lowest id.
    pub labels: LabelMap,
    /// Probabilities after inference, `[K, H, W]`.
    pub probabilities: Vec<f32>,
}

/// Runs the CRF over the probabilities of one photograph, within [`memory_limit`].
///
/// `probabilities` are `[K, H, W]`, each 0 to 1 and every pixel's adding up to 1 within 0.01; they are clipped at
/// [`CLIP`] from below. The result is the same for any number of threads.
///
/// # Errors
/// Parameters out of range; sizes that do not go together, or values that are no probabilities; a
/// photograph that needs more memory than there is.
pub fn refine(params: &CrfParams, photo: &RgbImage, classes: usize, probabilities: &[f32]) -> Result<Refined> {
    refine_within(params, photo, classes, Unaries { probabilities, energies: None }, memory_limit())
}

/// What the CRF gets of each class and pixel, `[K, H, W]`.
#[derive(Clone, Copy, Debug)]
pub struct Unaries<'a> {
    /// Probabilities.
    pub probabilities: &'a [f32],
    /// Their energies ([`energy_of`]), where they were known more exactly than in 32 bits.
    pub energies: Option<&'a [f32]>,
}

/// The energy of a probability of 64 bits, as pydensecrf's `unary_from_softmax` computes it of such an array: clipped, the
/// logarithm in 64 bits, then rounded.
pub fn energy_of(probability: f64) -> f32 {
    -(probability.clamp(CLIP_F64, 1.0).ln()) as f32
}

/// [`refine`] within `limit_bytes`, the probabilities that went in and those that come out included.
///
/// # Errors
/// As [`refine`].
pub fn refine_within(
    params: &CrfParams,
    photo: &RgbImage,
    classes: usize,
    unaries: Unaries,
    limit_bytes: u64,
) -> Result<Refined> {
    let Unaries { probabilities, energies } = unaries;
    params.validate()?;
    let (width, height) = (photo.width, photo.height);
    let left = memory_left(params, [width, height], classes, limit_bytes)?;
    check_probabilities(probabilities, [width, height], classes)?;
    if params.iterations == 0 {
        let ids = most_likely(probabilities, classes).ok_or_else(|| Error::internal("a probability is not finite"))?;
        return Ok(Refined { labels: LabelMap { width, height, ids }, probabilities: probabilities.to_vec() });
    }
    let unary = energies.map_or(Unary::from_probabilities(probabilities, CLIP), Unary::from_energies);
    let marginals = DenseCrf::new(width, height, classes)
        .and_then(|crf| crf.mode(params.mode()).memory_limit(left).unary(unary))
        .and_then(|crf| params.add_kernels(crf, &photo.rgb_hwc))
        .and_then(|crf| crf.inference(params.iterations))
        .map_err(fault)?;
    let ids = marginals.map().into_iter().map(|id| id as u8).collect();
    Ok(Refined { labels: LabelMap { width, height, ids }, probabilities: marginals.to_chw() })
}

/// Checks size and memory before anything is allocated, or a file of probabilities is read; returns the bytes that are
/// left for inference. The kernels' own memory is known, and checked, when they are built.
///
/// # Errors
/// No class or too many; more memory than `limit_bytes` (with the estimate).
pub fn memory_left(params: &CrfParams, size: [usize; 2], classes: usize, limit_bytes: u64) -> Result<u64> {
    let [width, height] = size;
    if classes == 0 || classes > MAX_CLASSES {
        return Err(Error::data(format!(
            "the probabilities are of {classes} classes; a mask of 8 bits a pixel can name 1 to {MAX_CLASSES}"
        )));
    }
    let crf = DenseCrf::new(width, height, classes).map_err(fault)?.mode(params.mode());
    let arrays = 2 * 4 * (width * height * classes) as u64;
    let needed = arrays + crf.memory_estimate();
    if needed > limit_bytes {
        return Err(Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "a CRF over {width}x{height} pixels and {classes} classes needs at least {}, and {} may be used",
                gib(needed),
                gib(limit_bytes)
            ),
        )
        .hint(SMALLER));
    }
    Ok(limit_bytes - arrays)
}

/// The remedy where memory is short.
const SMALLER: &str = "scale the photograph down, cut it into parts, or leave classes out that do not occur";

/// Bytes that a CRF may use here: what the system says is available, at most 16 GiB.
pub fn memory_limit() -> u64 {
    let available = crate::environment::available_memory_bytes();
    available.map_or(densecrf::DEFAULT_MEMORY_LIMIT, |bytes| bytes.min(densecrf::DEFAULT_MEMORY_LIMIT))
}

/// Refuses an array that does not hold the probabilities of `classes` for each of `width x height` pixels: by its shape,
/// before its values are read.
///
/// # Errors
/// The shape found and the one expected, and what the mistake probably is.
pub fn check_shape(shape: &[usize], photo: [usize; 2]) -> Result<usize> {
    let [width, height] = photo;
    if let [classes, rows, columns] = *shape
        && [columns, rows] == [width, height]
    {
        return Ok(classes);
    }
    let remedy = match *shape {
        [h, w, _] if [w, h] == [width, height] => {
            "the classes come last: save np.ascontiguousarray(p.transpose(2, 0, 1))"
        }
        [_, w, h] if [w, h] == [width, height] => {
            "height and width are exchanged: save np.ascontiguousarray(p.transpose(0, 2, 1))"
        }
        [1, _, h, w] if [w, h] == [width, height] => "it is a batch of one image: save p[0]",
        [_, n] if n == width * height => "the pixels are in one row: save p.reshape(-1, height, width)",
        [_, _, _] => "predict this very photograph, at its own size, or give the photograph they were made from",
        _ => "expected three sides: classes, height, width",
    };
    Err(Error::data(format!(
        "the probabilities have the shape {shape:?}, and a photograph of {width}x{height} (width x height) needs [classes, {height}, {width}]"
    ))
    .hint(remedy))
}

/// Refuses values that are no probabilities, naming the first bad pixel.
fn check_probabilities(chw: &[f32], [width, height]: [usize; 2], classes: usize) -> Result<()> {
    let pixels = width * height;
    if chw.len() != classes * pixels {
        return Err(Error::data(format!(
            "{} probabilities for {classes} classes and a photograph of {width}x{height}, which need {}",
            chw.len(),
            classes * pixels
        )));
    }
    let mut sums = vec![0.0f32; pixels];
    for (class, plane) in chw.chunks_exact(pixels).enumerate() {
        let mut bad = None;
        for (i, (sum, &p)) in sums.iter_mut().zip(plane).enumerate() {
            // A softmax in 16 bits may exceed 1 by a rounding.
            if !(0.0..=1.001).contains(&p) && bad.is_none() {
                bad = Some((i, p));
            }
            *sum += p;
        }
        if let Some((i, p)) = bad {
            return Err(Error::data(format!(
                "the probability of class {class} at column {}, row {} is {p}; expected 0 to 1",
                i % width,
                i / width
            ))
            .hint("if these are scores (logits), take their softmax over the classes first"));
        }
    }
    match sums.iter().position(|sum| (sum - 1.0).abs() > SUM_TOLERANCE) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!(
            "the probabilities at column {}, row {} add up to {}; expected 1",
            i % width,
            i / width,
            sums[i]
        ))
        .hint("divide each pixel's values by their sum, or save the softmax over all classes")),
    }
}

/// Pixels at which two label maps of one size differ.
pub fn changed_pixels(before: &LabelMap, after: &LabelMap) -> u64 {
    before.ids.iter().zip(&after.ids).filter(|(a, b)| a != b).count() as u64
}

/// The crate's fault in the product's terms.
pub fn fault(error: CrfError) -> Error {
    let kind = match error {
        CrfError::Memory { .. } | CrfError::TooLarge { .. } => ErrorKind::OutOfMemory,
        CrfError::Sigma { .. } | CrfError::Compatibility { .. } | CrfError::KeyOverflow { .. } => ErrorKind::Usage,
        CrfError::Empty { .. } | CrfError::Size { .. } | CrfError::Probability { .. } | CrfError::Impossible { .. } => {
            ErrorKind::Data
        }
        _ => ErrorKind::Internal,
    };
    let message = match &error {
        CrfError::Memory { needed, limit } => {
            format!("the CRF would need {}, and {} may be used", gib(*needed), gib(*limit))
        }
        CrfError::TooLarge { width, height, .. } => {
            format!("a photograph of {width}x{height} pixels is larger than the CRF's 32-bit indices allow")
        }
        other => other.to_string(),
    };
    let error = Error::new(kind, message);
    if kind == ErrorKind::OutOfMemory { error.hint(SMALLER) } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segdata::rng::{Purpose, Rng};
    use segdata::size::Size;

    /// A photograph of two colours, left and right, and probabilities that find the edge only roughly.
    fn scene(width: usize, height: usize, classes: usize) -> (RgbImage, Vec<f32>) {
        let mut rng = Rng::derive(5, Purpose::Bench, &[width as u64, height as u64, classes as u64]);
        let mut photo = RgbImage::filled(Size { width, height }, [30, 60, 90]);
        for (i, pixel) in photo.rgb_hwc.chunks_exact_mut(3).enumerate() {
            if i % width >= width / 2 {
                pixel.copy_from_slice(&[200, 180, 40]);
            }
        }
        let pixels = width * height;
        let mut chw = vec![0.0; classes * pixels];
        for i in 0..pixels {
            let right = usize::from(i % width >= width / 2) % classes;
            let weights: Vec<f32> =
                (0..classes).map(|c| rng.between(0.1, 1.0) + if c == right { 0.6 } else { 0.0 }).collect();
            let sum: f32 = weights.iter().sum();
            (0..classes).for_each(|c| chw[c * pixels + i] = weights[c] / sum);
        }
        (photo, chw)
    }

    #[test]
    fn noise_is_cleaned_along_the_edge_of_the_photograph() {
        let (photo, chw) = scene(40, 30, 3);
        let before = most_likely(&chw, 3).unwrap();
        let refined = refine(&CrfParams::default(), &photo, 3, &chw).unwrap();
        let wrong = |ids: &[u8]| ids.iter().enumerate().filter(|(i, id)| **id != u8::from(i % 40 >= 20)).count();
        assert!(wrong(&before) > 100 && wrong(&refined.labels.ids) == 0, "{} before", wrong(&before));
        assert_eq!(most_likely(&refined.probabilities, 3).unwrap(), refined.labels.ids);
        let changed = changed_pixels(&LabelMap { width: 40, height: 30, ids: before.clone() }, &refined.labels);
        assert_eq!(changed, wrong(&before) as u64);
    }

    #[test]
    fn energies_of_64_bits_are_pydensecrf_s() {
        // pydensecrf2 1.1 and numpy 2.4.6: unary_from_softmax of an array of float64.
        let cases: [(f64, u32); 8] = [
            (0.0, 0x4138_34f1),
            (1e-6, 0x4138_34f1),
            (1e-5, 0x4138_34f1),
            (1.0 / 3.0, 0x3f8c_9f54),
            (0.1, 0x4013_5d8e),
            (0.5, 0x3f31_7218),
            (0.999_999_999, 0x3089_705f),
            (1.0, 0x8000_0000),
        ];
        for (probability, bits) in cases {
            assert_eq!(energy_of(probability).to_bits(), bits, "{probability}");
        }
    }

    #[test]
    fn no_iteration_and_no_weight_change_nothing() {
        let (photo, chw) = scene(17, 9, 4);
        let none = CrfParams { iterations: 0, ..CrfParams::default() };
        let refined = refine(&none, &photo, 4, &chw).unwrap();
        assert_eq!(refined.probabilities, chw);
        assert_eq!(refined.labels.ids, most_likely(&chw, 4).unwrap());
        let weightless = CrfParams { gaussian_compat: 0.0, bilateral_compat: 0.0, ..CrfParams::default() };
        let refined = refine(&weightless, &photo, 4, &chw).unwrap();
        let worst = refined.probabilities.iter().zip(&chw).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst}");
    }

    #[test]
    fn any_size_and_any_number_of_classes_gives_probabilities() {
        for (width, height, classes) in [(1, 1, 1), (1, 1, 21), (23, 1, 2), (8, 8, 1), (16, 12, 256), (5, 7, 255)] {
            for fast in [false, true] {
                let (photo, chw) = scene(width, height, classes);
                let params = CrfParams { fast, ..CrfParams::default() };
                let refined = refine(&params, &photo, classes, &chw).unwrap();
                assert_eq!(refined.labels.ids.len(), width * height);
                let name = format!("{width}x{height}, {classes} classes, fast {fast}");
                check_probabilities(&refined.probabilities, [width, height], classes).expect(&name);
            }
        }
    }

    #[test]
    fn values_that_are_no_probabilities_are_named_with_their_place() {
        let (photo, good) = scene(6, 4, 2);
        let with = |values: &[(usize, f32)]| {
            let mut chw = good.clone();
            values.iter().for_each(|&(at, value)| chw[at] = value);
            chw
        };
        // Index 24 + 8: class 1, column 2, row 1.
        let cases = [
            (with(&[(32, f32::NAN)]), "class 1 at column 2, row 1 is NaN"),
            (with(&[(32, f32::INFINITY)]), "is inf"),
            (with(&[(8, -0.2), (32, 1.2)]), "class 0 at column 2, row 1 is -0.2"),
            (with(&[(8, 3.5)]), "is 3.5; expected 0 to 1"),
            (with(&[(8, 0.1), (32, 0.2)]), "column 2, row 1 add up to 0.3"),
            (with(&[(8, 0.0), (32, 0.0)]), "add up to 0;"),
            (good[1..].to_vec(), "47 probabilities for 2 classes"),
        ];
        for (chw, expected) in cases {
            let error = refine(&CrfParams::default(), &photo, 2, &chw).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Data, "{expected}");
            assert!(error.message.contains(expected), "{expected}: {}", error.message);
        }
        // Exact zeros and the rounding of 16 bits are no fault.
        let fine = with(&[(8, 0.0), (32, 1.0), (9, 0.5004), (33, 0.4992)]);
        refine(&CrfParams::default(), &photo, 2, &fine).unwrap();
    }

    #[test]
    fn shapes_that_do_not_fit_are_told_from_one_another() {
        let photo = [500, 375];
        assert_eq!(check_shape(&[21, 375, 500], photo).unwrap(), 21);
        let cases: [(&[usize], &str); 6] = [
            (&[375, 500, 21], "transpose(2, 0, 1)"),
            (&[21, 500, 375], "transpose(0, 2, 1)"),
            (&[1, 21, 375, 500], "p[0]"),
            (&[21, 187_500], "reshape"),
            (&[21, 224, 224], "this very photograph"),
            (&[375], "three sides"),
        ];
        for (shape, hint) in cases {
            let error = check_shape(shape, photo).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Data);
            assert!(error.hint.as_deref().is_some_and(|h| h.contains(hint)), "{shape:?}: {:?}", error.hint);
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused_by_name() {
        let fine = CrfParams::default();
        let cases = [
            (CrfParams { iterations: 1_000_000_000, ..fine }, "iterations are 1000000000"),
            (CrfParams { gaussian_sxy: 0.0, ..fine }, "gaussian_sxy is 0"),
            (CrfParams { bilateral_sxy: -1.0, ..fine }, "bilateral_sxy is -1"),
            (CrfParams { bilateral_srgb: f32::NAN, ..fine }, "bilateral_srgb is NaN"),
            (CrfParams { gaussian_compat: f32::INFINITY, ..fine }, "gaussian_compat is inf"),
            (CrfParams { bilateral_compat: -3.0, ..fine }, "bilateral_compat is -3"),
            // In range, and still too small for the lattice over this photograph.
            (CrfParams { bilateral_srgb: 0.001, ..fine }, "16 bits end at"),
        ];
        let (photo, chw) = scene(8, 6, 2);
        for (params, expected) in cases {
            let error = refine(&params, &photo, 2, &chw).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Usage, "{expected}");
            assert!(error.message.contains(expected), "{expected}: {}", error.message);
        }
    }

    #[test]
    fn too_much_memory_is_refused_before_the_probabilities_are_looked_at() {
        let fine = CrfParams::default();
        let error = memory_left(&fine, [20_000, 20_000], 21, 16 << 30).unwrap_err();
        assert_eq!(error.kind, ErrorKind::OutOfMemory);
        assert!(error.message.contains("needs at least 93.9 GiB, and 16.0 GiB"), "{}", error.message);
        assert_eq!(memory_left(&fine, [40_000, 40_000], 2, 16 << 30).unwrap_err().kind, ErrorKind::OutOfMemory);
        assert_eq!(memory_left(&fine, [10, 10], 257, 16 << 30).unwrap_err().kind, ErrorKind::Data);
        assert_eq!(memory_left(&fine, [10, 10], 0, 16 << 30).unwrap_err().kind, ErrorKind::Data);
        // Enough for the arrays, too little for the lattices.
        let (photo, chw) = scene(64, 64, 2);
        let error =
            refine_within(&fine, &photo, 2, Unaries { probabilities: &chw, energies: None }, 400_000).unwrap_err();
        assert_eq!((error.kind, error.hint.as_deref()), (ErrorKind::OutOfMemory, Some(SMALLER)));
    }

    #[test]
    fn the_presets_are_those_of_the_literature() {
        let paper = CrfParams {
            iterations: 5,
            gaussian_sxy: 3.0,
            gaussian_compat: 3.0,
            bilateral_sxy: 80.0,
            bilateral_srgb: 13.0,
            bilateral_compat: 10.0,
            fast: false,
        };
        assert_eq!(CrfParams::default(), paper);
        let other = CrfParams { gaussian_sxy: 10.0, bilateral_sxy: 50.0, bilateral_srgb: 20.0, ..paper };
        assert_eq!(CrfParams::from(CrfPreset::Reference), other);
    }
}
