//! What an evaluation ends with.

use segdata::metrics::{FolderScores, Scores, Skipped};

/// The scores of a set of images.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Evaluation {
    /// Accuracies, IoUs and the confusion matrix.
    #[serde(flatten)]
    pub scores: Scores,
    /// Cross-entropy per valid pixel in nats; `None` where masks alone are scored, a CRF's among them.
    pub loss: Option<f64>,
    /// What could not be scored, and why.
    pub skipped: Vec<Skipped>,
}

impl From<FolderScores> for Evaluation {
    fn from(folder: FolderScores) -> Self {
        Evaluation { scores: folder.scores, loss: None, skipped: folder.skipped }
    }
}
