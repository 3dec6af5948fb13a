//! A set of images scored twice: without the CRF and with it.

use super::evaluation::Evaluation;
use crate::Result;
use crate::infer::crf::{CrfParams, changed_pixels};
use segdata::labels::LabelMap;
use segdata::metrics::Tally;

/// The scores of one set of images without the CRF and with it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CrfComparison {
    /// The network's own label maps.
    pub raw: Evaluation,
    /// The label maps after the CRF; they have no loss.
    pub crf: Evaluation,
    /// Share of all pixels, labelled or not, whose class the CRF changed.
    pub changed: f64,
    /// Images whose own mIoU the CRF raised.
    pub images_better: u64,
    /// Images whose own mIoU it lowered.
    pub images_worse: u64,
    /// What the CRF was.
    pub parameters: CrfParams,
}

/// What is counted of a set of images before and after the CRF.
#[derive(Clone, Debug)]
pub struct CrfTally {
    /// The network's own label maps.
    pub raw: Tally,
    /// The label maps after the CRF.
    pub crf: Tally,
    /// Images whose own mIoU the CRF raised.
    pub images_better: u64,
    /// Images whose own mIoU it lowered.
    pub images_worse: u64,
    changed: u64,
    pixels: u64,
}

impl CrfTally {
    /// Nothing counted yet, for ids `0..classes`.
    pub fn new(classes: usize) -> Self {
        let (raw, crf) = (Tally::new(classes), Tally::new(classes));
        CrfTally { raw, crf, images_better: 0, images_worse: 0, changed: 0, pixels: 0 }
    }

    /// Counts one image and returns its own mIoU before and after.
    ///
    /// # Errors
    /// Maps that differ in size.
    pub fn add(&mut self, truth: &LabelMap, raw: &LabelMap, crf: &LabelMap) -> Result<[Option<f64>; 2]> {
        let own = [self.raw.add(truth, raw)?, self.crf.add(truth, crf)?];
        if let [Some(before), Some(after)] = own {
            self.images_better += u64::from(after > before);
            self.images_worse += u64::from(after < before);
        }
        self.changed += changed_pixels(raw, crf);
        self.pixels += raw.ids.len() as u64;
        Ok(own)
    }

    /// Share of all pixels whose class the CRF changed.
    pub fn changed(&self) -> f64 {
        self.changed as f64 / self.pixels.max(1) as f64
    }
}
