//! Label maps: one class id a pixel.

use rayon::prelude::*;

use crate::size::Size;

/// One class id a pixel, row-major, at the size of the photograph it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width` class ids, row-major; [`VOID`](super::VOID) where there is no label.
    pub ids: Vec<u8>,
}

impl LabelMap {
    /// A map of one id everywhere.
    pub fn filled(size: Size, id: u8) -> Self {
        LabelMap { width: size.width, height: size.height, ids: vec![id; size.pixels()] }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

/// Pixels that one task turns from scores into labels.
const PIXELS_PER_TASK: usize = 8192;

/// The class with the highest score of each pixel (`scores` are `[classes, pixels]`); of equal ones the lowest id.
/// `None` where a score is infinite or NaN.
pub fn most_likely(scores: &[f32], classes: usize) -> Option<Vec<u8>> {
    let pixels = scores.len() / classes.max(1);
    let mut ids = vec![0u8; pixels];
    let all_finite = ids
        .par_chunks_mut(PIXELS_PER_TASK)
        .enumerate()
        .map(|(task, ids)| {
            let start = task * PIXELS_PER_TASK;
            let mut best = scores[start..start + ids.len()].to_vec();
            let mut finite = best.iter().all(|score| score.is_finite());
            for class in 1..classes {
                let plane = &scores[class * pixels + start..][..ids.len()];
                for ((id, best), &score) in ids.iter_mut().zip(&mut best).zip(plane) {
                    finite &= score.is_finite();
                    if score > *best {
                        *best = score;
                        *id = class as u8;
                    }
                }
            }
            finite
        })
        .reduce(|| true, |a, b| a && b);
    all_finite.then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_give_the_lowest_id_and_infinite_and_nan_scores_none() {
        assert_eq!(most_likely(&[1.0, 0.0, 1.0, 5.0, 1.0, 5.0], 3).unwrap(), [0, 1]);
        assert_eq!(most_likely(&[1.0, f32::NAN], 2), None);
        assert_eq!(most_likely(&[f32::NAN, 1.0], 2), None);
        assert_eq!(most_likely(&[f32::INFINITY, 1.0], 1), None);
    }
}
