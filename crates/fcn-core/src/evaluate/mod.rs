//! Evaluation.

pub mod crf_search;
pub mod network;
