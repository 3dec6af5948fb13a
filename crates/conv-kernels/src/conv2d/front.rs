//! A convolution of fixed sizes: its options, its checks and its passes.

use rayon::prelude::*;

use super::weights::{PreparedWeights, Weights};
use crate::direct::{self, RawWeights, Source};
use crate::epilogue::{Activation, Border, Epilogue};
use crate::layers::MaxPool;
use crate::memory::Scratch;
use crate::plan::{self, Algorithm, Forward, Layer, Pass, Plan, Purpose, WeightGradient};
use crate::shape::{Conv2dShape, Geometry, ShapeError, check_len};
use crate::simd::{Isa, Precision};
use crate::winograd;

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

    /// The instruction set that it runs on.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// N, K and the height and width of what forward passes give.
    pub fn output_dims(&self) -> [usize; 4] {
        self.epilogue(None, Activation::Identity).out_size(&self.shape.geometry())
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
        if self.layer(Pass::Forward).arithmetic().1 == Precision::Bf16 {
            return self.forward_prepared(x, &self.prepare(w)?, bias, activation, y);
        }
        let layer = self.layer(Pass::Forward);
        self.and_pool(&layer, self.epilogue(bias, activation), y, |epilogue, y| {
            self.multiply(&layer, x, w, epilogue, y);
        });
        Ok(())
    }

    /// How a pass is computed, and why. Everything that follows from the sizes, the options and the instruction set; the number of
    /// threads has no part in it.
    ///
    /// ```
    /// use conv_kernels::{Algorithm, Conv2d, Conv2dShape, Pass};
    ///
    /// let conv = Conv2d::new(Conv2dShape::square(1, [512, 512], [64, 64], 3, 1), Algorithm::Fast)?;
    /// let plan = conv.plan(Pass::Forward);
    /// assert_eq!(plan.arithmetic.name, "F(4, 3)");
    /// assert!(plan.to_string().starts_with("F(4, 3), by runs of tiles, f32. "));
    /// # Ok::<(), conv_kernels::ShapeError>(())
    /// ```
    pub fn plan(&self, pass: Pass) -> Plan {
        plan::plan(&self.layer(pass))
    }

    /// Whether [`Conv2d::forward_prepared`] is faster than [`Conv2d::forward`].
    ///
    /// It is not for 7x7, for small maps with many channels, and for the few sizes that are F(3, 3): there the weights are
    /// transformed piece by piece while they are used, or are few beside the pixels, and prepared ones (four to seven times
    /// the size of 3x3 weights, twice that of 7x7) would only be longer to read. It is for 7x7 on maps so small that three
    /// quarters of the taps meet only padding: those are left out. On other maps of a handful of pixels it is not.
    pub fn gains_from_preparing(&self) -> bool {
        plan::gains_from_preparing(&self.layer(Pass::ForwardPrepared))
    }

    /// Transforms weights once for many calls of [`Conv2d::forward_prepared`], with any batch and image size that goes the
    /// same way ([`PreparedWeights::serve`]): all but the smallest do.
    ///
    /// # Errors
    /// `w` is not `[K, C, R, S]`.
    pub fn prepare(&self, w: &[f32]) -> Result<PreparedWeights, ShapeError> {
        self.check_weight(w.len())?;
        let layer = self.layer(Pass::ForwardPrepared);
        let (arithmetic, products) = layer.arithmetic();
        let weights = Weights::new(arithmetic, products, self.isa, &layer.geometry, w);
        Ok(PreparedWeights::new(weights, self.key()))
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
            return Err(ShapeError::Prepared { shape: self.shape, found: weights.key() });
        }
        let layer = self.layer(Pass::ForwardPrepared);
        self.and_pool(&layer, self.epilogue(bias, activation), y, |epilogue, y| {
            weights.multiply(self.isa, &layer, x, epilogue, y);
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
        self.multiply(&self.layer(Pass::BackwardData), dy, w, Epilogue::NOTHING, dx);
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
        let layer = self.layer(Pass::BackwardWeight);
        let (isa, g) = (self.isa, &layer.geometry);
        match plan::weight_gradient(&layer) {
            WeightGradient::Direct(loops) => direct::backward_weight(loops, isa, g, x, dy, dw),
            WeightGradient::Winograd(filter, loops) => winograd::backward_weight(filter, loops, isa, g, x, dy, dw),
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

    /// The forward pass or the data gradient, with weights as they are stored.
    fn multiply(&self, layer: &Layer, x: &[f32], w: &[f32], epilogue: Epilogue, y: &mut [f32]) {
        let (isa, g, turned) = (self.isa, &layer.geometry, layer.pass == Pass::BackwardData);
        match plan::forward(layer).0 {
            Forward::Direct(loops) => {
                let raw = Source::Raw(RawWeights::new(g, w, turned));
                direct::forward(loops, isa, g, x, raw, epilogue, y);
            }
            Forward::Winograd(filter, winograd::ForwardLoops::Channels) => {
                winograd::forward_by_channels(filter, isa, g, x, w, turned, epilogue, y);
            }
            Forward::Winograd(filter, winograd::ForwardLoops::Tiles) => {
                let weights = winograd::weights(filter, isa, g, w, turned, Precision::F32);
                winograd::forward_by_tiles(filter, isa, g, x, &weights, epilogue, y);
            }
        }
    }

    /// A forward pass by `multiply`; the maxima, if these are wanted and it cannot take them in passing, by a pass of their own.
    fn and_pool(&self, layer: &Layer, epilogue: Epilogue, y: &mut [f32], multiply: impl FnOnce(Epilogue, &mut [f32])) {
        let g = &layer.geometry;
        let border = epilogue.pool.filter(|_| !layer.arithmetic().0.pools());
        let Some(border) = border else { return multiply(epilogue, y) };
        let planes = g.batch * g.out_channels;
        let mut pixels = Scratch::take(planes * g.out_size[0] * g.out_size[1]);
        multiply(Epilogue { activation: Activation::Identity, pool: None, ..epilogue }, &mut pixels);
        let pool = MaxPool { planes, size: g.out_size, border, activation: epilogue.activation };
        let mut places = vec![0; y.len()];
        let done = pool.forward(&pixels, y, &mut places);
        debug_assert!(done.is_ok(), "{done:?}");
    }

    fn epilogue<'a>(&self, bias: Option<&'a [f32]>, activation: Activation) -> Epilogue<'a> {
        Epilogue { bias, activation, pool: self.pool }
    }

    fn check_forward(&self, x: &[f32], bias: Option<&[f32]>, y: &[f32]) -> Result<(), ShapeError> {
        self.check_input("the input", x.len())?;
        check_len("the output", y.len(), &self.output_dims())?;
        bias.map_or(Ok(()), |bias| check_len("the bias", bias.len(), &[self.shape.out_channels]))
    }

    /// A pass, as the table of methods looks at it.
    pub(crate) fn layer(&self, pass: Pass) -> Layer {
        let &Conv2d { algorithm, purpose, precision, isa, .. } = self;
        let geometry = if pass == Pass::BackwardData { self.geometry().transposed() } else { self.geometry() };
        Layer { geometry, pass, algorithm, purpose, precision, lanes: isa.lanes() }
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

    pub(super) fn key(&self) -> [usize; 4] {
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

impl PreparedWeights {
    /// Whether they serve this convolution: one of the same channels and kernel whose forward pass goes the way that they
    /// were prepared for, with the same taps.
    pub fn serve(&self, conv: &Conv2d) -> bool {
        self.fit(&conv.layer(Pass::ForwardPrepared), conv.key())
    }
}
