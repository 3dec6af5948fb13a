//! The front door: a convolution of fixed sizes, forward and backward.

use rayon::prelude::*;

use crate::direct::{self, DirectWeights, RawWeights, Source};
use crate::kernel::scratch::Scratch;
use crate::kernel::simd::{Isa, Precision};
use crate::pool::{Border, MaxPool};
use crate::shape::{Conv2dShape, Geometry, ShapeError, check_len};
use crate::small_maps;
use crate::winograd::{self, WinogradWeights};

/// How exactness is traded for speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Algorithm {
    /// Convolution by its definition: relative rms error about 2e-7, as any plain f32 sum.
    Direct,
    /// Fewer multiplications where that costs little accuracy.
    Accurate,
    /// Fewest multiplications.
    Fast,
}

/// What a forward pass is for. Gradients are always those of [`Purpose::Training`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Errors go into gradients and so into the next step: 3x3 is F(4, 3).
    Training,
    /// Errors are seen once: with [`Algorithm::Fast`] 3x3 is F(6, 3), at about four times the error, where that is faster:
    /// from 64 to 128 channels, and not from fewer to more of them.
    Inference,
}

/// What is applied to a sum before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// max(0, x).
    Relu,
}

impl Activation {
    /// The smallest value it lets through.
    pub(crate) fn floor(self) -> f32 {
        match self {
            Activation::Identity => f32::NEG_INFINITY,
            Activation::Relu => 0.0,
        }
    }
}

/// What becomes of the sums before they are stored.
#[derive(Clone, Copy)]
pub(crate) struct After<'a> {
    /// Added to each channel, `[K]`.
    pub bias: Option<&'a [f32]>,
    /// Applied then.
    pub activation: Activation,
    /// Then the maximum over windows of 2x2 pixels.
    pub pool: Option<Border>,
}

impl After<'_> {
    /// Nothing.
    pub(crate) const NOTHING: After<'static> = After { bias: None, activation: Activation::Identity, pool: None };

    /// The sizes of what is stored.
    pub(crate) fn out_size(&self, g: &Geometry) -> [usize; 4] {
        let [height, width] = self.pool.map_or(g.out_size, |border| border.out_size(g.out_size));
        [g.batch, g.out_channels, height, width]
    }

    /// The size that maxima are taken of, if they are.
    pub(crate) fn pooled_from(&self, g: &Geometry) -> Option<[usize; 2]> {
        self.pool.map(|_| g.out_size)
    }

    /// A side of what is stored for a tile of `tile` pixels a side.
    pub(crate) fn cell(&self, tile: usize) -> usize {
        if self.pool.is_some() { tile / 2 } else { tile }
    }
}

/// A two-dimensional convolution with stride 1: checked sizes and a choice of algorithm.
///
/// Making one costs nothing, so it need not be kept.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    shape: Conv2dShape,
    algorithm: Algorithm,
    purpose: Purpose,
    precision: Precision,
    pool: Option<Border>,
    isa: Isa,
}

/// Weights in the layout and domain of the kernels, for many forward passes with the same weights.
pub struct PreparedWeights {
    weights: Weights,
    /// The sizes that fix the layout: K, C and the kernel.
    key: [usize; 4],
}

/// Weights in the layout of a method.
enum Weights {
    Direct(DirectWeights),
    Winograd43(WinogradWeights),
    Winograd63(WinogradWeights),
    Winograd27(WinogradWeights),
    Winograd47(WinogradWeights),
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// By its definition.
    Direct,
    /// F(4, 3).
    Winograd43,
    /// F(6, 3).
    Winograd63,
    /// F(2, 7).
    Winograd27,
    /// F(4, 7).
    Winograd47,
}

/// Whether weights are used as they are or turned by 180 degrees with their channels exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turned {
    No,
    Yes,
}

impl Weights {
    fn forward(method: Method, precision: Precision, isa: Isa, g: &Geometry, w: &[f32]) -> Weights {
        match method {
            Method::Direct => Weights::Direct(DirectWeights::new(isa, RawWeights::new(g, w, false), precision)),
            Method::Winograd43 => Weights::Winograd43(WinogradWeights::forward::<6, 3>(isa, g, w, precision)),
            Method::Winograd63 => Weights::Winograd63(WinogradWeights::forward::<8, 3>(isa, g, w, precision)),
            Method::Winograd27 => Weights::Winograd27(WinogradWeights::forward::<8, 7>(isa, g, w, precision)),
            Method::Winograd47 => Weights::Winograd47(WinogradWeights::forward::<10, 7>(isa, g, w, precision)),
        }
    }

