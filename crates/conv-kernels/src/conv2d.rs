//! The front door: a convolution of fixed sizes, forward and backward.

use rayon::prelude::*;

use crate::direct::{self, DirectWeights, RawWeights, Source};
use crate::kernel::scratch::Scratch;
use crate::kernel::simd::{Isa, Precision};
use crate::pool::{Border, MaxPool};
use crate::shape::{Conv2dShape, Geometry, ShapeError, check_len};
use crate::small_maps;
use crate::thin;
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
    /// Errors go into gradients and so into the next step: 3x3 is F(4, 3), or F(3, 3) on a few sizes of small maps.
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

impl PreparedWeights {
    /// Whether they serve this convolution: one of the same channels and kernel whose forward pass goes the way that they
    /// were prepared for, with the same taps.
    pub fn serve(&self, conv: &Conv2d) -> bool {
        let g = conv.geometry();
        let (method, taps) = match &self.weights {
            Weights::Direct(weights) => (Method::Direct, Some(weights.taps())),
            Weights::Winograd(filter, _) => (Method::Winograd(*filter), None),
        };
        let same_way = method == conv.method(conv.purpose, &g) && taps.is_none_or(|taps| *taps == g.busy_taps());
        self.key == conv.key() && same_way
    }
}

/// Weights in the layout of a method.
enum Weights {
    Direct(DirectWeights),
    Winograd(Filter, WinogradWeights),
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// By its definition.
    Direct,
    /// By minimal filtering.
    Winograd(Filter),
}

impl Method {
    /// Whether maxima over windows of 2x2 pixels are taken in passing: where a tile is whole windows.
    fn pools(self) -> bool {
        !matches!(self, Method::Direct | Method::Winograd(Filter::F33))
    }
}

/// A minimal filtering F(t, r) in both directions: tiles of t x t pixels for a kernel of r x r.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    F33,
    F43,
    F63,
    F27,
    F47,
}

impl Weights {
    /// For the forward pass, or `turned` by 180 degrees with channels exchanged, for the data gradient.
    fn new(method: Method, precision: Precision, isa: Isa, g: &Geometry, w: &[f32], turned: bool) -> Weights {
        let filter = match method {
            Method::Direct => {
                return Weights::Direct(DirectWeights::new(isa, RawWeights::new(g, w, turned), precision));
            }
            Method::Winograd(filter) => filter,
        };
        let new = match filter {
            Filter::F33 => WinogradWeights::new::<5, 3>,
            Filter::F43 => WinogradWeights::new::<6, 3>,
            Filter::F63 => WinogradWeights::new::<8, 3>,
            Filter::F27 => WinogradWeights::new::<8, 7>,
            Filter::F47 => WinogradWeights::new::<10, 7>,
        };
        Weights::Winograd(filter, new(isa, g, w, turned, precision))
    }

