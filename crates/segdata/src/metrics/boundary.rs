//! Boundary IoU (Cheng, Girshick, Dollar, Berg & Kirillov, "Boundary IoU: Improving object-centric image segmentation
//! evaluation", CVPR 2021): the IoU of the two bands of width `d` inside the contours of truth and prediction.
//!
//! `d` is 2 % of the image diagonal, at least 1, as in the paper's evaluation of LVIS and Cityscapes; the border of
//! the image is a contour, as in its published code. A pixel lies in the band of its class when a square of radius `d`
//! around it leaves the class (erosion with a 3x3 square, `d` times).
//!
//! Differs from the paper: void. Before contours are drawn, the prediction is made void where the truth is void, so
//! that both have the same contour there, a prediction that is right on every labelled pixel scores 1, and no void
//! pixel is counted. And the counts of all images are added before dividing, as for mIoU, class by class.

use super::confusion::same_size;
use super::ratio::{mean, ratio};
use crate::error::Result;
use crate::labels::{LabelMap, VOID};
use crate::size::Size;

/// Width of the band in pixels: 2 % of the diagonal, rounded, at least 1.
pub fn band_radius_px(size: Size) -> usize {
    const SHARE_OF_DIAGONAL: f64 = 0.02;
    let diagonal = (size.width as f64).hypot(size.height as f64);
    (SHARE_OF_DIAGONAL * diagonal).round_ties_even().max(1.0) as usize
}

/// Pixels of the bands along the contours, by class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundaryCounts {
    /// In the band of both truth and prediction.
    both: Vec<u64>,
    /// In the band of the truth.
    truth: Vec<u64>,
    /// In the band of the prediction.
    prediction: Vec<u64>,
}

impl BoundaryCounts {
    /// Nothing counted yet, for ids `0..classes`.
    pub fn new(classes: usize) -> Self {
        BoundaryCounts { both: vec![0; classes], truth: vec![0; classes], prediction: vec![0; classes] }
    }

    /// Adds one image. Fails when the two maps differ in size.
    pub fn add(&mut self, truth: &LabelMap, prediction: &LabelMap) -> Result<()> {
        same_size(truth, prediction)?;
        let radius = band_radius_px(truth.size());
        let masked: Vec<u8> =
            truth.ids.iter().zip(&prediction.ids).map(|(&t, &p)| if t == VOID { VOID } else { p }).collect();
        let truth_inside = interior(&truth.ids, truth.width, radius);
        let prediction_inside = interior(&masked, truth.width, radius);
        let classes = self.both.len();
        for i in 0..masked.len() {
            let (t, p) = (usize::from(truth.ids[i]), usize::from(masked[i]));
            let in_truth_band = t < classes && !truth_inside[i];
            let in_prediction_band = p < classes && !prediction_inside[i];
            if in_truth_band {
                self.truth[t] += 1;
            }
            if in_prediction_band {
                self.prediction[p] += 1;
            }
            if in_truth_band && in_prediction_band && t == p {
                self.both[t] += 1;
            }
        }
        Ok(())
    }

    /// Adds the counts of another set over the same classes.
    pub fn merge(&mut self, other: &BoundaryCounts) {
        let add = |into: &mut [u64], from: &[u64]| into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        add(&mut self.both, &other.both);
        add(&mut self.truth, &other.truth);
        add(&mut self.prediction, &other.prediction);
    }

    /// Boundary IoU of a class; `None` for a class in neither truth nor prediction.
    pub fn iou(&self, class: usize) -> Option<f64> {
        ratio(self.both[class], self.truth[class] + self.prediction[class] - self.both[class])
    }

    /// Mean over the classes that have one.
    pub fn mean_iou(&self) -> Option<f64> {
        mean((0..self.both.len()).map(|class| self.iou(class)))
    }
}

