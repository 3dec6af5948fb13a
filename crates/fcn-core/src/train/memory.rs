//! The memory that a training step needs and the disk that checkpoints take, against what there is.

use std::path::Path;

use crate::environment::{available_memory_bytes, gib};
use crate::network::ModelMeta;
use crate::train::checkpoint::bytes_in;
use crate::train::optim::OptimizerKind;
use crate::{Error, ErrorKind, Result};

/// Bytes that a training step holds at once, at least: weights, gradients and moments, and what the backward pass reads
/// again.
pub fn training_bytes(meta: &ModelMeta, optimizer: OptimizerKind, images: usize, crop: usize) -> u64 {
    let graph = meta.graph();
    let weights: u64 = graph.parameters.iter().map(|spec| spec.len() as u64).sum();
    let image = graph.values_kept_for_backward(crop, crop);
    let values = image.saturating_mul(images as u64).saturating_add((2 + moments(optimizer)) * weights);
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

/// What the checkpoints of a run take on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointRoom {
    /// Bytes of one.
    pub each: u64,
    /// Bytes of all at once: the newest, the best, and one that is being written.
    pub most: u64,
    /// Bytes that are free where the run writes, those of its earlier checkpoints included; `None` where the system does
    /// not say.
    pub free: Option<u64>,
}

impl CheckpointRoom {
    /// Of a run in the folder `run` that keeps `keep` checkpoints, and of these no more than `keep_bytes` where that is
    /// not 0.
    pub fn of(meta: &ModelMeta, optimizer: OptimizerKind, keep: usize, keep_bytes: u64, run: &Path) -> Self {
        let weights: u64 = meta.graph().parameters.iter().map(|spec| spec.len() as u64).sum();
        let each = (1 + moments(optimizer)) * weights * size_of::<f32>() as u64;
        let most = each.saturating_mul(keep as u64 + 2);
        let most = if keep_bytes == 0 { most } else { most.min(keep_bytes.max(each).saturating_add(2 * each)) };
        let free = fs4::available_space(run).ok();
        CheckpointRoom { each, most, free: free.map(|free| free.saturating_add(bytes_below(&run.join("checkpoints")))) }
    }

    /// Refuses a disk that would be full before the run is over.
    ///
    /// # Errors
    /// The bytes needed and those that are free.
    pub fn refuse_a_small_disk(&self, run: &Path) -> Result<()> {
        match self.free {
            Some(free) if free < self.most => Err(Error::new(
                ErrorKind::Io,
                format!("checkpoints of {} each take up to {}; {} are free", gib(self.each), gib(self.most), gib(free)),
            )
            .at(run)
            .hint("lower `keep` or `width`, or name a `run` on another disk")),
            _ => Ok(()),
        }
    }
}

/// Bytes of the files in the folders of `folder`.
fn bytes_below(folder: &Path) -> u64 {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|checkpoint| bytes_in(&checkpoint.path())).sum()
}

/// Moments of each weight that an optimiser keeps.
fn moments(optimizer: OptimizerKind) -> u64 {
    if optimizer == OptimizerKind::Sgd { 1 } else { 2 }
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
        // 1.6 GB each: the weights and two moments.
        let run = Path::new(env!("CARGO_MANIFEST_DIR"));
        let room = CheckpointRoom::of(&meta, OptimizerKind::Adam, 5, 0, run);
        assert!(room.each > 12 * 134_000_000 && room.each < 12 * 135_000_000, "{room:?}");
        assert_eq!(room.most, 7 * room.each);
        let few = CheckpointRoom::of(&meta, OptimizerKind::Adam, 5, 2 * room.each, run);
        assert_eq!(few.most, 4 * room.each);
        let full = CheckpointRoom { free: Some(room.most - 1), ..room };
        assert!(full.refuse_a_small_disk(run).is_err_and(|e| e.message.contains("1.5 GiB each")));
        assert!(CheckpointRoom { free: Some(room.most), ..room }.refuse_a_small_disk(run).is_ok());
    }
}
