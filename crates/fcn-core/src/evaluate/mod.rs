//! Evaluation: how good a network, or a folder of masks, is against the truth of a data set.
//!
//! In: a [`Predictor`](crate::infer::predictor::Predictor) and a split, or two folders of masks. Out: one confusion matrix of
//! integers over the whole set, and what [`segdata::metrics`] computes from it. `network` scores networks, with the CRF
//! and without it; `folders` scores masks; `crf_search` tries parameters of the CRF on one pass through the network.

mod crf_search;
mod crf_tally;
mod evaluation;
mod folders;
mod network;

pub use crf_search::{SearchOptions, SearchReport, Trial, search};
pub use crf_tally::{CrfComparison, CrfTally};
pub use evaluation::{Evaluation, Skipped};
pub use folders::{evaluate_predictions, save_prediction};
pub use network::{Scored, evaluate, evaluate_with_crf};
