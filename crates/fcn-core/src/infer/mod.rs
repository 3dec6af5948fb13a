//! Inference: a photograph and a network in, a label map at the photograph's size out, refined by the CRF if wished.
//!
//! [`predictor`] prepares the photograph, runs the network over it, in tiles where it is large, and picks the most likely
//! class of each pixel. [`crf`] takes photograph and probabilities and moves the borders of the regions onto the edges of
//! the photograph (Kraehenbuehl & Koltun 2011; the crate `densecrf`).
//!
//! Everything here is a function of its arguments alone: no files, no state, the same bits on any number of threads.

pub(crate) mod crf;
pub(crate) mod predictor;

pub use crf::{CrfParams, CrfPreset, MAX_CLASSES, Refined, changed_pixels, refine, refine_within};
pub use crf::{Unaries, check_shape, energy_of, fault, memory_left, memory_limit};
pub use predictor::{Extra, Prediction, Predictor, SummedLoss};
