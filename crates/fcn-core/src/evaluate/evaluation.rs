//! What an evaluation ends with.

use segdata::metrics::Scores;

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

/// An image that was not scored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// Sample id: the file name without folder and extension.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}
