//! What an image file is, and what it holds if it is taken for a mask.

use std::io::Read;
use std::path::{Path, PathBuf};

use fcn_core::{Error, ErrorKind, Result};
use segdata::files::read::{open, read};
use segdata::image::{Header, RawMask, count_images, guess_format, read_header};
use serde::Serialize;

use crate::report;

/// Values that are listed.
const SHOWN: usize = 12;

/// An image file.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// The file.
    pub file: PathBuf,
    /// `jpeg`, `png`, ...
    pub encoding: String,
    /// Stored pixels.
    pub height: usize,
    /// Stored pixels.
    pub width: usize,
    /// What EXIF says, 1 to 8; 1 is upright.
    pub orientation: u8,
    /// Pages or frames.
    pub images: usize,
    /// What it holds as a mask; `None` of an image that cannot be one.
    pub mask: Option<MaskInfo>,
}

/// An image as a mask.
#[derive(Clone, Debug, Serialize)]
pub struct MaskInfo {
    /// Bits of a sample.
    pub bits: u8,
    /// Colours of its palette, if it has one.
    pub palette: Option<usize>,
    /// Whether the file says that its values are class ids, as this program's masks do.
    pub class_ids: bool,
    /// Values or colours, and the pixels of each, the most frequent first.
    pub values: Vec<(String, u64)>,
}

/// Describes the image file at `path`; `None` where it is none.
///
/// # Errors
/// A file that cannot be read.
pub fn picture(path: &Path) -> Result<Option<Picture>> {
    // Weights have gigabytes: the beginning says whether the rest is of interest.
    let mut start = Vec::new();
    let opened = open(ErrorKind::Data, "the file", path)?;
    opened.take(4096).read_to_end(&mut start).map_err(|e| Error::io("read the file", path, &e))?;
    if guess_format(&start).is_err() {
        return Ok(None);
    }
    let bytes = read("the file", path)?;
    let Ok(Header { format, size, orientation }) = read_header(&bytes) else { return Ok(None) };
    let mask = RawMask::decode(&bytes).ok().map(|mask| {
        let mut values: Vec<_> = mask.histogram().into_iter().map(|(value, n)| (value.to_string(), n)).collect();
        values.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let palette = mask.palette.as_ref().map(Vec::len);
        MaskInfo { bits: mask.bits, palette, class_ids: mask.class_ids, values }
    });
    Ok(Some(Picture {
        file: path.to_path_buf(),
        encoding: format.name().into(),
        height: size.height,
        width: size.width,
        orientation,
        images: count_images(&bytes),
        mask,
    }))
}

/// The description in lines.
pub fn text(found: &Picture, all: bool) -> String {
    let mut lines = vec![
        format!("{} image: {}", found.encoding.to_uppercase(), found.file.display()),
        format!("height x width     {}x{}", found.height, found.width),
    ];
    if found.orientation != 1 {
        lines.push(format!(
            "EXIF orientation   {}: viewers turn it, masks are drawn on stored pixels",
            found.orientation
        ));
    }
    if found.images > 1 {
        lines.push(format!("pages or frames    {}, of which the first is read", found.images));
    }
    match &found.mask {
        None => lines.push("as a mask          no: it has no exact values".into()),
        Some(mask) => {
            let palette = mask.palette.map_or(String::new(), |n| format!(", palette of {n} colours"));
            let ids = if mask.class_ids { ", class ids as this program writes them" } else { "" };
            lines.push(format!("as a mask          {} bits a sample{palette}{ids}", mask.bits));
            let shown = if all { mask.values.len() } else { SHOWN };
            let pixels = (found.height * found.width).max(1) as f64;
            for (value, n) in mask.values.iter().take(shown) {
                lines.push(format!("  {value:<16} {}", report::percent(*n as f64 / pixels)));
            }
            if let Some(more @ 1..) = mask.values.len().checked_sub(shown) {
                lines.push(format!("  and {more} more values"));
            }
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use segdata::image::{RgbImage, encode_mask_png};
    use segdata::labels::{Classes, LabelMap};
    use segdata::size::Size;

    #[test]
    fn pictures_and_masks_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, bytes: Vec<u8>| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
            folder.path().join(name)
        };
        let photograph = at("a.jpg", RgbImage::filled(Size::new(8, 4), [9; 3]).to_jpeg(90).unwrap());
        let found = picture(&photograph).unwrap().unwrap();
        assert_eq!((found.height, found.width, found.mask.is_none()), (4, 8, true));
        assert!(text(&found, false).contains("4x8"));
        let labels = LabelMap { width: 2, height: 2, ids: vec![0, 0, 0, 7] };
        let mask = at("a.png", encode_mask_png(&labels, &Classes::voc()).unwrap());
        let described = text(&picture(&mask).unwrap().unwrap(), false);
        assert!(described.contains("class ids as this program") && described.contains("75.00 %"), "{described}");
        assert!(picture(&at("a.txt", b"text".to_vec())).unwrap().is_none());
    }
}