    fn transposed(method: Method, isa: Isa, g: &Geometry, w: &[f32]) -> Weights {
        match method {
            Method::Direct => Weights::Direct(DirectWeights::new(isa, RawWeights::new(g, w, true), Precision::F32)),
            Method::Winograd43 => Weights::Winograd43(WinogradWeights::transposed::<6, 3>(isa, g, w)),
            Method::Winograd63 => Weights::Winograd63(WinogradWeights::transposed::<8, 3>(isa, g, w)),
            Method::Winograd27 => Weights::Winograd27(WinogradWeights::transposed::<8, 7>(isa, g, w)),
            Method::Winograd47 => Weights::Winograd47(WinogradWeights::transposed::<10, 7>(isa, g, w)),
        }
    }

    fn multiply(&self, isa: Isa, g: &Geometry, x: &[f32], after: After, y: &mut [f32]) {
        match self {
            Weights::Direct(w) => direct_and_pool(isa, g, x, Source::Packed(w), after, y),
            Weights::Winograd43(w) => winograd::forward::<6, 4>(isa, g, x, w, after, y),
            Weights::Winograd63(w) => winograd::forward::<8, 6>(isa, g, x, w, after, y),
            Weights::Winograd27(w) => winograd::forward::<8, 2>(isa, g, x, w, after, y),
            Weights::Winograd47(w) => winograd::forward::<10, 4>(isa, g, x, w, after, y),
        }
    }
}

/// A direct convolution; its maxima, if these are wanted, by a pass of their own.
fn direct_and_pool(isa: Isa, g: &Geometry, x: &[f32], weights: Source, after: After, y: &mut [f32]) {
    let Some(border) = after.pool else { return direct::forward(isa, g, x, weights, after.bias, after.activation, y) };
    let planes = g.batch * g.out_channels;
    let mut sums = Scratch::take(planes * g.out_size[0] * g.out_size[1]);
    direct::forward(isa, g, x, weights, after.bias, Activation::Identity, &mut sums);
    let pool = MaxPool { planes, size: g.out_size, border, activation: after.activation };
    let mut places = vec![0; y.len()];
    let done = pool.forward(&sums, y, &mut places);
    debug_assert!(done.is_ok(), "{done:?}");
}

impl Conv2d {
    /// Checks the sizes.
    ///
    /// # Errors
    /// The convolution does not exist: a size is zero, or the kernel is larger than the padded input.
    pub fn new(shape: Conv2dShape, algorithm: Algorithm) -> Result<Conv2d, ShapeError> {
        shape.check()?;
        Ok(Conv2d {
            shape,
            algorithm,
            purpose: Purpose::Training,
            precision: Precision::F32,
            pool: None,
            isa: Isa::best(),
        })
    }

    /// The same convolution on another instruction set, for comparisons.
    pub fn on(self, isa: Isa) -> Conv2d {
        Conv2d { isa, ..self }
    }

    /// The same convolution for another purpose; [`Conv2d::new`] makes one for [`Purpose::Training`].
    pub fn purpose(self, purpose: Purpose) -> Conv2d {
        Conv2d { purpose, ..self }
    }

    /// The same convolution with forward products of another precision; [`Conv2d::new`] makes one of [`Precision::F32`].
    ///
    /// With [`Precision::Bf16`] 3x3 is F(4, 3) and everything else that is not 7x7 Winograd is by definition. Layers of
    /// few channels stay f32, and so do 7x7 Winograd, which would amplify the rounding, and all gradients.
    pub fn precision(self, precision: Precision) -> Conv2d {
        Conv2d { precision, ..self }
    }

    /// The same convolution whose forward passes give the maxima over windows of 2x2 pixels, PH x PW of them
    /// ([`Border::out_size`]), and never store the pixels themselves. Gradients stay those of the convolution.
    pub fn pooled(self, border: Border) -> Conv2d {
        Conv2d { pool: Some(border), ..self }
    }

    /// The sizes.
    pub fn shape(&self) -> &Conv2dShape {
        &self.shape
    }

    /// N, K and the height and width of what forward passes give.
    pub fn output_dims(&self) -> [usize; 4] {
        self.after(None, Activation::Identity).out_size(&self.shape.geometry())
    }

