//! The sizes of a convolution, checked once.

use std::fmt;
use std::ops::Range;

/// The sizes of a two-dimensional convolution with stride 1 and dilation 1.
///
/// Tensors are dense and row-major: the input is `[N, C, H, W]`, the weight `[K, C, R, S]` (output channels first), the
/// output `[N, K, OH, OW]` with `OH = H + 2 pad - R + 1`, `OW = W + 2 pad - S + 1`. As everywhere in deep learning the
/// "convolution" is a correlation: the kernel is not flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dShape {
    /// N, the number of images.
    pub batch: usize,
    /// C.
    pub in_channels: usize,
    /// K.
    pub out_channels: usize,
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
    /// R and S, the height and width of the kernel.
    pub kernel: [usize; 2],
    /// Zeros around the input: above and below, and left and right.
    pub pad: [usize; 2],
}

/// Why a convolution cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A size is zero.
    #[error("{shape}: {size} is 0, expected at least 1")]
    Empty {
        /// The sizes.
        shape: Conv2dShape,
        /// Which of them.
        size: &'static str,
    },
    /// The kernel does not fit in the padded input.
    #[error("{shape}: the kernel is larger than the padded input; pad by at least {needed} more on each side")]
    KernelTooLarge {
        /// The sizes.
        shape: Conv2dShape,
        /// Padding that is missing.
        needed: usize,
    },
    /// A tensor has more values than can be addressed.
    #[error("{shape}: a tensor has more than {} values; use a smaller batch or image", isize::MAX as usize / 4)]
    TooLarge {
        /// The sizes.
        shape: Conv2dShape,
    },
    /// A size is zero.
    #[error("{name} is 0, expected at least 1")]
    Zero {
        /// Which.
        name: &'static str,
    },
    /// The output of a transposed convolution is larger than what there is.
    #[error("offset and output reach to pixel {found} of a full result of {most}; make the output smaller")]
    Beyond {
        /// Offset and output size together.
        found: usize,
        /// The size of the full result.
        most: usize,
    },
    /// The kernel of a transposed convolution has another side.
    #[error(
        "the kernel of a transposed convolution has {kernel} taps a side, expected its stride, {stride}, or twice that"
    )]
    TransposedKernel {
        /// Taps a side.
        kernel: usize,
        /// The stride.
        stride: usize,
    },
    /// The output of a transposed convolution whose kernel has the stride's side is not the full result.
    #[error(
        "the output is {found:?} from {offset:?} on, expected all of {full:?}: kernels of the stride's side are not cropped"
    )]
    Cropped {
        /// The size of the output.
        found: [usize; 2],
        /// Its offset.
        offset: [usize; 2],
        /// The size of the full result.
        full: [usize; 2],
    },
    /// Weights were prepared for another convolution.
    #[error(
        "{shape}: the weights were prepared as {found:?}, perhaps for a map of another size; prepare them with this convolution"
    )]
    Prepared {
        /// The sizes.
        shape: Conv2dShape,
        /// The shape of the prepared weights.
        found: [usize; 4],
    },
    /// A slice has the wrong length.
    #[error("{what} has {found} values, expected {expected}; check that it is dense and of the stated shape")]
    Length {
        /// The tensor and its shape.
        what: String,
        /// Its length.
        found: usize,
        /// The length that the shape asks for.
        expected: usize,
    },
}

impl fmt::Display for Conv2dShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conv2dShape { batch, in_channels, out_channels, height, width, kernel: [r, s], pad: [py, px] } = self;
        write!(f, "convolution {r}x{s} pad {py}x{px} of [{batch}, {in_channels}, {height}, {width}] to {out_channels}")
    }
}

impl Conv2dShape {
    /// Sizes of a square kernel with the same padding on all sides.
    pub fn square(batch: usize, channels: [usize; 2], size: [usize; 2], kernel: usize, pad: usize) -> Conv2dShape {
        Conv2dShape {
            batch,
            in_channels: channels[0],
            out_channels: channels[1],
            height: size[0],
            width: size[1],
            kernel: [kernel; 2],
            pad: [pad; 2],
        }
    }

    /// OH; meaningful once [`Conv2dShape::check`] has passed.
    pub fn out_height(&self) -> usize {
        (self.height + 2 * self.pad[0] + 1).saturating_sub(self.kernel[0])
    }

    /// OW; meaningful once [`Conv2dShape::check`] has passed.
    pub fn out_width(&self) -> usize {
        (self.width + 2 * self.pad[1] + 1).saturating_sub(self.kernel[1])
    }

