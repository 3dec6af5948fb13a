//! The confusion matrix, and the scores that are computed from it.

use super::ratio::{mean, ratio};
use crate::error::{Error, Result};
use crate::labels::{LabelMap, VOID};

/// How many pixels of each true class were predicted as each class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// `[truth][prediction]`, row-major.
    counts: Vec<u64>,
    /// Pixels of each true class whose prediction is no class at all.
    unclassified: Vec<u64>,
    void_pixels: u64,
    truth_out_of_range: u64,
}

impl ConfusionMatrix {
    /// An empty matrix for ids `0..classes`; at most 255 classes, since 255 is [`VOID`].
    pub fn new(classes: usize) -> Self {
        debug_assert!(classes <= usize::from(VOID), "{classes} classes do not fit below the void id {VOID}");
        ConfusionMatrix {
            classes,
            counts: vec![0; classes * classes],
            unclassified: vec![0; classes],
            void_pixels: 0,
            truth_out_of_range: 0,
        }
    }

    /// Adds one image. Pixels whose truth is [`VOID`] count nowhere. A labelled pixel predicted as void or as an id
    /// that is no class is wrong: it lowers the accuracy and the IoU of its true class. Truth that is neither void nor
    /// a class cannot be scored; it is only counted, in [`truth_out_of_range`](Self::truth_out_of_range).
    ///
    /// Fails when the two maps differ in size.
    pub fn add(&mut self, truth: &LabelMap, prediction: &LabelMap) -> Result<()> {
        same_size(truth, prediction)?;
        // Counted in a flat table of all 256 x 256 pairs: no branch in the loop over pixels.
        let mut pairs = vec![0u64; 256 * 256];
        for (&t, &p) in truth.ids.iter().zip(&prediction.ids) {
            pairs[usize::from(t) << 8 | usize::from(p)] += 1;
        }
        for (truth_id, row) in pairs.chunks_exact(256).enumerate() {
            let (hits, misses) = row.split_at(self.classes);
            let missed: u64 = misses.iter().sum();
            if truth_id < self.classes {
                let first = truth_id * self.classes;
                for (count, hit) in self.counts[first..first + self.classes].iter_mut().zip(hits) {
                    *count += hit;
                }
                self.unclassified[truth_id] += missed;
            } else {
                let pixels = hits.iter().sum::<u64>() + missed;
                match truth_id == usize::from(VOID) {
                    true => self.void_pixels += pixels,
                    false => self.truth_out_of_range += pixels,
                }
            }
        }
        Ok(())
    }

    /// Adds the counts of another matrix over the same classes.
    pub fn merge(&mut self, other: &ConfusionMatrix) {
        assert_eq!(self.classes, other.classes, "matrices over different class lists cannot be added");
        let add = |into: &mut [u64], from: &[u64]| into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        add(&mut self.counts, &other.counts);
        add(&mut self.unclassified, &other.unclassified);
        self.void_pixels += other.void_pixels;
        self.truth_out_of_range += other.truth_out_of_range;
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Pixels of class `truth` predicted as class `prediction`.
    pub fn count(&self, truth: usize, prediction: usize) -> u64 {
        self.counts[truth * self.classes + prediction]
    }

    /// The matrix, rows truth, columns prediction.
    pub fn rows(&self) -> Vec<Vec<u64>> {
        self.counts.chunks(self.classes.max(1)).map(<[u64]>::to_vec).collect()
    }

    /// All pixels of class `truth`, however predicted.
    pub fn truth_pixels(&self, truth: usize) -> u64 {
        let row = &self.counts[truth * self.classes..(truth + 1) * self.classes];
        row.iter().sum::<u64>() + self.unclassified[truth]
    }

    /// All labelled pixels predicted as class `prediction`.
    pub fn predicted_pixels(&self, prediction: usize) -> u64 {
        (0..self.classes).map(|truth| self.count(truth, prediction)).sum()
    }

    /// Labelled pixels: those that count.
    pub fn labelled_pixels(&self) -> u64 {
        (0..self.classes).map(|truth| self.truth_pixels(truth)).sum()
    }

    /// Pixels whose truth is void.
    pub fn void_pixels(&self) -> u64 {
        self.void_pixels
    }

    /// Labelled pixels whose prediction is no class.
    pub fn unclassified_pixels(&self) -> u64 {
        self.unclassified.iter().sum()
    }

    /// Pixels whose truth is neither void nor a class.
    pub fn truth_out_of_range(&self) -> u64 {
        self.truth_out_of_range
    }

    /// `n_ii / (t_i + sum_j n_ji - n_ii)`; `None` for a class in neither truth nor prediction.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let both = self.count(class, class);
        ratio(both, self.truth_pixels(class) + self.predicted_pixels(class) - both)
    }

    /// `n_ii / t_i`; `None` for a class that is not in the truth.
    pub fn accuracy(&self, class: usize) -> Option<f64> {
        ratio(self.count(class, class), self.truth_pixels(class))
    }

    /// Share of the labelled pixels that are right; `None` without labelled pixels.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        ratio((0..self.classes).map(|c| self.count(c, c)).sum(), self.labelled_pixels())
    }

    /// Mean of the accuracy over the classes of the truth.
    pub fn mean_accuracy(&self) -> Option<f64> {
        mean((0..self.classes).map(|c| self.accuracy(c)))
    }

    /// Mean of the IoU over the classes present in truth or prediction.
    pub fn miou(&self) -> Option<f64> {
        mean((0..self.classes).map(|c| self.iou(c)))
    }

    /// Mean of the IoU weighted by the pixels of the truth.
    pub fn fw_iou(&self) -> Option<f64> {
        let labelled = self.labelled_pixels();
        let weighted =
            (0..self.classes).filter_map(|c| self.iou(c).map(|iou| self.truth_pixels(c) as f64 * iou)).sum::<f64>();
        (labelled > 0).then(|| weighted / labelled as f64)
    }
}

pub(super) fn same_size(truth: &LabelMap, prediction: &LabelMap) -> Result<()> {
    if truth.size() == prediction.size() {
        return Ok(());
    }
    Err(Error::data(format!(
        "the prediction is {} and the truth {}; scores compare pixel with pixel",
        prediction.size(),
        truth.size()
    ))
    .hint("save predictions at the size of the photographs, resized with nearest neighbour"))
}
