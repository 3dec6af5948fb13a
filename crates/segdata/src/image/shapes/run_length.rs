//! Run lengths as COCO stores them, as numbers and as text.
//!
//! The pixels of a picture are numbered column after column. The first number counts those before the object, the next
//! those of the object, and so on. As text, a number is written five bits a character from the lowest on, with a sixth bit
//! that says whether more follow, 48 added; from the fourth number on it is the difference to the last but one
//! (`rleToString` and `rleFrString` of pycocotools, `maskApi.c`).

use std::ops::Range;

use crate::error::{Error, Result};
use crate::size::Size;

/// Which pixels of a picture belong to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLength {
    size: Size,
    counts: Vec<u32>,
}

impl RunLength {
    /// The object with these `counts` in a picture of `size`: pixels outside and inside by turns, column after column.
    ///
    /// # Errors
    /// Counts that do not add up to the pixels of the picture.
    pub fn new(size: Size, counts: Vec<u32>) -> Result<Self> {
        let sum: u64 = counts.iter().map(|&n| u64::from(n)).sum();
        if sum != size.pixels() as u64 {
            return Err(Error::data(format!(
                "the run lengths add up to {sum} pixels, a picture of {size} has {}",
                size.pixels()
            ))
            .hint("run lengths and size belong together: `size` is [height, width]"));
        }
        Ok(RunLength { size, counts })
    }

    /// The object that `text` describes in a picture of `size`.
    ///
    /// # Errors
    /// A character that is none of the code (its position is named); a number that the text cuts off, that is negative or
    /// too large; and those of [`RunLength::new`].
    pub fn parse(size: Size, text: &str) -> Result<Self> {
        let wrong = |at: usize, what: &str| {
            Error::data(format!("character {} of the run lengths {what}", at + 1))
                .hint("expected the text that pycocotools writes as `counts`")
        };
        let mut counts: Vec<u32> = Vec::new();
        let (mut value, mut shift) = (0i64, 0);
        for (at, byte) in text.bytes().enumerate() {
            if !(48..112).contains(&byte) {
                return Err(wrong(at, "is not one of their code"));
            }
            let bits = i64::from(byte - 48);
            // Seven characters hold 35 bits: no picture has as many pixels.
            if shift > 30 {
                return Err(wrong(at, "belongs to a number that is too large"));
            }
            value |= (bits & 0x1f) << shift;
            shift += 5;
            if bits & 0x20 != 0 {
                continue;
            }
            if bits & 0x10 != 0 {
                value |= -1 << shift;
            }
            if let Some(&before) = counts.len().checked_sub(2).filter(|_| counts.len() > 2).and_then(|i| counts.get(i))
            {
                value += i64::from(before);
            }
            counts.push(u32::try_from(value).map_err(|_| wrong(at, "ends a count below 0 or too large"))?);
            (value, shift) = (0, 0);
        }
        if shift > 0 {
            return Err(wrong(text.len(), "is missing: the text is cut off"));
        }
        Self::new(size, counts)
    }

