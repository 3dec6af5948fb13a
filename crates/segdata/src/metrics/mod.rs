//! Scores of label maps: the confusion matrix and everything computed from it.
//!
//! ```text
//! (truth, prediction) -> confusion, boundary -> tally (any number of images, merged in any order) -> Scores
//! ```
//!
//! Pairs of label maps, or of folders with masks ([`evaluate_predictions`]), come in, integers are counted, [`Scores`] go out. All sums are sums of integers, so a score has
//! the same bits for any number of threads and any order of the images. A class that occurs neither in the truth nor in
//! the predictions has no IoU: it is `None`, left out of the means, and counted as absent.
//!
//! With `n_ij` the number of pixels of class `i` predicted as `j` and `t_i` all pixels of class `i` (Long, Shelhamer &
//! Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015, section 5):
//!
//! * pixel accuracy `sum n_ii / sum t_i`; mean accuracy: the mean of `n_ii / t_i` over the classes of the truth;
//! * IoU of a class `n_ii / (t_i + sum_j n_ji - n_ii)`; mIoU: its mean over the classes present in truth or prediction;
//! * frequency-weighted IoU `sum t_i IoU_i / sum t_i`.
//!
//! The IoU of the bands along contours is that of Cheng et al. (CVPR 2021); see [`BoundaryCounts`].

mod boundary;
mod confusion;
mod folders;
mod ratio;
mod tally;

pub use boundary::{BoundaryCounts, band_radius_px};
pub use confusion::ConfusionMatrix;
pub use folders::{FolderScores, Skipped, evaluate_predictions};
pub use tally::{ClassScore, Scores, Tally};

#[cfg(test)]
mod tests;
