//! Photographs and masks in and out: decode, normalise, encode.
//!
//! ```text
//! bytes -> format -> header -> decode, by options -> RgbImage   (jpeg: markers of ITU-T T.81, strict decoding)
//!                           \> mask, mask_png -> RawMask -> LabelMap, by a MaskCoding   (tiff: samples by band)
//! polygons, run lengths, bitmaps -> shapes -> LabelMap
//! RgbImage -> preprocessing -> [3, H, W] floats
//! ```
//!
//! The bytes of a file come in; an [`RgbImage`] (8 bit, row-major, interleaved) or a
//! [`LabelMap`](crate::labels::LabelMap) goes out. The format is found from the content, never from the file name. Sizes
//! are checked in the header before anything is allocated. What a decoder would guess at is refused instead: see
//! [`decode_rgb_with`] for the policy of each case. A whole file of a kind that is not read is said to be what it is
//! ([`kinds`](crate::files::kinds)), and not a damaged one.
//!
//! Formats: JPEG (ITU-T T.81), PNG (ISO/IEC 15948), BMP, TIFF 6.0 and BigTIFF, WebP (RFC 9649), GIF 89a, PNM (Netpbm);
//! orientation from EXIF 2.3.

mod decode;
mod format;
mod header;
mod jpeg;
mod mask;
mod mask_png;
mod options;
mod photograph;
pub mod preprocessing;
mod raw_mask;
pub mod shapes;
mod tiff;

pub use decode::{Verified, decode_rgb, decode_rgb_with, verify_with};
pub use format::{Format, IMAGE_EXTENSIONS, guess_format};
pub use header::{Header, count_images, read_header};
pub use mask::decode_mask;
pub(crate) use mask::read_mask_header;
pub(crate) use mask_png::MaskHeader;
pub use mask_png::encode_mask_png;
pub use options::{Bands, DEFAULT_MAX_PIXELS, ReadOptions, Scale16};
pub use photograph::RgbImage;
pub use raw_mask::{MaskPixels, RawMask};

pub(crate) use decode::{check_size, decode_dynamic};
pub(crate) use options::fewest_bits;

#[cfg(test)]
pub(crate) mod tests;