    /// `y = activation(x * w + bias)`.
    ///
    /// # Shapes
    /// `x` `[N, C, H, W]`, `w` `[K, C, R, S]`, `bias` `[K]`, `y` `[N, K, OH, OW]`, or `[N, K, PH, PW]` if
    /// [`pooled`](Self::pooled).
    ///
    /// # Errors
    /// A slice has another length.
    pub fn forward(
        &self,
        x: &[f32],
        w: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
        y: &mut [f32],
    ) -> Result<(), ShapeError> {
        self.check_weight(w.len())?;
        self.check_forward(x, bias, y)?;
        if self.product_precision() == Precision::Bf16 {
            return self.forward_prepared(x, &self.prepare(w)?, bias, activation, y);
        }
        self.multiply(&self.geometry(), x, w, Turned::No, self.after(bias, activation), y);
        Ok(())
    }

    /// Whether [`Conv2d::forward_prepared`] is faster than [`Conv2d::forward`].
    ///
    /// It is not for 7x7 and for small maps with many channels: there the weights are transformed piece by piece while
    /// they are used, and prepared ones (four to seven times the size of 3x3 weights, twice that of 7x7) would only be
    /// longer to read.
    pub fn gains_from_preparing(&self) -> bool {
        let g = self.geometry();
        match self.method(self.purpose, &g) {
            Method::Direct | Method::Winograd63 => true,
            Method::Winograd43 => self.product_precision() == Precision::Bf16 || !small_maps::suits_forward(&g),
            Method::Winograd27 | Method::Winograd47 => false,
        }
    }

    /// Transforms weights once for many calls of [`Conv2d::forward_prepared`], with any batch and image size.
    ///
    /// # Errors
    /// `w` is not `[K, C, R, S]`.
    pub fn prepare(&self, w: &[f32]) -> Result<PreparedWeights, ShapeError> {
        self.check_weight(w.len())?;
        let g = self.geometry();
        let method = self.method(self.purpose, &g);
        let weights = Weights::forward(method, self.product_precision(), self.isa, &g, w);
        Ok(PreparedWeights { weights, key: self.key() })
    }

    /// As [`Conv2d::forward`], with prepared weights: to the same bits, but for 7x7 Winograd, where the last ones differ.
    ///
    /// # Errors
    /// A slice has another length, or the weights were prepared for other channels or another kernel.
    pub fn forward_prepared(
        &self,
        x: &[f32],
        weights: &PreparedWeights,
        bias: Option<&[f32]>,
        activation: Activation,
        y: &mut [f32],
    ) -> Result<(), ShapeError> {
        self.check_forward(x, bias, y)?;
        if weights.key != self.key() {
            return Err(ShapeError::Prepared { shape: self.shape, found: weights.key });
        }
        weights.weights.multiply(self.isa, &self.geometry(), x, self.after(bias, activation), y);
        Ok(())
    }

    /// `dx` = the gradient of the input, given `dy`, the gradient of the convolution's output (before any activation).
    ///
    /// # Shapes
    /// `dy` `[N, K, OH, OW]`, `w` `[K, C, R, S]`, `dx` `[N, C, H, W]`.
    ///
    /// # Errors
    /// A slice has another length.
    pub fn backward_data(&self, dy: &[f32], w: &[f32], dx: &mut [f32]) -> Result<(), ShapeError> {
        self.check_output("the output's gradient", dy.len())?;
        self.check_weight(w.len())?;
        self.check_input("the input's gradient", dx.len())?;
        let g = self.geometry().transposed();
        self.multiply(&g, dy, w, Turned::Yes, After::NOTHING, dx);
        Ok(())
    }

    /// `dw` = the gradient of the weight, given `dy`, the gradient of the convolution's output (before any activation).
    ///
    /// # Shapes
    /// `x` `[N, C, H, W]`, `dy` `[N, K, OH, OW]`, `dw` `[K, C, R, S]`.
    ///
    /// # Errors
    /// A slice has another length.
    pub fn backward_weight(&self, x: &[f32], dy: &[f32], dw: &mut [f32]) -> Result<(), ShapeError> {
        self.check_input("the input", x.len())?;
        self.check_output("the output's gradient", dy.len())?;
        self.check_weight(dw.len())?;
        let g = self.geometry();
        let isa = self.isa;
        let few = small_maps::suits_weight(&g);
        match self.method(Purpose::Training, &g) {
            Method::Direct => direct::backward_weight(isa, &g, x, dy, dw),
            Method::Winograd27 => small_maps::backward_weight::<8, 2, 7>(isa, &g, x, dy, dw),
            Method::Winograd47 => small_maps::backward_weight::<10, 4, 7>(isa, &g, x, dy, dw),
            // The products of an image's three channels cost less than its transform.
            _ if g.channels <= 4 => direct::backward_weight(isa, &g, x, dy, dw),
            _ if few => small_maps::backward_weight::<6, 4, 3>(isa, &g, x, dy, dw),
            _ => winograd::backward_weight::<6, 4, 3>(isa, &g, x, dy, dw),
        }
        Ok(())
    }

