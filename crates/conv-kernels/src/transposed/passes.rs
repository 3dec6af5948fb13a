//! The passes: lengths are checked, and the way is the one for the kernel's side.

use super::sizes::ConvTranspose2d;
use super::{disjoint, phases};
use crate::conv2d::Conv2d;
use crate::plan::Algorithm;
use crate::shape::{Conv2dShape, ShapeError, check_len};
use crate::simd::Isa;

impl ConvTranspose2d {
    /// `y[n, k, i] = bias[k] + sum over c and t of x[n, c, (i + offset - t) / stride] w[c, k, t]`, where that is a whole number.
    ///
    /// # Shapes
    /// `x` `[N, C, H, W]`, `w` `[C, K, kernel, kernel]`, `bias` `[K]`, `y` `[N, K, OH, OW]`.
    ///
    /// # Errors
    /// A size is zero, the kernel's side is neither the stride nor twice the stride, the output is not of the full result, or a
    /// slice has another length.
    pub fn forward(&self, x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32]) -> Result<(), ShapeError> {
        self.forward_on(Isa::best(), x, w, bias, y)
    }

    /// `dx` = the gradient of the input, given `dy`, that of the output.
    ///
    /// # Shapes
    /// As for [`forward`](Self::forward).
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn backward_data(&self, dy: &[f32], w: &[f32], dx: &mut [f32]) -> Result<(), ShapeError> {
        self.backward_data_on(Isa::best(), dy, w, dx)
    }

    /// `dw` = the gradient of the weight, given `dy`, that of the output.
    ///
    /// # Shapes
    /// As for [`forward`](Self::forward).
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn backward_weight(&self, x: &[f32], dy: &[f32], dw: &mut [f32]) -> Result<(), ShapeError> {
        self.backward_weight_on(Isa::best(), x, dy, dw)
    }

    /// `db` = the gradient of the bias: the sum of `dy` over images and pixels, in f64.
    ///
    /// # Shapes
    /// `dy` `[N, K, OH, OW]`, `db` `[K]`.
    ///
    /// # Errors
    /// A size is zero or a slice has another length.
    pub fn backward_bias(&self, dy: &[f32], db: &mut [f32]) -> Result<(), ShapeError> {
        // Any convolution with this output has this gradient.
        let same = Conv2dShape::square(self.batch, [1, self.out_channels], self.out_size, 1, 0);
        Conv2d::new(same, Algorithm::Direct)?.backward_bias(dy, db)
    }

    pub(super) fn forward_on(
        &self,
        isa: Isa,
        x: &[f32],
        w: &[f32],
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) -> Result<(), ShapeError> {
        self.check(x.len(), w.len(), y.len())?;
        if let Some(bias) = bias {
            check_len("the bias", bias.len(), &[self.out_channels])?;
        }
        let forward = if self.disjoint() { disjoint::forward } else { phases::forward };
        forward(self, &self.conv(isa)?, x, w, bias, y)
    }

    pub(super) fn backward_data_on(&self, isa: Isa, dy: &[f32], w: &[f32], dx: &mut [f32]) -> Result<(), ShapeError> {
        self.check(dx.len(), w.len(), dy.len())?;
        let backward = if self.disjoint() { disjoint::backward_data } else { phases::backward_data };
        backward(self, &self.conv(isa)?, dy, w, dx)
    }

    pub(super) fn backward_weight_on(&self, isa: Isa, x: &[f32], dy: &[f32], dw: &mut [f32]) -> Result<(), ShapeError> {
        self.check(x.len(), dw.len(), dy.len())?;
        let backward = if self.disjoint() { disjoint::backward_weight } else { phases::backward_weight };
        backward(self, &self.conv(isa)?, x, dy, dw)
    }

    /// The convolution that computes every phase.
    fn conv(&self, isa: Isa) -> Result<Conv2d, ShapeError> {
        Ok(Conv2d::new(self.product(), Algorithm::Direct)?.on(isa))
    }
}
