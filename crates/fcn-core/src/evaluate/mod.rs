//! Evaluation: how good a network is against the truth of a data set.
//!
//! In: a [`Predictor`](crate::infer::predictor::Predictor) and a split. Out: one confusion matrix of integers over the
//! whole set, and what [`segdata::metrics`] computes from it. `network` scores networks, with the CRF and without it;
//! `save` writes predictions; `crf_search` tries parameters of the CRF on one pass through the network. Folders of masks
//! are scored by [`segdata::metrics::evaluate_predictions`].

mod crf_search;
mod crf_tally;
mod evaluation;
mod network;
mod save;

pub use crf_search::{SearchOptions, SearchReport, Trial, search};
pub use crf_tally::{CrfComparison, CrfTally};
pub use evaluation::Evaluation;
pub use network::{Scored, evaluate, evaluate_with_crf};
pub use save::save_prediction;
pub use segdata::metrics::Skipped;
