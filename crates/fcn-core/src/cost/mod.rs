//! What a pass costs: multiply-adds of one image, counted from the parameter table and the sizes of the maps.

pub mod environment;

use crate::cost::environment::{available_memory_bytes, gib};
use crate::network::fcn::COARSEST_STRIDE;
use crate::network::vgg16::{FC6_TAPS, STAGES};
use crate::network::{ParameterKind, parameter_table};
use crate::train::optim::OptimizerKind;
use crate::weights::{Backbone, Geometry, ModelMeta};
use crate::{Error, ErrorKind, Result};

/// Multiply-adds of one pass over an image of `height x width` pixels, frame included: each value of a convolution's
/// kernel is used once for each pixel of its output, each of a transposed one's once for each pixel of its input.
/// Normalisation, ReLU and pooling are left out, as is usual; floating point operations are twice as many.
pub fn multiply_adds(meta: &ModelMeta, height: usize, width: usize) -> u64 {
    layer_multiply_adds(meta, height, width).iter().map(|(_, count)| count).sum()
}

/// [`multiply_adds`] of each convolution, plain or transposed, by its name.
pub fn layer_multiply_adds(meta: &ModelMeta, height: usize, width: usize) -> Vec<(String, u64)> {
    let maps = Maps::new(meta.geometry, height, width);
    let of = |name: &str, values: usize| (name.to_string(), values as u64 * maps.pixels(name));
    parameter_table(meta)
        .iter()
        .filter(|spec| matches!(spec.kind, ParameterKind::Weight | ParameterKind::Upsampling))
        .map(|spec| of(spec.name.split('.').next().unwrap_or_default(), spec.len()))
        .collect()
}

/// Bytes that a training step holds at once, at least: weights, gradients and moments, and what the backward pass reads
/// again, the result of every convolution and of every normalisation behind one. Of what goes into a pooling only the result
/// is read again, a quarter.
pub fn training_bytes(meta: &ModelMeta, optimizer: OptimizerKind, images: usize, crop: usize) -> u64 {
    let maps = Maps::new(meta.geometry, crop, crop);
    let table = parameter_table(meta);
    let weights: u64 = table.iter().map(|spec| spec.len() as u64).sum();
    let moments = if optimizer == OptimizerKind::Sgd { 1 } else { 2 };
    let kept = if meta.backbone == Backbone::Vgg16Bn { 2 } else { 1 };
    let before_pooling: Vec<String> =
        (1..).zip(STAGES).map(|(stage, (convolutions, _))| format!("conv{stage}_{convolutions}")).collect();
    let convolutions = table.iter().filter(|spec| spec.kind == ParameterKind::Weight);
    let image: u64 = convolutions
        .map(|spec| {
            let name = spec.name.split('.').next().unwrap_or_default();
            let map = spec.shape[0] as u64 * maps.pixels(name);
            if before_pooling.iter().any(|other| other == name) { (kept - 1) * map + map / 4 } else { kept * map }
        })
        .sum();
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

/// Height and width of the maps along the network.
struct Maps {
    /// Output of the convolutions of each stage.
    stages: Vec<[usize; 2]>,
    /// Output of fc6.
    coarsest: [usize; 2],
}

impl Maps {
    fn new(geometry: Geometry, height: usize, width: usize) -> Self {
        let first = |side: usize| match geometry {
            Geometry::Same => side.max(1).next_multiple_of(COARSEST_STRIDE),
            // conv1_1 with 100 pixels of padding; kernel 3.
            Geometry::Caffe => side + 198,
        };
        let mut map = [first(height), first(width)];
        let mut stages = Vec::new();
        for _ in STAGES {
            stages.push(map);
            map = map.map(|side| side.div_ceil(2));
        }
        let coarsest = match geometry {
            Geometry::Same => map,
            Geometry::Caffe => map.map(|side| side.saturating_sub(FC6_TAPS - 1)),
        };
        Maps { stages, coarsest }
    }

    /// Pixels for which each kernel value of a layer is used.
    fn pixels(&self, layer: &str) -> u64 {
        let pooled = |stage: usize| self.stages[stage].map(|side| side.div_ceil(2));
        let stage = layer.strip_prefix("conv").and_then(|rest| rest.split('_').next()?.parse::<usize>().ok());
        let [rows, columns] = match (layer, stage) {
            (_, Some(stage @ 1..=5)) => self.stages[stage - 1],
            ("score_pool4" | "upscore_pool4" | "upscore16", _) => pooled(3),
            ("score_pool3" | "upscore8", _) => pooled(2),
            _ => self.coarsest,
        };
        rows as u64 * columns as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Backbone, TrunkShape, Variant};
    use segdata::image::preprocessing::Preprocessing;
    use segdata::labels::Classes;

    #[test]
    fn vgg_16_at_224_costs_what_is_published() {
        let meta = ModelMeta {
            variant: Variant::Fcn32s,
            backbone: Backbone::Vgg16,
            width: 1.0,
            trunk: TrunkShape::default(),
            geometry: Geometry::Same,
            classes: Classes::voc(),
            preprocessing: Preprocessing::default(),
        };
        // The 13 convolutions: 15,346,630,656 (torchvision's count for VGG-16 without the classifier). fc6 and fc7 as
        // convolutions on 7x7 maps, the score layer, and the upsampling of 21 x 21 x 64 x 64 taps.
        let trunk = 15_346_630_656u64;
        let coarse = 49 * (512 * 4096 * 49 + 4096 * 4096 + 4096 * 21 + 21 * 21 * 64 * 64);
        assert_eq!(multiply_adds(&meta, 224, 224), trunk + coarse);
        assert_eq!(multiply_adds(&meta, 200, 193), trunk + coarse, "the frame counts");
        let caffe = ModelMeta { geometry: Geometry::Caffe, ..meta };
        assert!(multiply_adds(&caffe, 224, 224) > 2 * trunk);
    }

    #[test]
    fn memory_of_a_training_step_is_counted_from_below_and_refused_beyond_what_there_is() {
        let mut meta = ModelMeta {
            variant: Variant::Fcn8s,
            backbone: Backbone::Vgg16Bn,
            width: 0.25,
            trunk: TrunkShape::default(),
            geometry: Geometry::Same,
            classes: Classes::voc(),
            preprocessing: Preprocessing::default(),
        };
        // Measured with 16 crops of 224 pixels: 772 MiB.
        let mib = training_bytes(&meta, OptimizerKind::AdamW, 16, 224) >> 20;
        assert!((400..772).contains(&mib), "{mib} MiB");
        // Four copies of 134 million weights, and the maps of one image.
        (meta.width, meta.backbone) = (1.0, Backbone::Vgg16);
        let one = training_bytes(&meta, OptimizerKind::Adam, 1, 224);
        assert!(one > 16 * 134_362_751, "{one}");
        assert!(refuse_beyond_memory("this", 1 << 20, "").is_ok());
        let most = training_bytes(&meta, OptimizerKind::Adam, usize::MAX, 224);
        let error = refuse_beyond_memory("a batch", most, "a smaller one").unwrap_err();
        assert_eq!(error.kind, ErrorKind::OutOfMemory);
        assert_eq!(error.hint.as_deref(), Some("a smaller one"));
    }
}