    /// Values in the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.height * self.width
    }

    /// Values in the weight.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.depth()
    }

    /// Values in the output.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_channels * self.out_height() * self.out_width()
    }

    /// Multiplications of one output value: C R S.
    pub fn depth(&self) -> usize {
        self.in_channels * self.kernel[0] * self.kernel[1]
    }

    /// Multiply-adds of the convolution by its definition.
    pub fn multiply_adds(&self) -> usize {
        self.output_len() * self.depth()
    }

    /// Checks that the convolution exists.
    ///
    /// # Errors
    /// A size is zero, the kernel does not fit, or a tensor cannot be addressed.
    pub fn check(&self) -> Result<(), ShapeError> {
        let shape = *self;
        for (size, value) in [
            ("the batch", self.batch),
            ("the number of input channels", self.in_channels),
            ("the number of output channels", self.out_channels),
            ("the height", self.height),
            ("the width", self.width),
            ("the kernel's height", self.kernel[0]),
            ("the kernel's width", self.kernel[1]),
        ] {
            if value == 0 {
                return Err(ShapeError::Empty { shape, size });
            }
        }
        let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
        let padded = |size: usize, pad: usize| pad.checked_mul(2).and_then(|both| size.checked_add(both));
        let (Some(high), Some(wide)) = (padded(self.height, self.pad[0]), padded(self.width, self.pad[1])) else {
            return Err(ShapeError::TooLarge { shape });
        };
        let missing = self.kernel[0].saturating_sub(high).max(self.kernel[1].saturating_sub(wide));
        if missing > 0 {
            return Err(ShapeError::KernelTooLarge { shape, needed: missing.div_ceil(2) });
        }
        for sizes in [
            [self.batch, self.in_channels, high, wide],
            [self.batch, self.out_channels, high, wide],
            [self.out_channels, self.in_channels, self.kernel[0], self.kernel[1]],
        ] {
            if product(&sizes).is_none_or(|values| values > isize::MAX as usize / 4) {
                return Err(ShapeError::TooLarge { shape });
            }
        }
        Ok(())
    }

    /// The sizes as the kernels see them.
    pub(crate) fn geometry(&self) -> Geometry {
        Geometry {
            batch: self.batch,
            channels: self.in_channels,
            size: [self.height, self.width],
            out_channels: self.out_channels,
            out_size: [self.out_height(), self.out_width()],
            kernel: self.kernel,
            offset: [self.pad[0] as isize, self.pad[1] as isize],
        }
    }
}

/// A convolution as the kernels see it: like [`Conv2dShape`], but the padding may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub batch: usize,
    pub channels: usize,
    pub size: [usize; 2],
    pub out_channels: usize,
    pub out_size: [usize; 2],
    pub kernel: [usize; 2],
    /// Output pixel y reads input pixels `y - offset ..`.
    pub offset: [isize; 2],
}

impl Geometry {
    /// The convolution that takes the gradient of the output to the gradient of the input.
    ///
    /// Its kernel is this one turned by 180 degrees with the channels exchanged. Its padding, `R - 1 - pad`, is negative
    /// where this one pads beyond the kernel: the outermost gradients then fall on padding and are dropped.
    pub(crate) fn transposed(&self) -> Geometry {
        Geometry {
            batch: self.batch,
            channels: self.out_channels,
            size: self.out_size,
            out_channels: self.channels,
            out_size: self.size,
            kernel: self.kernel,
            offset: [self.kernel[0] as isize - 1 - self.offset[0], self.kernel[1] as isize - 1 - self.offset[1]],
        }
    }

