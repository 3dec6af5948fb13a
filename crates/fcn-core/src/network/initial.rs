//! What weights start from.

use rayon::prelude::*;

use super::bilinear::bilinear_weights;
use super::parameter::{Initial, ParameterSpec};
use segdata::rng::{Purpose, Rng};

/// Values drawn from one stream when weights start: streams are independent, so that threads can share a tensor.
const DRAWS_PER_STREAM: usize = 1 << 16;

/// The values that parameter `index` of the list starts with, drawn from `seed`.
pub(super) fn initial_values(spec: &ParameterSpec, index: usize, seed: u64) -> Vec<f32> {
    match spec.initial {
        Initial::HeNormal { fan_in } => {
            let deviation = (2.0 / fan_in as f64).sqrt() as f32;
            let mut values = vec![0.0; spec.len()];
            values.par_chunks_mut(DRAWS_PER_STREAM).enumerate().for_each(|(stream, values)| {
                let mut rng = Rng::derive(seed, Purpose::Initialise, &[index as u64, stream as u64]);
                values.iter_mut().for_each(|value| *value = deviation * rng.normal());
            });
            values
        }
        Initial::Bilinear => bilinear_weights(spec.shape[0], spec.shape[2]),
        Initial::One => vec![1.0; spec.len()],
        Initial::Zero => vec![0.0; spec.len()],
    }
}
