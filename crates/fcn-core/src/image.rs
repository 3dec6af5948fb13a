//! Photographs and masks in and out: decode, resize, pad, write. `RgbImage` in, `LabelMap` out.

/// An 8-bit RGB photograph, row-major, interleaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width * 3` bytes: red, green, blue.
    pub rgb_hwc: Vec<u8>,
}