    /// The text that [`RunLength::parse`] reads.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (i, &count) in self.counts.iter().enumerate() {
            let mut rest = i64::from(count);
            if i > 2 {
                rest -= i64::from(self.counts[i - 2]);
            }
            loop {
                let bits = (rest & 0x1f) as u8;
                rest >>= 5;
                let more = if bits & 0x10 != 0 { rest != -1 } else { rest != 0 };
                text.push(char::from(48 + bits + if more { 0x20 } else { 0 }));
                if !more {
                    break;
                }
            }
        }
        text
    }

    /// The object whose pixels, numbered column after column, are those for which `inside` holds.
    pub fn of_pixels(size: Size, inside: impl Iterator<Item = bool>) -> Self {
        let (mut counts, mut last) = (vec![0], false);
        for pixel in inside.take(size.pixels()) {
            if pixel != last {
                counts.push(0);
                last = pixel;
            }
            if let Some(count) = counts.last_mut() {
                *count += 1;
            }
        }
        RunLength { size, counts }
    }

    /// The object that begins or ends at each of the `crossings`, pixel numbers up to that of the last pixel and one more.
    pub(super) fn between(size: Size, mut crossings: Vec<usize>) -> Self {
        crossings.push(size.pixels());
        crossings.sort_unstable();
        let mut counts: Vec<u32> = Vec::with_capacity(crossings.len());
        let (mut last, mut joined) = (0, false);
        for (i, at) in crossings.into_iter().enumerate() {
            let count = (at - last) as u32;
            last = at;
            match counts.last_mut() {
                // A run without a pixel joins its neighbours, but the first one stays.
                Some(before) if joined => (*before, joined) = (*before + count, false),
                _ if count == 0 && i > 0 => joined = true,
                _ => counts.push(count),
            }
        }
        RunLength { size, counts }
    }

    /// Size of the picture.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Pixels outside and inside by turns.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Number of pixels inside.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|&n| u64::from(n)).sum()
    }

    /// The runs inside: pixel numbers, column after column.
    pub fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        let mut at = 0;
        let runs = self.counts.iter().map(move |&count| {
            let from = at;
            at += count as usize;
            from..at
        });
        runs.skip(1).step_by(2)
    }

    /// The pixels of this object or of `other`, in the same picture.
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a || b)
    }

    /// The pixels of this object that are none of `other`'s, in the same picture.
    pub fn minus(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a && !b)
    }

    /// Counts go on as long as both objects have some.
    fn combine(&self, other: &Self, keep: impl Fn(bool, bool) -> bool) -> Self {
        let sides = [&self.counts, &other.counts];
        let (mut at, mut left) = ([0; 2], [0; 2].map(|i: usize| i as u32));
        for side in 0..2 {
            left[side] = sides[side].first().copied().unwrap_or(0);
        }
        let (mut counts, mut last) = (vec![0u32], false);
        loop {
            for side in 0..2 {
                while left[side] == 0 && at[side] < sides[side].len() {
                    at[side] += 1;
                    left[side] = sides[side].get(at[side]).copied().unwrap_or(0);
                }
            }
            let step = left[0].min(left[1]);
            if step == 0 {
                break;
            }
            let inside = keep(at[0] % 2 == 1, at[1] % 2 == 1);
            if inside != last {
                counts.push(0);
                last = inside;
            }
            if let Some(count) = counts.last_mut() {
                *count += step;
            }
            left = left.map(|n| n - step);
        }
        RunLength { size: self.size, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::shapes::Polygon;

    #[derive(serde::Deserialize)]
    struct Golden {
        polygons: Vec<Drawn>,
        masks: Vec<Written>,
    }

    #[derive(serde::Deserialize)]
    struct Drawn {
        size: [usize; 2],
        polygons: Vec<Vec<f64>>,
        counts: String,
    }

    #[derive(serde::Deserialize)]
    struct Written {
        size: [usize; 2],
        counts: Vec<u32>,
        text: String,
    }

    /// Written by `reference/coco_golden.py` with pycocotools.
    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../../../../testdata/shapes/coco.json")).unwrap()
    }

    #[test]
    fn polygons_are_drawn_as_pycocotools_draws_them() {
        let mut failures = Vec::new();
        let cases = golden().polygons;
        assert_eq!(cases.len(), 240);
        for (case, Drawn { size: [height, width], polygons, counts }) in cases.into_iter().enumerate() {
            let size = Size::new(width, height);
            let filled = |flat: &Vec<f64>| Polygon::new(flat.chunks_exact(2).map(|p| [p[0], p[1]])).unwrap().fill(size);
            let drawn = polygons.iter().map(filled).reduce(|a, b| a.union(&b)).unwrap();
            if drawn.to_text() != counts {
                failures.push(format!("{case}: {size} {polygons:?}"));
            }
        }
        assert!(failures.is_empty(), "{} cases, the first: {}", failures.len(), failures[0]);
    }

    #[test]
    fn run_lengths_are_written_and_read_as_pycocotools_does() {
        let cases = golden().masks;
        assert_eq!(cases.len(), 60);
        for Written { size: [height, width], counts, text } in cases {
            let size = Size::new(width, height);
            let plain = RunLength::new(size, counts).unwrap();
            assert_eq!(plain.to_text(), text);
            assert_eq!(RunLength::parse(size, &text).unwrap(), plain);
            let mut inside = vec![false; size.pixels()];
            plain.runs().for_each(|run| inside[run].fill(true));
            assert_eq!(plain.area(), inside.iter().filter(|inside| **inside).count() as u64);
            assert_eq!(RunLength::of_pixels(size, inside.into_iter()), plain);
        }
    }

    #[test]
    fn sets_of_pixels_combine() {
        let size = Size::new(4, 3);
        let object = |counts: &[u32]| RunLength::new(size, counts.to_vec()).unwrap();
        let (a, b) = (object(&[2, 4, 6]), object(&[0, 3, 2, 1, 6]));
        assert_eq!(a.union(&b).counts(), [0, 6, 6]);
        assert_eq!(a.minus(&b).counts(), [3, 2, 7]);
        assert_eq!(a.minus(&a).counts(), [12]);
        assert_eq!(object(&[12]).union(&object(&[0, 12])).counts(), [0, 12]);
        assert_eq!(object(&[2, 0, 0, 4, 0, 0, 6]).union(&object(&[12])), a);
    }

    #[test]
    fn damaged_run_lengths_are_refused() {
        let size = Size::new(3, 2);
        let cases = [
            ("", "add up to 0 pixels, a picture of 3x2 has 6"),
            ("7", "add up to 7"),
            ("1 5", "character 2 of the run lengths is not one"),
            ("1é", "character 2"),
            ("oooooooo0", "character 8 of the run lengths belongs to a number that is too large"),
            ("1R", "character 3 of the run lengths is missing"),
            ("11O", "character 3 of the run lengths ends a count below 0"),
        ];
        for (text, expected) in cases {
            let error = RunLength::parse(size, text).unwrap_err();
            assert!(error.message.contains(expected) && error.hint.is_some(), "{text}: {error}");
        }
        assert!(RunLength::new(size, vec![u32::MAX, u32::MAX]).is_err());
        assert_eq!(RunLength::parse(size, "6").unwrap().area(), 0);
    }
}
