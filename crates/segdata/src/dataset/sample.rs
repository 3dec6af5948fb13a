//! One photograph and its mask: decoded, encoded, or as they lie on disk.

use crate::error::{Error, Result};
use crate::image::{Header, MaskPixels, RawMask, RgbImage};
use crate::labels::LabelMap;
use crate::size::Size;

/// A photograph and its class ids, of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The name without folder and extension.
    pub id: String,
    /// The photograph, in its stored frame (EXIF orientation not applied).
    pub image: RgbImage,
    /// Class ids below the number of classes, or void.
    pub labels: LabelMap,
}

/// A sample whose photograph is still encoded, as records store it.
#[derive(Clone, Debug)]
pub struct EncodedSample {
    /// The name without folder and extension.
    pub id: String,
    /// The image file's bytes, untouched.
    pub encoded: Vec<u8>,
    /// What its header says.
    pub header: Header,
    /// Class ids below the number of classes, or void; of the image's stored size.
    pub labels: LabelMap,
}

/// The two halves of a sample as they lie on disk; one may be readable where the other is not.
#[derive(Debug)]
pub(crate) struct Pair {
    pub image: Result<Vec<u8>>,
    pub mask: Result<RawMask>,
}

/// Image and mask must agree pixel for pixel; a rotation asked for by EXIF is the usual reason when they do not.
pub(crate) fn check_sizes(header: &Header, mask: Size) -> Result<()> {
    if header.size == mask {
        return Ok(());
    }
    let what = format!("the image is {}, its mask {mask}", header.size);
    if header.upright_size() == mask {
        return Err(Error::data(format!(
            "{what}: the photograph is stored turned (EXIF orientation {}), the mask was drawn on it upright",
            header.orientation
        ))
        .hint(
            "turn the pixels of the photograph upright and drop the EXIF tag (`exiftran -ai`), or let `convert` do it with `exif` upright",
        ));
    }
    Err(Error::data(what)
        .hint("a mask needs one pixel for each pixel of its photograph: correct the pair or leave it out"))
}

/// The mask of a record, or any other array of class ids, as a mask file would be seen.
pub(crate) fn mask_of_ids(size: Size, ids: Vec<u8>) -> RawMask {
    let Size { width, height } = size;
    RawMask { width, height, pixels: MaskPixels::Index8(ids), palette: None, bits: 8, class_ids: false }
}
