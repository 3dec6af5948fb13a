//! The memory that a training step needs, against what there is.

use crate::environment::{available_memory_bytes, gib};
use crate::network::ModelMeta;
use crate::train::optim::OptimizerKind;
use crate::{Error, ErrorKind, Result};

/// Bytes that a training step holds at once, at least: weights, gradients and moments, and what the backward pass reads
/// again.
pub fn training_bytes(meta: &ModelMeta, optimizer: OptimizerKind, images: usize, crop: usize) -> u64 {
    let graph = meta.graph();
    let weights: u64 = graph.parameters.iter().map(|spec| spec.len() as u64).sum();
    let moments = if optimizer == OptimizerKind::Sgd { 1 } else { 2 };
    let image = graph.values_kept_for_backward(crop, crop);
    let values = image.saturating_mul(images as u64).saturating_add((2 + moments) * weights);
    values.saturating_mul(size_of::<f32>() as u64)
}

/// Refuses work that needs more memory than the system says is available, before it begins: afterwards the system would
/// end the process without a word.
///
/// # Errors
/// The bytes needed and those available, with `remedy`.
pub fn refuse_beyond_memory(work: &str, bytes: u64, remedy: &str) -> Result<()> {
    match available_memory_bytes() {
        Some(available) if bytes > available => Err(Error::new(
            ErrorKind::OutOfMemory,
            format!("{work} needs at least {} of memory; {} are available", gib(bytes), gib(available)),
        )
        .hint(remedy)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Architecture, Backbone, FcnSpec, Geometry, TrunkShape, Variant};
    use segdata::image::preprocessing::Preprocessing;
    use segdata::labels::Classes;

    #[test]
    fn memory_of_a_training_step_is_counted_from_below_and_refused_beyond_what_there_is() {
        let mut meta = ModelMeta::fcn(
            FcnSpec {
                variant: Variant::Fcn8s,
                backbone: Backbone::Vgg16Bn,
                width: 0.25,
                trunk: TrunkShape::default(),
                geometry: Geometry::Same,
            },
            Classes::voc(),
            Preprocessing::default(),
        );
        // Measured with 16 crops of 224 pixels: 772 MiB.
        let mib = training_bytes(&meta, OptimizerKind::AdamW, 16, 224) >> 20;
        assert!((400..772).contains(&mib), "{mib} MiB");
        // Four copies of 134 million weights, and the maps of one image.
        let Architecture::Fcn(spec) = &mut meta.architecture else { unreachable!() };
        (spec.width, spec.backbone) = (1.0, Backbone::Vgg16);
        let one = training_bytes(&meta, OptimizerKind::Adam, 1, 224);
        assert!(one > 16 * 134_362_751, "{one}");
        assert!(refuse_beyond_memory("this", 1 << 20, "").is_ok());
        let most = training_bytes(&meta, OptimizerKind::Adam, usize::MAX, 224);
        let error = refuse_beyond_memory("a batch", most, "a smaller one").unwrap_err();
        assert_eq!(error.kind, ErrorKind::OutOfMemory);
        assert_eq!(error.hint.as_deref(), Some("a smaller one"));
    }
}