    fn multiply(&self, isa: Isa, g: &Geometry, x: &[f32], after: After, y: &mut [f32]) {
        let (filter, weights) = match self {
            Weights::Direct(w) => {
                return direct::forward(isa, g, x, Source::Packed(w), after.bias, after.activation, y);
            }
            Weights::Winograd(filter, weights) => (filter, weights),
        };
        let forward = match filter {
            Filter::F33 => winograd::forward::<5, 3>,
            Filter::F43 => winograd::forward::<6, 4>,
            Filter::F63 => winograd::forward::<8, 6>,
            Filter::F27 => winograd::forward::<8, 2>,
            Filter::F47 => winograd::forward::<10, 4>,
        };
        forward(isa, g, x, weights, after, y);
    }
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
        let g = self.geometry();
        self.and_pool(&g, self.after(bias, activation), y, |after, y| self.multiply(&g, x, w, false, after, y));
        Ok(())
    }

    /// Whether [`Conv2d::forward_prepared`] is faster than [`Conv2d::forward`].
    ///
    /// It is not for 7x7, for small maps with many channels, and for the few sizes that are F(3, 3): there the weights are
    /// transformed piece by piece while they are used, or are few beside the pixels, and prepared ones (four to seven times
    /// the size of 3x3 weights, twice that of 7x7) would only be longer to read. It is for 7x7 on maps so small that three
    /// quarters of the taps meet only padding: those are left out. On other maps of a handful of pixels it is not.
    pub fn gains_from_preparing(&self) -> bool {
        let g = self.geometry();
        match self.method(self.purpose, &g) {
            Method::Direct if g.window() > 9 => 4 * g.busy_taps().len() <= g.window(),
            Method::Direct => self.algorithm == Algorithm::Direct || thin::suits(&g) || g.window() == 1,
            Method::Winograd(Filter::F63) => true,
            Method::Winograd(Filter::F43) => {
                self.product_precision() == Precision::Bf16 || !small_maps::suits_raw_weights(&g)
            }
            Method::Winograd(Filter::F33 | Filter::F27 | Filter::F47) => false,
        }
    }

    /// Transforms weights once for many calls of [`Conv2d::forward_prepared`], with any batch and image size that goes the
    /// same way ([`PreparedWeights::serve`]): all but the smallest do.
    ///
    /// # Errors
    /// `w` is not `[K, C, R, S]`.
    pub fn prepare(&self, w: &[f32]) -> Result<PreparedWeights, ShapeError> {
        self.check_weight(w.len())?;
        let g = self.geometry();
        let method = self.method(self.purpose, &g);
        let weights = Weights::new(method, self.product_precision(), self.isa, &g, w, false);
        Ok(PreparedWeights { weights, key: self.key() })
    }

    /// As [`Conv2d::forward`], with prepared weights: to the same bits, but for 7x7 Winograd, where the last ones differ.
    ///
    /// # Errors
    /// A slice has another length, or the weights do not [`serve`](PreparedWeights::serve) it.
    pub fn forward_prepared(
        &self,
        x: &[f32],
        weights: &PreparedWeights,
        bias: Option<&[f32]>,
        activation: Activation,
        y: &mut [f32],
    ) -> Result<(), ShapeError> {
        self.check_forward(x, bias, y)?;
        if !weights.serve(self) {
            return Err(ShapeError::Prepared { shape: self.shape, found: weights.key });
        }
        let g = self.geometry();
        self.and_pool(&g, self.after(bias, activation), y, |after, y| {
            weights.weights.multiply(self.isa, &g, x, after, y);
        });
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
        self.multiply(&g, dy, w, true, After::NOTHING, dx);
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
        let filter = match self.method(Purpose::Training, &g) {
            Method::Winograd(filter) if !winograd::weight_suits_definition(&g) => filter,
            _ => {
                direct::backward_weight(isa, &g, x, dy, dw);
                return Ok(());
            }
        };
        let backward_weight = match (filter, small_maps::suits_weight(&g)) {
            (Filter::F33, true) => small_maps::backward_weight::<5, 3, 3>,
            (Filter::F33, false) => winograd::backward_weight::<5, 3, 3>,
            // Gradients are never F(6, 3).
            (Filter::F43 | Filter::F63, true) => small_maps::backward_weight::<6, 4, 3>,
            (Filter::F43 | Filter::F63, false) => winograd::backward_weight::<6, 4, 3>,
            (Filter::F27, _) => small_maps::backward_weight::<8, 2, 7>,
            (Filter::F47, _) => small_maps::backward_weight::<10, 4, 7>,
        };
        backward_weight(isa, &g, x, dy, dw);
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

    /// The forward pass, or with `turned` weights and the transposed geometry the data gradient.
    fn multiply(&self, g: &Geometry, x: &[f32], w: &[f32], turned: bool, after: After, y: &mut [f32]) {
        let (isa, method) = (self.isa, self.method(if turned { Purpose::Training } else { self.purpose }, g));
        let filter = match method {
            Method::Direct => {
                let raw = Source::Raw(RawWeights::new(g, w, turned));
                return direct::forward(isa, g, x, raw, after.bias, after.activation, y);
            }
            Method::Winograd(filter) if small_maps::suits_forward(g) => filter,
            Method::Winograd(_) => {
                return Weights::new(method, Precision::F32, isa, g, w, turned).multiply(isa, g, x, after, y);
            }
        };
        let forward = match filter {
            Filter::F33 => small_maps::forward::<5, 3, 3>,
            Filter::F43 => small_maps::forward::<6, 4, 3>,
            Filter::F63 => small_maps::forward::<8, 6, 3>,
            Filter::F27 => small_maps::forward::<8, 2, 7>,
            Filter::F47 => small_maps::forward::<10, 4, 7>,
        };
        forward(isa, g, x, w, turned, after, y);
    }

    /// A forward pass by `multiply`; the maxima, if these are wanted and it cannot take them in passing, by a pass of their own.
    fn and_pool(&self, g: &Geometry, after: After, y: &mut [f32], multiply: impl FnOnce(After, &mut [f32])) {
        let border = after.pool.filter(|_| !self.method(self.purpose, g).pools());
        let Some(border) = border else { return multiply(after, y) };
        let planes = g.batch * g.out_channels;
        let mut pixels = Scratch::take(planes * g.out_size[0] * g.out_size[1]);
        multiply(After { activation: Activation::Identity, pool: None, ..after }, &mut pixels);
        let pool = MaxPool { planes, size: g.out_size, border, activation: after.activation };
        let mut places = vec![0; y.len()];
        let done = pool.forward(&pixels, y, &mut places);
        debug_assert!(done.is_ok(), "{done:?}");
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
            (_, [3, 3]) if thin::suits(g) || winograd::suits_definition(g) => Method::Direct,
            (Algorithm::Fast, [3, 3])
                if purpose == Purpose::Inference
                    && self.precision == Precision::F32
                    && winograd::suits_large_tiles(g) =>
            {
                Method::Winograd(Filter::F63)
            }
            (Algorithm::Accurate | Algorithm::Fast, [3, 3])
                if self.precision == Precision::F32 && winograd::suits_small_tiles(g) =>
            {
                Method::Winograd(Filter::F33)
            }
            (Algorithm::Accurate | Algorithm::Fast, [3, 3]) => Method::Winograd(Filter::F43),
            (_, [7, 7]) if small_maps::suits_definition(g) => Method::Direct,
            (Algorithm::Accurate, [7, 7]) => Method::Winograd(Filter::F27),
            (Algorithm::Fast, [7, 7]) => Method::Winograd(Filter::F47),
            _ => Method::Direct,
        }
    }

    /// That of the forward products, a function of the algorithm, the kernel and the channels.
    fn product_precision(&self) -> Precision {
        let Conv2dShape { in_channels, out_channels, .. } = self.shape;
        let pays = match self.method(self.purpose, &self.geometry()) {
            Method::Winograd(Filter::F43) => in_channels >= 16,
            Method::Direct => self.shape.depth() >= thin::LONG && out_channels >= 64,
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
mod tests;