/// Whether the square of `radius` around each pixel lies in the image and holds one id only. Linear in the pixels for
/// any radius: the square is constant when its row segment is, and the row segments above and below are and agree.
fn interior(ids: &[u8], width: usize, radius: usize) -> Vec<bool> {
    let height = ids.len().checked_div(width).unwrap_or(0);
    let span = 2 * radius + 1;
    let mut row_constant = vec![false; ids.len()];
    for y in 0..height {
        let row = &ids[y * width..(y + 1) * width];
        let mut run = 0; // length of the run of one id that ends at x
        for x in 0..width {
            run = if x > 0 && row[x] == row[x - 1] { run + 1 } else { 1 };
            if run >= span {
                row_constant[y * width + x - radius] = true;
            }
        }
    }
    let mut inside = vec![false; ids.len()];
    let mut runs = vec![0usize; width]; // by column: rows up to y that are constant and of one id
    for y in 0..height {
        for (x, run) in runs.iter_mut().enumerate() {
            let i = y * width + x;
            *run = match row_constant[i] {
                false => 0,
                true if *run > 0 && ids[i] == ids[i - width] => *run + 1,
                true => 1,
            };
            if *run >= span {
                inside[i - radius * width] = true;
            }
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Rng};

    /// The slow twin: looks at every pixel of every square.
    fn slow_interior(ids: &[u8], width: usize, radius: usize) -> Vec<bool> {
        let height = ids.len() / width;
        let (w, h, r) = (width as isize, height as isize, radius as isize);
        (0..h)
            .flat_map(|y| (0..w).map(move |x| (y, x)))
            .map(|(y, x)| {
                (y - r..=y + r).all(|v| {
                    (x - r..=x + r).all(|u| {
                        (0..h).contains(&v)
                            && (0..w).contains(&u)
                            && ids[(v * w + u) as usize] == ids[(y * w + x) as usize]
                    })
                })
            })
            .collect()
    }

    fn blobs(seed: u64, width: usize, height: usize) -> LabelMap {
        let mut rng = Rng::derive(seed, Purpose::Bench, &[]);
        let mut map = LabelMap::filled(Size { width, height }, 0);
        for _ in 0..8 {
            let (id, cx, cy) = ([0, 1, 2, VOID][rng.below(4)], rng.below(width), rng.below(height));
            let (rx, ry) = (1 + rng.below(12), 1 + rng.below(12));
            for y in cy.saturating_sub(ry)..(cy + ry).min(height) {
                for x in cx.saturating_sub(rx)..(cx + rx).min(width) {
                    map.ids[y * width + x] = id;
                }
            }
        }
        map
    }

    #[test]
    fn interior_equals_the_slow_twin() {
        for (width, height) in [(1, 1), (7, 1), (1, 9), (40, 31), (33, 64)] {
            for radius in [1, 2, 5, 40] {
                let map = blobs(width as u64 * 31 + radius as u64, width, height);
                assert_eq!(
                    interior(&map.ids, width, radius),
                    slow_interior(&map.ids, width, radius),
                    "{width}x{height}, radius {radius}"
                );
            }
        }
    }

    #[test]
    fn a_right_prediction_scores_one_whatever_is_predicted_in_the_void() {
        for seed in 0..20 {
            let truth = blobs(seed, 50, 40);
            let mut prediction = truth.clone();
            let mut rng = Rng::derive(seed, Purpose::Draw, &[]);
            prediction.ids.iter_mut().filter(|id| **id == VOID).for_each(|id| *id = rng.below(3) as u8);
            let mut counts = BoundaryCounts::new(3);
            counts.add(&truth, &prediction).unwrap();
            assert!(matches!(counts.mean_iou(), None | Some(1.0)), "seed {seed}: {:?}", counts.mean_iou());
        }
    }

    #[test]
    fn the_band_of_a_square_is_counted_by_hand() {
        // 50x50: diagonal 70.7, d = 1. A 10x10 square has a band of 36 pixels; shifted by one pixel to the right the
        // two bands share 2 x 9 pixels of the top and bottom rows and nothing of the sides' own columns but the ends.
        let square = |left: usize| {
            let mut map = LabelMap::filled(Size::new(50, 50), 0);
            (20..30).for_each(|y| (left..left + 10).for_each(|x| map.ids[y * 50 + x] = 1));
            map
        };
        assert_eq!(band_radius_px(Size::new(50, 50)), 1);
        let mut counts = BoundaryCounts::new(2);
        counts.add(&square(20), &square(21)).unwrap();
        assert_eq!((counts.truth[1], counts.prediction[1], counts.both[1]), (36, 36, 18));
    }

    #[test]
    fn the_band_is_two_percent_of_the_diagonal() {
        for (width, height, radius) in [(1, 1, 1), (50, 50, 1), (500, 375, 12), (2048, 1024, 46)] {
            assert_eq!(band_radius_px(Size { width, height }), radius, "{width}x{height}");
        }
    }
}
