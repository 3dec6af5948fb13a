//! The sizes of a transposed convolution, checked once.

use crate::shape::{Conv2dShape, ShapeError, check_len};

/// Sizes of a transposed convolution whose kernel has a side of once or twice the stride.
///
/// With a side of twice the stride the kernels of neighbouring input pixels overlap by half, as in an enlargement of score
/// maps (Long, Shelhamer and Darrell 2015); with a side of the stride they do not overlap at all, as in the decoder of a
/// U-Net (Ronneberger, Fischer and Brox 2015: 2x2 with stride 2).
///
/// ```
/// use conv_kernels::ConvTranspose2d;
///
/// // Doubles a map of 3x3 pixels, 8 channels to 4.
/// let up = ConvTranspose2d {
///     batch: 1,
///     in_channels: 8,
///     out_channels: 4,
///     size: [3, 3],
///     out_size: [6, 6],
///     kernel: 2,
///     stride: 2,
///     offset: [0, 0],
/// };
/// let mut y = vec![0.0; 4 * 6 * 6];
/// up.forward(&[1.0; 8 * 3 * 3], &[0.5; 8 * 4 * 2 * 2], Some(&[1.0; 4]), &mut y)?;
/// assert_eq!(y, [5.0; 4 * 6 * 6]);
/// # Ok::<(), conv_kernels::ShapeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose2d {
    /// N, the number of images.
    pub batch: usize,
    /// C.
    pub in_channels: usize,
    /// K.
    pub out_channels: usize,
    /// H and W of the input.
    pub size: [usize; 2],
    /// OH and OW of the output: at most `stride (H - 1) + kernel - offset`; exactly `stride H` if the kernel has the stride's
    /// side.
    pub out_size: [usize; 2],
    /// The side of the kernel: `stride` or `2 stride`.
    pub kernel: usize,
    /// s.
    pub stride: usize,
    /// Rows and columns cut off at the top and left of the full result, by padding or cropping: zero if the kernel has the
    /// stride's side.
    pub offset: [usize; 2],
}

impl ConvTranspose2d {
    /// Whether the kernels of neighbouring input pixels do not overlap.
    pub(super) fn disjoint(&self) -> bool {
        self.kernel == self.stride
    }

    /// Output channels times the phases of the stride: K s s.
    pub(super) fn phase_channels(&self) -> usize {
        self.out_channels.saturating_mul(self.stride).saturating_mul(self.stride)
    }

    /// The sizes of the convolution that computes every phase: 1x1 for disjoint kernels, with input and output exchanged; else
    /// 2x2, padded by one.
    pub(super) fn product(&self) -> Conv2dShape {
        let (c, phases) = (self.in_channels, self.phase_channels());
        if self.disjoint() {
            Conv2dShape::square(self.batch, [phases, c], self.size, 1, 0)
        } else {
            Conv2dShape::square(self.batch, [c, phases], self.size, 2, 1)
        }
    }

    /// Checks the sizes and the lengths of input, weight and output.
    pub(super) fn check(&self, input: usize, weight: usize, output: usize) -> Result<(), ShapeError> {
        let &ConvTranspose2d { kernel, stride, out_size, offset, .. } = self;
        for (name, value) in [("the stride", stride), ("the smallest output size", out_size[0].min(out_size[1]))] {
            if value == 0 {
                return Err(ShapeError::Zero { name });
            }
        }
        if !self.disjoint() && kernel != stride.saturating_mul(2) {
            return Err(ShapeError::TransposedKernel { kernel, stride });
        }
        self.product().check()?;
        let full = self.size.map(|side| stride.saturating_mul(side - 1).saturating_add(kernel));
        if self.disjoint() && (offset != [0, 0] || out_size != full) {
            return Err(ShapeError::Cropped { found: out_size, offset, full });
        }
        for ((offset, out), most) in offset.into_iter().zip(out_size).zip(full) {
            let found = offset.saturating_add(out);
            if found > most {
                return Err(ShapeError::Beyond { found, most });
            }
        }
        check_len("the input", input, &[self.batch, self.in_channels, self.size[0], self.size[1]])?;
        check_len("the weight", weight, &[self.in_channels, self.out_channels, kernel, kernel])?;
        check_len("the output", output, &[self.batch, self.out_channels, out_size[0], out_size[1]])
    }
}
