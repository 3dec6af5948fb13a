//! The size of an image or a mask, so that width and height cannot be exchanged.

use std::fmt;

/// Width and height in pixels; either may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// `width` columns and `height` rows.
    pub const fn new(width: usize, height: usize) -> Self {
        Size { width, height }
    }

    /// Number of pixels; `usize::MAX` where the product is larger, so that a limit refuses it.
    pub const fn pixels(self) -> usize {
        self.width.saturating_mul(self.height)
    }

    /// The shorter side in pixels.
    pub fn shorter_side(self) -> usize {
        self.width.min(self.height)
    }

    /// The size after a rotation by 90 degrees.
    pub const fn transposed(self) -> Self {
        Size { width: self.height, height: self.width }
    }
}

/// `WIDTHxHEIGHT`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_width_by_height() {
        let size = Size::new(500, 375);
        assert_eq!((size.to_string(), size.pixels(), size.shorter_side()), ("500x375".into(), 187_500, 375));
        assert_eq!(size.transposed(), Size::new(375, 500));
        assert_eq!(Size::new(usize::MAX, 2).pixels(), usize::MAX);
        assert!(Size::new(1, 9) < Size::new(2, 1), "sizes are in the order of their widths");
    }
}
