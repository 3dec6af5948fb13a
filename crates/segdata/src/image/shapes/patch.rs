//! Small masks with a place: what drawing tools store of a brushed object.

use crate::error::{Error, Result};
use crate::image::{DEFAULT_MAX_PIXELS, check_size, decode_dynamic, read_header};
use crate::size::Size;

/// A mask of an object's surroundings, and where its upper left corner lies in the picture, which it may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    pub(super) left: i64,
    pub(super) top: i64,
    pub(super) size: Size,
    /// Pixels outside and inside the object by turns, row after row.
    pub(super) counts: Vec<u32>,
}

/// Places beyond this many pixels are refused, as coordinates of polygons are.
const MAX_PLACE: i64 = 1_000_000;

impl Patch {
    /// The object of `counts` (pixels outside and inside by turns, row after row) in a mask of `size` whose upper left
    /// corner is column `left`, row `top` of the picture.
    ///
    /// # Errors
    /// Counts that do not add up to the pixels of the mask; a place more than a million pixels away.
    pub fn new(left: i64, top: i64, size: Size, counts: Vec<u32>) -> Result<Self> {
        if left.unsigned_abs().max(top.unsigned_abs()) > MAX_PLACE as u64 {
            return Err(Error::data(format!("the mask lies at column {left}, row {top}"))
                .hint(format!("a place is in pixels, at most {MAX_PLACE} away")));
        }
        check_size(size, DEFAULT_MAX_PIXELS)?;
        let sum: u64 = counts.iter().map(|&n| u64::from(n)).sum();
        if sum != size.pixels() as u64 {
            return Err(Error::data(format!(
                "the run lengths add up to {sum} pixels, a mask of {size} has {}",
                size.pixels()
            ))
            .hint("run lengths and size belong together"));
        }
        Ok(Patch { left, top, size, counts })
    }

    /// Column and row of its upper left corner.
    pub fn place(&self) -> [i64; 2] {
        [self.left, self.top]
    }

    /// The size of the mask.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Pixels outside and inside the object by turns, row after row.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// The object in an image file of one channel or with transparency: what is neither 0 nor transparent is inside.
    ///
    /// # Errors
    /// A file that is no image or is damaged; and those of [`Patch::new`].
    pub fn of_image(left: i64, top: i64, bytes: &[u8]) -> Result<Self> {
        let header = read_header(bytes)?;
        check_size(header.size, DEFAULT_MAX_PIXELS)?;
        let decoded = decode_dynamic(bytes, &header)?;
        let with_alpha = decoded.color().has_alpha();
        let pixels = decoded.into_rgba8();
        let inside = pixels.pixels().map(|p| if with_alpha { p.0[3] > 0 } else { p.0[..3] != [0; 3] });
        let (mut counts, mut last) = (vec![0u32], false);
        for pixel in inside {
            if pixel != last {
                counts.push(0);
                last = pixel;
            }
            if let Some(count) = counts.last_mut() {
                *count += 1;
            }
        }
        Self::new(left, top, header.size, counts)
    }

    /// Calls `paint` with each stretch of a row that is inside and in a picture of `size`: row, first column, one past the
    /// last.
    pub(super) fn each_stretch(&self, size: Size, mut paint: impl FnMut(usize, usize, usize)) {
        let (width, clip) = (self.size.width, |v: i64| v.clamp(0, size.width as i64) as usize);
        let mut at = 0;
        for (i, &count) in self.counts.iter().enumerate() {
            let end = at + count as usize;
            while i % 2 == 1 && at < end {
                let (row, column) = (at / width, at % width);
                let stretch = (width - column).min(end - at);
                let y = self.top + row as i64;
                let from = self.left + column as i64;
                if (0..size.height as i64).contains(&y) {
                    paint(y as usize, clip(from), clip(from + stretch as i64));
                }
                at += stretch;
            }
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::encode_mask_png;
    use crate::labels::{Classes, LabelMap};

    fn drawn(patch: &Patch, size: Size) -> Vec<usize> {
        let mut pixels = Vec::new();
        patch.each_stretch(size, |y, from, to| pixels.extend((from..to).map(|x| y * size.width + x)));
        pixels
    }

    #[test]
    fn a_patch_is_drawn_row_by_row_and_cut_at_the_border() {
        let patch = |left, top| Patch::new(left, top, Size::new(3, 2), vec![1, 4, 1]).unwrap();
        let picture = Size::new(4, 4);
        assert_eq!(drawn(&patch(0, 0), picture), [1, 2, 4, 5]);
        assert_eq!(drawn(&patch(2, 3), picture), [15]);
        assert_eq!(drawn(&patch(-1, -1), picture), [0]);
        assert!(drawn(&patch(9, 9), picture).is_empty());
        for (left, counts, expected) in [(0, vec![1, 4], "add up to 5"), (i64::MIN, vec![6], "lies at column")] {
            let error = Patch::new(left, 0, Size::new(3, 2), counts).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
        }
        assert!(Patch::new(0, 0, Size::new(usize::MAX, 2), vec![]).is_err());
    }

    #[test]
    fn what_is_not_black_in_an_image_is_inside() {
        let labels = LabelMap { width: 3, height: 2, ids: vec![0, 1, 0, 0, 1, 1] };
        let png = encode_mask_png(&labels, &Classes::named(["a", "b"])).unwrap();
        assert_eq!(Patch::of_image(5, 6, &png).unwrap(), Patch::new(5, 6, Size::new(3, 2), vec![1, 1, 2, 2]).unwrap());
        assert!(Patch::of_image(0, 0, b"<html>").is_err());
    }
}
