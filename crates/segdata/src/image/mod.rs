//! Photographs and masks in and out: decode, normalise, encode.
//!
//! ```text
//! bytes -> format -> header -> decode -> RgbImage        (jpeg: markers of ITU-T T.81, strict decoding)
//!                           \> mask, mask_png -> RawMask -> LabelMap, by a MaskCoding
//! polygons, run lengths, bitmaps -> shapes -> LabelMap
//! RgbImage -> preprocessing -> [3, H, W] floats
//! ```
//!
//! The bytes of a file come in; an [`RgbImage`] (8 bit, row-major, interleaved) or a
//! [`LabelMap`](crate::labels::LabelMap) goes out. The format is found from the content, never from the file name. Sizes
//! are checked in the header before anything is allocated. What a decoder would guess at is refused instead: see
//! [`decode_rgb_within`] for the policy of each case.
//!
//! Formats: JPEG (ITU-T T.81), PNG (ISO/IEC 15948), BMP, TIFF 6.0, WebP (RFC 9649), GIF 89a; orientation from EXIF 2.3.

mod decode;
mod format;
mod header;
mod jpeg;
mod mask;
mod mask_png;
mod photograph;
pub mod preprocessing;
mod raw_mask;
pub mod shapes;

pub use decode::{DEFAULT_MAX_PIXELS, decode_rgb, decode_rgb_within, verify};
pub use format::{Format, IMAGE_EXTENSIONS, guess_format};
pub use header::{Header, read_header};
pub use mask::decode_mask;
pub(crate) use mask_png::MaskHeader;
pub use mask_png::encode_mask_png;
pub use photograph::RgbImage;
pub use raw_mask::{MaskPixels, RawMask};

pub(crate) use decode::{check_size, decode_dynamic};

#[cfg(test)]
pub(crate) mod tests;