    /// Pixels of an image.
    pub(crate) fn plane(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Output pixels of all images.
    pub(crate) fn pixels(&self) -> usize {
        self.batch * self.out_size[0] * self.out_size[1]
    }

    /// Square tiles of this side that cover the output of all images.
    pub(crate) fn tiles(&self, side: usize) -> usize {
        self.batch * self.out_size.iter().map(|size| size.div_ceil(side)).product::<usize>()
    }

    /// The row of the input that is this line of the padded input, if it is no padding.
    pub(crate) fn row(&self, line: usize) -> Option<usize> {
        line.checked_add_signed(-self.offset[0]).filter(|row| *row < self.size[0])
    }

    /// Taps of the kernel.
    pub(crate) fn window(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Distances, in the stored weights, of the kernels of two output channels and of two input channels; `turned` are those
    /// of a data gradient, where this geometry is the transposed one.
    pub(crate) fn kernel_strides(&self, turned: bool) -> [usize; 2] {
        let window = self.window();
        if turned { [window, self.out_channels * window] } else { [self.channels * window, window] }
    }

    /// The taps of a large kernel that meet anything but padding: 3 x 3 of 7 x 7 on a map of 2 x 2 pixels. They are a square
    /// if the kernel is one, the same for tall maps and for wide ones. All taps of a small kernel, of which whole cache
    /// lines would be read anyway.
    pub(crate) fn busy_taps(&self) -> Taps {
        let [rows, columns] = [0, 1].map(|i| {
            // The last output pixel reaches up to the first tap, the first one down to the last.
            let first = (self.offset[i] + 1 - self.out_size[i] as isize).max(0) as usize;
            first..self.kernel[i].min((self.offset[i] + self.size[i] as isize).max(0) as usize)
        });
        if self.window() <= 9 || rows.is_empty() || columns.is_empty() {
            return self.all_taps();
        }
        if self.kernel[0] != self.kernel[1] {
            return Taps { rows, columns };
        }
        let side = rows.start.min(columns.start)..rows.end.max(columns.end);
        Taps { rows: side.clone(), columns: side }
    }

    /// All taps of the kernel.
    pub(crate) fn all_taps(&self) -> Taps {
        Taps { rows: 0..self.kernel[0], columns: 0..self.kernel[1] }
    }

    /// The same convolution with only these taps of its kernel.
    pub(crate) fn with_taps(&self, taps: &Taps) -> Geometry {
        let [rows, columns] = [&taps.rows, &taps.columns];
        let offset = [self.offset[0] - rows.start as isize, self.offset[1] - columns.start as isize];
        Geometry { kernel: [rows.len(), columns.len()], offset, ..*self }
    }

    /// Values multiplied for an output value.
    pub(crate) fn depth(&self) -> usize {
        self.channels * self.window()
    }
}

/// A rectangle of a kernel's taps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taps {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Taps {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// Checks the length of a slice against the shape that it should have.
pub(crate) fn check_len(name: &str, found: usize, shape: &[usize]) -> Result<(), ShapeError> {
    let expected = shape.iter().product();
    if found == expected {
        Ok(())
    } else {
        Err(ShapeError::Length { what: format!("{name} {shape:?}"), found, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_that_only_meet_padding_are_left_out() {
        let taps = |size, kernel, pad| {
            let Taps { rows, columns } = Conv2dShape::square(1, [1, 1], size, kernel, pad).geometry().busy_taps();
            [rows, columns]
        };
        assert_eq!(taps([1, 1], 7, 3), [3..4, 3..4]);
        assert_eq!(taps([2, 2], 7, 3), [2..5, 2..5]);
        assert_eq!(taps([1, 2], 7, 3), [2..5, 2..5]);
        assert_eq!(taps([1, 7], 7, 3), [0..7, 0..7]);
        assert_eq!(taps([4, 4], 7, 3), [0..7, 0..7]);
        assert_eq!(taps([2, 2], 7, 6), [0..7, 0..7]);
        assert_eq!(taps([1, 1], 3, 1), [0..3, 0..3]);
        let small = Conv2dShape::square(1, [1, 1], [2, 1], 7, 3).geometry();
        let cropped = small.with_taps(&small.busy_taps());
        assert_eq!((cropped.kernel, cropped.offset), ([3, 3], [1, 1]));
        assert_eq!(cropped.busy_taps(), cropped.all_taps());
    }

    #[test]
    fn impossible_shapes_are_refused_with_the_reason() {
        let good = Conv2dShape::square(1, [3, 8], [5, 5], 3, 1);
        let cases = [
            (good, None),
            (Conv2dShape { batch: 0, ..good }, Some("the batch is 0")),
            (Conv2dShape { kernel: [3, 0], ..good }, Some("the kernel's width is 0")),
            (Conv2dShape { kernel: [8, 3], ..good }, Some("pad by at least 1 more")),
            (Conv2dShape { height: usize::MAX / 2, ..good }, Some("use a smaller batch or image")),
            (Conv2dShape { pad: [usize::MAX, 0], ..good }, Some("use a smaller batch or image")),
        ];
        for (shape, want) in cases {
            let got = shape.check().err().map(|e| e.to_string());
            match want {
                None => assert_eq!(got, None),
                Some(part) => assert!(got.as_deref().is_some_and(|m| m.contains(part)), "{got:?} lacks {part:?}"),
            }
        }
    }

    #[test]
    fn the_transposed_geometry_of_the_transposed_geometry_is_the_geometry() {
        let shape = Conv2dShape { pad: [100, 0], ..Conv2dShape::square(2, [3, 8], [5, 7], 3, 1) };
        let there = shape.geometry();
        assert_eq!(there.transposed().offset, [-98, 2]);
        assert_eq!(there.transposed().transposed(), there);
    }
}
