//! What becomes of the sums of a convolution before they are stored: bias, activation, maxima over windows.

use crate::shape::Geometry;

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

/// Where windows stop at the right and lower border of an odd size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Border {
    /// Whole windows only: H / 2 rows.
    Floor,
    /// The last window may be cut off: (H + 1) / 2 rows, as in Caffe.
    Ceil,
}

impl Border {
    /// Height and width of the maxima of so many rows and columns.
    pub fn out_size(self, size: [usize; 2]) -> [usize; 2] {
        size.map(|s| match self {
            Border::Floor => s / 2,
            Border::Ceil => s.div_ceil(2),
        })
    }
}

/// What becomes of the sums before they are stored.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// Added to each channel, `[K]`.
    pub bias: Option<&'a [f32]>,
    /// Applied then.
    pub activation: Activation,
    /// Then the maximum over windows of 2x2 pixels.
    pub pool: Option<Border>,
}

impl Epilogue<'_> {
    /// No bias, no activation, no pool.
    pub(crate) const NOTHING: Epilogue<'static> = Epilogue { bias: None, activation: Activation::Identity, pool: None };

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
