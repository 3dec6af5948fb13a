//! Inference.

pub mod crf;
pub mod predictor;
