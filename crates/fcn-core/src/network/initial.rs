//! What weights start from.

use rayon::prelude::*;

use super::bilinear::bilinear_weights;
use super::parameter::{ParameterKind, ParameterSpec};
use segdata::rng::{Purpose, Rng};

/// Values drawn from one stream when weights start: streams are independent, so that threads can share a tensor.
const DRAWS_PER_STREAM: usize = 1 << 16;

/// The values that parameter `index` of the table starts with, drawn from `seed`: normal with variance `2 / (C k k)` in
/// the trunk (He, Zhang, Ren & Sun 2015, equation 10), zero in score layers and biases, bilinear kernels, batch
/// normalisations that do nothing.
pub(crate) fn initial_values(spec: &ParameterSpec, index: usize, seed: u64) -> Vec<f32> {
    let is_score = spec.name.starts_with("score");
    match spec.kind {
        ParameterKind::Weight if !is_score => {
            let fan_in: usize = spec.shape[1..].iter().product();
            let deviation = (2.0 / fan_in as f64).sqrt() as f32;
            let mut values = vec![0.0; spec.len()];
            values.par_chunks_mut(DRAWS_PER_STREAM).enumerate().for_each(|(stream, values)| {
                let mut rng = Rng::derive(seed, Purpose::Initialise, &[index as u64, stream as u64]);
                values.iter_mut().for_each(|value| *value = deviation * rng.normal());
            });
            values
        }
        ParameterKind::Upsampling => bilinear_weights(spec.shape[0], spec.shape[2]),
        ParameterKind::NormScale | ParameterKind::RunningVar => vec![1.0; spec.len()],
        _ => vec![0.0; spec.len()],
    }
}