    /// `db` = the gradient of the bias: the sum of `dy` over images and pixels, in f64.
    ///
    /// # Shapes
    /// `dy` `[N, K, OH, OW]`, `db` `[K]`.
    ///
    /// # Errors
    /// A slice has another length.
    pub fn backward_bias(&self, dy: &[f32], db: &mut [f32]) -> Result<(), ShapeError> {
        self.check_output("the output's gradient", dy.len())?;
        check_len("the bias's gradient", db.len(), &[self.shape.out_channels])?;
        let (channels, plane) = (self.shape.out_channels, self.shape.out_height() * self.shape.out_width());
        db.par_iter_mut().enumerate().for_each(|(k, db)| {
            let planes = (0..self.shape.batch).map(|n| &dy[(n * channels + k) * plane..][..plane]);
            *db = planes.map(|plane| plane.iter().map(|v| f64::from(*v)).sum::<f64>()).sum::<f64>() as f32;
        });
        Ok(())
    }

    /// The forward pass, or with turned weights and the transposed geometry the data gradient.
    fn multiply(&self, g: &Geometry, x: &[f32], w: &[f32], turned: Turned, after: After, y: &mut [f32]) {
        let turn = turned == Turned::Yes;
        let (isa, method) = (self.isa, self.method(if turn { Purpose::Training } else { self.purpose }, g));
        match method {
            Method::Winograd43 if small_maps::suits_forward(g) => {
                small_maps::forward::<6, 4, 3>(isa, g, x, w, turn, after, y);
            }
            Method::Winograd27 => small_maps::forward::<8, 2, 7>(isa, g, x, w, turn, after, y),
            Method::Winograd47 => small_maps::forward::<10, 4, 7>(isa, g, x, w, turn, after, y),
            Method::Direct => {
                let raw = Source::Raw(RawWeights::new(g, w, turn));
                direct_and_pool(isa, g, x, raw, after, y);
            }
            _ => {
                let weights = match turned {
                    Turned::No => Weights::forward(method, Precision::F32, isa, g, w),
                    Turned::Yes => Weights::transposed(method, isa, g, w),
                };
                weights.multiply(isa, g, x, after, y);
            }
        }
    }

    fn after<'a>(&self, bias: Option<&'a [f32]>, activation: Activation) -> After<'a> {
        After { bias, activation, pool: self.pool }
    }

    fn check_forward(&self, x: &[f32], bias: Option<&[f32]>, y: &[f32]) -> Result<(), ShapeError> {
        self.check_input("the input", x.len())?;
        check_len("the output", y.len(), &self.output_dims())?;
        bias.map_or(Ok(()), |bias| check_len("the bias", bias.len(), &[self.shape.out_channels]))
    }

    fn method(&self, purpose: Purpose, g: &Geometry) -> Method {
        match (self.algorithm, g.kernel) {
            (Algorithm::Fast, [3, 3])
                if purpose == Purpose::Inference
                    && self.precision == Precision::F32
                    && winograd::suits_large_tiles(g) =>
            {
                Method::Winograd63
            }
            (Algorithm::Accurate | Algorithm::Fast, [3, 3]) => Method::Winograd43,
            (_, [7, 7]) if small_maps::suits_definition(g) => Method::Direct,
            (Algorithm::Accurate, [7, 7]) => Method::Winograd27,
            (Algorithm::Fast, [7, 7]) => Method::Winograd47,
            _ => Method::Direct,
        }
    }

    /// That of the forward products, a function of the algorithm, the kernel and the channels.
    fn product_precision(&self) -> Precision {
        let Conv2dShape { in_channels, out_channels, .. } = self.shape;
        let pays = match self.method(self.purpose, &self.geometry()) {
            Method::Winograd43 => in_channels >= 16,
            Method::Direct => self.shape.depth() >= 64 && out_channels >= 64,
            _ => false,
        };
        if pays { self.precision } else { Precision::F32 }
    }

    /// The sizes as the kernels see them. A plane of a 1x1 convolution is one row: its pixels have no neighbours, and long
    /// rows are faster to copy than short ones. A pool behind it gives them neighbours.
    fn geometry(&self) -> Geometry {
        let mut g = self.shape.geometry();
        if g.kernel == [1, 1] && g.offset == [0, 0] && self.pool.is_none() {
            [g.size, g.out_size] = [g.size, g.out_size].map(|[height, width]| [1, height * width]);
        }
        g
    }

    fn key(&self) -> [usize; 4] {
        let Conv2dShape { out_channels, in_channels, kernel: [r, s], .. } = self.shape;
        [out_channels, in_channels, r, s]
    }

    fn check_input(&self, name: &str, len: usize) -> Result<(), ShapeError> {
        let s = &self.shape;
        check_len(name, len, &[s.batch, s.in_channels, s.height, s.width])
    }

    fn check_weight(&self, len: usize) -> Result<(), ShapeError> {
        let s = &self.shape;
        check_len("the weight", len, &[s.out_channels, s.in_channels, s.kernel[0], s.kernel[1]])
    }

    fn check_output(&self, name: &str, len: usize) -> Result<(), ShapeError> {
        let s = &self.shape;
        check_len(name, len, &[s.batch, s.out_channels, s.out_height(), s.out_width()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{noise, relative_rms};

    /// All results of a convolution.
    fn everything(conv: &Conv2d) -> [Vec<f32>; 4] {
        let shape = conv.shape();
        let (x, w, dy) = (noise(1, shape.input_len()), noise(2, shape.weight_len()), noise(3, shape.output_len()));
        let bias = noise(4, shape.out_channels);
        let (mut y, mut dx, mut dw, mut db) = (dy.clone(), x.clone(), w.clone(), bias.clone());
        conv.forward(&x, &w, Some(&bias), Activation::Relu, &mut y).unwrap();
        conv.backward_data(&dy, &w, &mut dx).unwrap();
        conv.backward_weight(&x, &dy, &mut dw).unwrap();
        conv.backward_bias(&dy, &mut db).unwrap();
        [y, dx, dw, db]
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let mut wrong = Vec::new();
        for shape in [
            Conv2dShape::square(3, [3, 20], [61, 45], 3, 1),
            Conv2dShape::square(2, [24, 40], [30, 30], 3, 1),
            Conv2dShape::square(1, [70, 130], [9, 9], 3, 1),
            Conv2dShape::square(2, [20, 36], [7, 7], 7, 3),
            Conv2dShape::square(2, [129, 140], [6, 7], 3, 1),
            Conv2dShape::square(1, [200, 210], [45, 50], 3, 1),
            Conv2dShape::square(2, [33, 20], [19, 8], 1, 0),
            Conv2dShape::square(2, [333, 70], [23, 28], 1, 0),
        ] {
            for (algorithm, precision) in [
                (Algorithm::Direct, Precision::F32),
                (Algorithm::Accurate, Precision::F32),
                (Algorithm::Fast, Precision::F32),
                (Algorithm::Direct, Precision::Bf16),
                (Algorithm::Fast, Precision::Bf16),
            ] {
                let conv = Conv2d::new(shape, algorithm).unwrap().purpose(Purpose::Inference).precision(precision);
                let on = |threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| everything(&conv))
                };
                let one = on(1);
                for threads in [2, 3, 7] {
                    if on(threads) != one {
                        wrong.push(format!("{shape}, {algorithm:?} {precision:?}: {threads} threads differ from one"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn maxima_in_passing_are_those_of_a_pool_behind_the_convolution() {
        let mut wrong = Vec::new();
        for (channels, size, kernel, pad) in [
            ([3, 20], [61, 45], 3, 1),
            ([16, 33], [1, 1], 3, 1),
            ([16, 16], [24, 134], 3, 1),
            ([64, 64], [37, 50], 3, 1),
            ([130, 130], [9, 7], 3, 1),
            ([20, 36], [7, 9], 7, 3),
            ([5, 7], [8, 5], 1, 0),
        ] {
            let shape = Conv2dShape::square(2, channels, size, kernel, pad);
            let (mut x, w) = (noise(1, shape.input_len()), noise(2, shape.weight_len()));
            let bias = noise(3, shape.out_channels);
            // A value that is not a number must come through, wherever in a window it is.
            let middle = x.len() / 2;
            x[middle] = f32::NAN;
            for algorithm in [Algorithm::Direct, Algorithm::Accurate, Algorithm::Fast] {
                for (isa, border) in Isa::available().into_iter().flat_map(|i| [(i, Border::Floor), (i, Border::Ceil)])
                {
                    let conv = Conv2d::new(shape, algorithm).unwrap().purpose(Purpose::Inference).on(isa);
                    let mut pixels = vec![0.0; shape.output_len()];
                    conv.forward(&x, &w, Some(&bias), Activation::Identity, &mut pixels).unwrap();
                    let (size, planes) = ([shape.out_height(), shape.out_width()], shape.batch * shape.out_channels);
                    let pool = MaxPool { planes, size, border, activation: Activation::Relu };
                    let mut want = vec![0.0; planes * pool.out_size().iter().product::<usize>()];
                    let mut places = vec![0; want.len()];
                    pool.forward(&pixels, &mut want, &mut places).unwrap();
                    let (mut raw, mut prepared) = (vec![7.0; want.len()], vec![7.0; want.len()]);
                    let conv = conv.pooled(border);
                    conv.forward(&x, &w, Some(&bias), Activation::Relu, &mut raw).unwrap();
                    let weights = conv.prepare(&w).unwrap();
                    conv.forward_prepared(&x, &weights, Some(&bias), Activation::Relu, &mut prepared).unwrap();
                    let bits = |v: &[f32]| {
                        v.iter().map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() }).collect::<Vec<_>>()
                    };
                    if bits(&raw) != bits(&want) {
                        wrong.push(format!("{shape}, {algorithm:?}, {isa:?}, {border:?}"));
                    }
                    // Prepared weights may go another way, with other roundings.
                    let pairs = || prepared.iter().zip(&want).filter(|(_, want)| !want.is_nan());
                    if pairs().any(|(got, want)| (got - want).abs() > 1e-3) {
                        wrong.push(format!("prepared: {shape}, {algorithm:?}, {isa:?}, {border:?}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_value_that_is_not_a_number_passes_through_the_rectifier() {
        let precisions = [Precision::F32, Precision::Bf16];
        for (algorithm, kernel) in [(Algorithm::Direct, 3), (Algorithm::Fast, 3), (Algorithm::Fast, 7)] {
            for (isa, precision) in Isa::available().into_iter().flat_map(|isa| precisions.map(|p| (isa, p))) {
                let shape = Conv2dShape::square(1, [17, 64], [7, 7], kernel, kernel / 2);
                let conv = Conv2d::new(shape, algorithm).unwrap().precision(precision).on(isa);
                let mut x = noise(1, shape.input_len());
                x[24] = f32::NAN;
                let mut y = vec![0.0; shape.output_len()];
                conv.forward(&x, &noise(2, shape.weight_len()), None, Activation::Relu, &mut y).unwrap();
                assert!(y[24].is_nan(), "{algorithm:?}, {kernel}x{kernel}, {isa:?}, {precision:?}");
            }
        }
    }

    #[test]
    fn prepared_weights_give_the_same_bits_on_maps_of_every_size() {
        let mut wrong = Vec::new();
        let vgg =
            [[3, 64], [64, 64], [64, 128], [128, 128], [128, 256], [256, 256], [256, 512], [512, 512], [130, 150]];
        for (channels, size) in vgg.into_iter().flat_map(|channels| [[6, 9], [29, 31]].map(|size| (channels, size))) {
            for (kernel, precision) in [(3, Precision::F32), (3, Precision::Bf16), (1, Precision::F32)] {
                let shape = Conv2dShape::square(1, channels, size, kernel, kernel / 2);
                for purpose in [Purpose::Training, Purpose::Inference] {
                    let conv = Conv2d::new(shape, Algorithm::Fast).unwrap().purpose(purpose).precision(precision);
                    // Prepared at another size of map.
                    let other = Conv2d { shape: Conv2dShape { height: 300, width: 300, ..shape }, ..conv };
                    let weights = other.prepare(&noise(2, shape.weight_len())).unwrap();
                    let (x, bias) = (noise(1, shape.input_len()), noise(4, shape.out_channels));
                    let mut y = vec![f32::NAN; shape.output_len()];
                    conv.forward_prepared(&x, &weights, Some(&bias), Activation::Relu, &mut y).unwrap();
                    if y != forward(&conv) {
                        wrong.push(format!("{shape}, {purpose:?}, {precision:?}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// The forward pass with rectifier.
    fn forward(conv: &Conv2d) -> Vec<f32> {
        let shape = conv.shape();
        let mut y = vec![f32::NAN; shape.output_len()];
        let (x, w, bias) = (noise(1, shape.input_len()), noise(2, shape.weight_len()), noise(4, shape.out_channels));
        conv.forward(&x, &w, Some(&bias), Activation::Relu, &mut y).unwrap();
        y
    }

    #[test]
    fn bf16_is_the_same_on_every_instruction_set_but_for_the_order_of_sums() {
        let mut wrong = Vec::new();
        for shape in [
            Conv2dShape::square(2, [16, 9], [13, 70], 3, 1),
            Conv2dShape::square(1, [131, 70], [14, 9], 3, 1),
            Conv2dShape::square(1, [515, 66], [5, 7], 1, 0),
            Conv2dShape::square(1, [77, 66], [50, 40], 1, 0),
        ] {
            let conv = Conv2d::new(shape, Algorithm::Fast).unwrap().precision(Precision::Bf16);
            let want: Vec<f64> = forward(&conv.on(Isa::Portable)).into_iter().map(f64::from).collect();
            let f32 = forward(&conv.precision(Precision::F32));
            let rounding = relative_rms(&f32, &want);
            if !(1e-3..1.5e-2).contains(&rounding) {
                wrong.push(format!("{shape}: bf16 differs from f32 by {rounding:.2e}, expected 1e-3 to 1.5e-2"));
            }
            for isa in Isa::available() {
                // Values at the points differ in the last bit of f32, and then rarely in that of bf16.
                let error = relative_rms(&forward(&conv.on(isa)), &want);
                if error.is_nan() || error > 5e-4 {
                    wrong.push(format!("{shape}, {isa:?}: {error:.2e} from the portable one, expected at most 5e-4"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn layers_of_few_channels_and_winograd_7x7_stay_f32() {
        for (channels, kernel, bf16) in [
            ([3, 64], 3, false),
            ([16, 16], 3, true),
            ([64, 64], 7, false),
            ([512, 21], 1, false),
            ([64, 64], 1, true),
            ([63, 64], 1, false),
        ] {
            let shape = Conv2dShape::square(1, channels, [9, 9], kernel, kernel / 2);
            let conv = Conv2d::new(shape, Algorithm::Fast).unwrap();
            let differ = forward(&conv.precision(Precision::Bf16)) != forward(&conv);
            assert_eq!(differ, bf16, "{shape}");
        }
    }

    #[test]
    fn wrong_lengths_are_refused_by_name() {
        let conv = Conv2d::new(Conv2dShape::square(1, [2, 3], [4, 4], 3, 1), Algorithm::Fast).unwrap();
        let (x, w, mut y) = (vec![0.0; 32], vec![0.0; 54], vec![0.0; 48]);
        let cases = [
            (
                conv.forward(&x[1..], &w, None, Activation::Relu, &mut y),
                "the input [1, 2, 4, 4] has 31 values, expected 32",
            ),
            (conv.forward(&x, &w[1..], None, Activation::Relu, &mut y), "the weight [3, 2, 3, 3] has 53 values"),
            (conv.forward(&x, &w, Some(&x), Activation::Relu, &mut y), "the bias [3] has 32 values"),
            (conv.forward(&x, &w, None, Activation::Relu, &mut y[1..]), "the output [1, 3, 4, 4] has 47 values"),
        ];
        for (got, want) in cases {
            let message = got.expect_err(want).to_string();
            assert!(message.contains(want), "{message:?} lacks {want:?}");
        }
    }

    #[test]
    fn weights_prepared_for_another_convolution_are_refused() {
        let of = |channels| Conv2d::new(Conv2dShape::square(1, channels, [4, 4], 3, 1), Algorithm::Direct).unwrap();
        let prepared = of([3, 2]).prepare(&[0.0; 54]).unwrap();
        let refused = of([2, 3]).forward_prepared(&[0.0; 32], &prepared, None, Activation::Relu, &mut [0.0; 48]);
        assert!(refused.is_err(), "the number of weights is the same, the shape is not");
    }
}
