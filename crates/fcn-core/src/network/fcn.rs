//! Fully convolutional networks for semantic segmentation (Long, Shelhamer & Darrell, CVPR 2015; PAMI 2017): FCN-32s,
//! FCN-16s and FCN-8s on the trunk of [`super::vgg16`].
//!
//! `N` images, `K` classes, `C` channels, `H x W` pixels.
//!
//! Two geometries. `same`: every layer keeps its size by padding; an input whose sides are no multiples of 32 gets a
//! frame of zeros (the mean colour, once normalised), and the logits are cropped back. `caffe`: the published models;
//! conv1_1 is padded by 100 so that fc6 can go unpadded, pools round up, and fixed crops bring the maps together.
//!
//! Differs from the paper: the published models' skip layers of the "at once" kind scale pool4 and pool3 by constants
//! first; importers fold the constants into `score_pool4` and `score_pool3`.

use burn::tensor::module::{BatchNormTrainOutput, batch_norm_train};
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor, TensorData, activation};
use conv_kernels::{Activation, Algorithm, Border};
use rayon::prelude::*;

use super::initial::initial_values;
use super::parameter::{Parameter, ParameterKind, ParameterSpec};
use super::prepared::{LayerWeights, Stopwatch, Weights};
use super::vgg16::{Layer, Norm, STAGES, TableBuilder, Trunk};
use crate::cpu::norm::{Normalised, batch_norm_relu, fixed_norm_relu};
use crate::cpu::{conv_transpose2d, conv2d, max_pool2d};
use crate::device::values::is_host;
use crate::weights::{Geometry, ModelMeta, Variant};
use crate::{Error, Result};
use segdata::rng::{Purpose, Rng};

/// Ratio of the input's sides to those of the coarsest map.
pub const COARSEST_STRIDE: usize = 32;

/// Added to the variance of a batch normalisation; PyTorch's value.
pub const NORM_EPSILON: f64 = 1e-5;

/// Share of the newest batch in a running mean or variance; PyTorch's value.
const NORM_MOMENTUM: f64 = 0.1;

/// The poolings' published names, by stage.
const POOLS: [&str; 5] = ["pool1", "pool2", "pool3", "pool4", "pool5"];

/// Zeros around the input of conv1_1 in the published models.
const CAFFE_FIRST_PADDING: usize = 100;

/// What the weights do not depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FcnOptions {
    /// Probability of dropping a channel value behind fc6 and fc7 in training; the paper's is 0.5.
    pub dropout: f32,
    /// Whether the bilinear kernels are learnt. The paper's last one is fixed; the others it learns with little gain.
    pub trainable_upsampling: bool,
    /// How convolutions on the CPU trade exactness for speed.
    pub algorithm: Algorithm,
}

impl Default for FcnOptions {
    fn default() -> Self {
        FcnOptions { dropout: 0.5, trainable_upsampling: false, algorithm: Algorithm::Fast }
    }
}

/// Selects the dropout masks of one forward pass. Masks are drawn for each image by itself, so that `m` micro-batches of
/// `N` images see the masks of one batch of `m N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutKey {
    /// Seed of the run.
    pub seed: u64,
    /// Training step.
    pub step: u64,
    /// Which micro-batch of the step, from 0.
    pub micro: u64,
}

/// One upsampling of the decoder, and what happens to its result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecoderStep {
    pub name: &'static str,
    /// The kernel has twice as many taps a side.
    pub stride: usize,
    /// Score layer that is added, and the stage (from 0) whose pool it looks at.
    pub skip: Option<(&'static str, usize)>,
    /// Caffe geometry: rows and columns cut from the top and left of the skip, or of the result where there is none.
    pub crop: usize,
}

impl DecoderStep {
    /// Pixels cut from each side of the upsampled map.
    pub fn padding(&self, geometry: Geometry) -> usize {
        match geometry {
            Geometry::Same => self.stride / 2,
            Geometry::Caffe => 0,
        }
    }
}

const FCN_32S: [DecoderStep; 1] = [DecoderStep { name: "upscore", stride: 32, skip: None, crop: 19 }];
const FCN_16S: [DecoderStep; 2] = [
    DecoderStep { name: "upscore2", stride: 2, skip: Some(("score_pool4", 3)), crop: 5 },
    DecoderStep { name: "upscore16", stride: 16, skip: None, crop: 27 },
];
const FCN_8S: [DecoderStep; 3] = [
    DecoderStep { name: "upscore2", stride: 2, skip: Some(("score_pool4", 3)), crop: 5 },
    DecoderStep { name: "upscore_pool4", stride: 2, skip: Some(("score_pool3", 2)), crop: 9 },
    DecoderStep { name: "upscore8", stride: 8, skip: None, crop: 31 },
];

pub(crate) fn decoder(variant: Variant) -> &'static [DecoderStep] {
    match variant {
        Variant::Fcn32s => &FCN_32S,
        Variant::Fcn16s => &FCN_16S,
        Variant::Fcn8s => &FCN_8S,
    }
}

/// Which parameter belongs to which layer.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub table: Vec<ParameterSpec>,
    pub trunk: Trunk,
    pub score_fr: Layer,
    /// For each decoder step its kernel and the score layer of its skip.
    pub decoder: Vec<(usize, Option<Layer>)>,
}

impl Layout {
    pub fn new(meta: &ModelMeta) -> Self {
        let mut builder = TableBuilder { table: Vec::new() };
        let (first_padding, fc6_padding) = match meta.geometry {
            Geometry::Same => (1, super::vgg16::FC6_TAPS / 2),
            Geometry::Caffe => (CAFFE_FIRST_PADDING, 0),
        };
        let classes = meta.classes.len();
        let trunk = Trunk::new(&mut builder, meta, first_padding, fc6_padding);
        let hidden = builder.table[trunk.fc7.weight].shape[0];
        let score_fr = builder.score("score_fr", [classes, hidden, 1]);
        let mut steps = Vec::new();
        for step in decoder(meta.variant) {
            let taps = 2 * step.stride;
            let kernel = builder.add(
                format!("{}.weight", step.name),
                ParameterKind::Upsampling,
                vec![classes, classes, taps, taps],
            );
            let skip = step.skip.map(|(name, stage)| builder.score(name, [classes, meta.channels()[stage], 1]));
            steps.push((kernel, skip));
        }
        Layout { table: builder.table, trunk, score_fr, decoder: steps }
    }
}

/// Whether statistics come from the batch and values are dropped.
#[derive(Clone, Copy)]
enum Mode<'a> {
    /// With the convolutions' weights where they are not the parameters'.
    Inference(Option<&'a LayerWeights>),
    Training(DropoutKey),
}

/// One walk through the network, and what is noted on the way.
struct Pass<'a> {
    mode: Mode<'a>,
    statistics: Vec<BatchStatistics>,
    watch: Option<&'a mut Stopwatch>,
}

impl Pass<'_> {
    /// Notes that a layer is done.
    fn lap(&mut self, layer: &str) {
        if let Some(watch) = &mut self.watch {
            watch.lap(layer);
        }
    }
}

/// Statistics that a training pass leaves for the running ones.
struct BatchStatistics {
    norm: Norm,
    mean: Tensor<1>,
    /// Divided by the number of values, not by one less.
    variance: Tensor<1>,
    values: usize,
}

/// A fully convolutional network.
#[derive(Clone, Debug)]
pub struct Fcn {
    /// What network this is.
    pub meta: ModelMeta,
    /// What its weights do not depend on.
    pub options: FcnOptions,
    layout: Layout,
    parameters: Vec<Parameter>,
}

impl Fcn {
    /// A network with fresh weights, normal in the trunk (He, Zhang, Ren & Sun 2015, equation 10), zero in the score layers
    /// and all biases (the paper's choice for skips), and bilinear kernels.
    ///
    /// The values depend on `meta` and `seed` alone, not on the device or the number of threads.
    pub fn init(meta: ModelMeta, options: &FcnOptions, seed: u64, device: &Device) -> Fcn {
        let layout = Layout::new(&meta);
        let parameters = layout
            .table
            .iter()
            .enumerate()
            .map(|(index, spec)| materialise(spec, flat(initial_values(spec, index, seed)), device))
            .collect();
        Fcn { meta, options: *options, layout, parameters }
    }

    /// A network whose parameters `values` supplies by their description, in the order of
    /// [`parameter_table`](super::parameter_table).
    ///
    /// # Errors
    /// Those of `values`, and a length that is not that of the shape.
    pub fn from_values(
        meta: ModelMeta,
        options: &FcnOptions,
        device: &Device,
        mut values: impl FnMut(&ParameterSpec) -> Result<Vec<f32>>,
    ) -> Result<Fcn> {
        Self::from_data(meta, options, device, |spec| values(spec).map(flat))
    }

    /// As [`from_values`](Self::from_values), from flat data of 32-bit floats.
    ///
    /// # Errors
    /// Those of `data`, and a length that is not that of the shape.
    pub fn from_data(
        meta: ModelMeta,
        options: &FcnOptions,
        device: &Device,
        mut data: impl FnMut(&ParameterSpec) -> Result<TensorData>,
    ) -> Result<Fcn> {
        let layout = Layout::new(&meta);
        let mut parameters = Vec::with_capacity(layout.table.len());
        for spec in &layout.table {
            let found = data(spec)?;
            let (len, name, shape) = (found.num_elements(), &spec.name, &spec.shape);
            if len != spec.len() {
                return Err(Error::weights(format!("{name} has {len} values; its shape is {shape:?}")));
            }
            parameters.push(materialise(spec, found, device));
        }
        Ok(Fcn { meta, options: *options, layout, parameters })
    }

    /// Every parameter, in the order of [`parameter_table`](super::parameter_table).
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameters, to be replaced by an optimiser or filled by an importer. Shapes must stay.
    pub fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters
    }

    /// Which parameter belongs to which layer, by index.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The device the weights are on, without autodiff.
    pub fn device(&self) -> Device {
        self.parameters[0].tensor.device().inner()
    }

    /// Marks every trainable tensor as one whose gradient is wanted. Also after an optimiser has replaced tensors.
    pub fn for_training(&mut self) {
        let options = self.options;
        for parameter in &mut self.parameters {
            let trainable = parameter.trainable(&options);
            parameter.tensor.inplace(|tensor| match trainable {
                true => tensor.inner().autodiff().require_grad(),
                false => tensor.inner(),
            });
        }
    }

    /// Undoes [`Fcn::for_training`].
    pub fn for_inference(&mut self) {
        for parameter in &mut self.parameters {
            parameter.tensor.inplace(Tensor::inner);
        }
    }

    /// Logits `[N, K, H, W]` of normalised images `[N, 3, H, W]`: running statistics, nothing dropped, no gradient.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.infer(images, None, None)
    }

    /// [`Fcn::forward`] with weights from elsewhere, and a clock.
    pub(crate) fn infer(
        &self,
        images: Tensor<4>,
        weights: Option<&LayerWeights>,
        watch: Option<&mut Stopwatch>,
    ) -> Tensor<4> {
        self.run(images.inner(), &mut Pass { mode: Mode::Inference(weights), statistics: Vec::new(), watch })
    }

    /// Logits `[N, K, H, W]` of normalised images `[N, 3, H, W]`, for learning: statistics of the batch, which also move
    /// the running ones, and dropout. After [`Fcn::for_training`] the result carries gradients.
    pub fn forward_train(&mut self, images: Tensor<4>, key: DropoutKey) -> Tensor<4> {
        let mut pass = Pass { mode: Mode::Training(key), statistics: Vec::new(), watch: None };
        let logits = self.run(images.autodiff(), &mut pass);
        for batch in pass.statistics {
            self.follow(batch);
        }
        logits
    }

    fn run(&self, images: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let [_, _, height, width] = images.dims();
        let frame = match self.meta.geometry {
            Geometry::Same => Frame::to_multiple(height, width),
            Geometry::Caffe => Frame::default(),
        };
        let mut x = frame.put(images);
        pass.lap("frame");
        let steps = decoder(self.meta.variant);
        let skipped = |stage: usize| steps.iter().any(|step| step.skip.is_some_and(|(_, from)| from == stage));
        let mut pools: [Option<Tensor<4>>; STAGES.len()] = Default::default(); // [N, C, H / 2^(i+1), W / 2^(i+1)]
        for (stage, layers) in self.layout.trunk.stages.iter().enumerate() {
            for (position, layer) in layers.iter().enumerate() {
                let is_last = position + 1 == layers.len();
                x = match is_last {
                    true => self.convolve_and_pool(x, layer, pass),
                    false => self.convolve(x, layer, Activation::Relu, pass),
                };
            }
            pass.lap(POOLS[stage]);
            pools[stage] = skipped(stage).then(|| x.clone());
        }
        for (index, layer) in [&self.layout.trunk.fc6, &self.layout.trunk.fc7].into_iter().enumerate() {
            x = self.convolve(x, layer, Activation::Relu, pass); // [N, 4096, H/32, W/32]
            x = self.drop_values(x, index, pass.mode);
        }
        x = self.convolve(x, &self.layout.score_fr, Activation::Identity, pass); // [N, K, H/32, W/32]
        for (step, (kernel, skip)) in steps.iter().zip(&self.layout.decoder) {
            let padding = step.padding(self.meta.geometry);
            x = conv_transpose2d(x, self.shaped(*kernel, pass.mode), step.stride, padding);
            pass.lap(step.name);
            match (skip, step.skip.and_then(|(_, stage)| pools[stage].take())) {
                (Some(layer), Some(pool)) => {
                    let [_, _, rows, columns] = x.dims();
                    let score = self.convolve(pool, layer, Activation::Identity, pass);
                    let offset = if self.meta.geometry == Geometry::Caffe { step.crop } else { 0 };
                    x = x + crop(score, offset, offset, rows, columns);
                }
                _ if self.meta.geometry == Geometry::Caffe => x = crop(x, step.crop, step.crop, height, width),
                _ => x = crop(x, frame.top, frame.left, height, width),
            }
        }
        pass.lap("crop");
        x // [N, K, H, W]
    }

    fn shaped<const D: usize>(&self, index: usize, mode: Mode) -> Tensor<D> {
        match mode {
            Mode::Inference(_) => self.parameters[index].shaped().inner(),
            Mode::Training(_) => self.parameters[index].shaped(),
        }
    }

    /// Channels out and in, and taps a side, of a convolution.
    pub(crate) fn weight_shape(&self, layer: &Layer) -> [usize; 3] {
        let shape = &self.layout.table[layer.weight].shape;
        [shape[0], shape[1], shape[2]]
    }

    /// A convolution, its batch normalisation if it has one, and the activation; behind a batch normalisation of its own
    /// there is always a ReLU.
    fn convolve(&self, x: Tensor<4>, layer: &Layer, after: Activation, pass: &mut Pass) -> Tensor<4> {
        let y = match pass.mode {
            Mode::Inference(Some(weights)) => match weights.of(self, layer, &x) {
                (conv, Weights::Transformed(ready)) => ready.convolve(&conv, x, after),
                (_, Weights::Stored(weight)) => {
                    let [outputs, inputs, taps] = self.weight_shape(layer);
                    self.convolve_with(x, weight.reshape([outputs, inputs, taps, taps]), layer, after, pass)
                }
            },
            mode => self.convolve_with(x, self.shaped(layer.weight, mode), layer, after, pass),
        };
        pass.lap(self.name(layer));
        y
    }

    /// A convolution, the maximum over windows of 2 x 2, and the ReLU, which behind the pooling has a quarter of the work
    /// and the same result.
    fn convolve_and_pool(&self, x: Tensor<4>, layer: &Layer, pass: &mut Pass) -> Tensor<4> {
        if let Mode::Inference(Some(weights)) = pass.mode
            && let (conv, Weights::Transformed(ready)) = weights.of(self, layer, &x)
        {
            let y = ready.convolve(&conv.pooled(Border::Ceil), x, Activation::Relu);
            pass.lap(self.name(layer));
            return y;
        }
        max_pool2d(self.convolve(x, layer, Activation::Identity, pass), Activation::Relu)
    }

    /// Published name.
    fn name(&self, layer: &Layer) -> &str {
        let name = &self.layout.table[layer.weight].name;
        name.strip_suffix(".weight").unwrap_or(name)
    }

    fn convolve_with(
        &self,
        x: Tensor<4>,
        weight: Tensor<4>,
        layer: &Layer,
        after: Activation,
        pass: &mut Pass,
    ) -> Tensor<4> {
        let algorithm = self.options.algorithm;
        let Some(norm) = layer.norm else {
            let bias = layer.bias.map(|bias| self.shaped(bias, pass.mode));
            return conv2d(x, weight, bias, layer.padding, after, algorithm);
        };
        let x = conv2d(x, weight, None, layer.padding, Activation::Identity, algorithm);
        match pass.mode {
            Mode::Inference(_) => self.normalise_and_rectify(x, norm),
            Mode::Training(_) => self.normalise_by_batch_and_rectify(x, norm, &mut pass.statistics),
        }
    }

    /// With running statistics.
    fn normalise_and_rectify(&self, x: Tensor<4>, norm: Norm) -> Tensor<4> {
        let [_, channels, _, _] = x.dims();
        let of = |index: usize| self.parameters[index].tensor.clone().inner();
        if is_host(&x) {
            let lines = [of(norm.scale), of(norm.shift)];
            return fixed_norm_relu(x, lines, [of(norm.mean), of(norm.var)], NORM_EPSILON);
        }
        let factor = of(norm.scale) / (of(norm.var) + NORM_EPSILON).sqrt();
        let summand = of(norm.shift) - of(norm.mean) * factor.clone();
        activation::relu(x * factor.reshape([1, channels, 1, 1]) + summand.reshape([1, channels, 1, 1]))
    }

    fn normalise_by_batch_and_rectify(
        &self,
        x: Tensor<4>,
        norm: Norm,
        statistics: &mut Vec<BatchStatistics>,
    ) -> Tensor<4> {
        let [images, _, rows, columns] = x.dims();
        let values = images * rows * columns;
        let (scale, shift) = (self.parameters[norm.scale].tensor.clone(), self.parameters[norm.shift].tensor.clone());
        if is_host(&x) {
            let Normalised { output, mean, variance } = batch_norm_relu(x, scale, shift, NORM_EPSILON);
            statistics.push(BatchStatistics { norm, mean, variance, values });
            return output;
        }
        let BatchNormTrainOutput { output, mean, variance } = batch_norm_train(x, scale, shift, NORM_EPSILON);
        statistics.push(BatchStatistics { norm, mean: mean.inner(), variance: variance.inner(), values });
        activation::relu(output)
    }

    /// Moves the running statistics towards those of a batch.
    fn follow(&mut self, batch: BatchStatistics) {
        // PyTorch's running variance divides by one less than the number of values.
        let unbiased = batch.variance * (batch.values as f64 / batch.values.saturating_sub(1).max(1) as f64);
        for (index, newest) in [(batch.norm.mean, batch.mean), (batch.norm.var, unbiased)] {
            self.parameters[index]
                .tensor
                .inplace(|running| running.inner() * (1.0 - NORM_MOMENTUM) + newest * NORM_MOMENTUM);
        }
    }

    /// Sets values to zero with the configured probability and scales the others so that the mean stays (inverted
    /// dropout; Srivastava et al. 2014). The mask is drawn on the host, so that it is the same on every device.
    fn drop_values(&self, x: Tensor<4>, layer: usize, mode: Mode) -> Tensor<4> {
        let Mode::Training(key) = mode else { return x };
        let dropout = self.options.dropout;
        if dropout <= 0.0 {
            return x;
        }
        let dims = x.dims();
        let values = dims[1] * dims[2] * dims[3];
        let kept = 1.0 / (1.0 - dropout);
        let mut mask = vec![0.0f32; dims[0] * values];
        mask.par_chunks_mut(values.max(1)).enumerate().for_each(|(image, mask)| {
            let sample = key.micro * dims[0] as u64 + image as u64;
            let mut rng = Rng::derive(key.seed, Purpose::Dropout, &[key.step, layer as u64, sample]);
            mask.iter_mut().for_each(|value| *value = if rng.uniform() < dropout { 0.0 } else { kept });
        });
        let device = x.device().inner();
        x * Tensor::<4>::from_data(TensorData::new(mask, dims), &device).autodiff()
    }
}

fn flat(values: Vec<f32>) -> TensorData {
    let len = values.len();
    TensorData::new(values, [len])
}

fn materialise(spec: &ParameterSpec, data: TensorData, device: &Device) -> Parameter {
    let tensor = Tensor::<1>::from_data(data, &device.clone().inner());
    Parameter { name: spec.name.clone(), kind: spec.kind, shape: spec.shape.clone(), tensor }
}

/// Rows and columns of zeros around an image. The image is in the middle; where the sum is odd, one more is below and right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Frame {
    top: usize,
    bottom: usize,
    left: usize,
    right: usize,
}

impl Frame {
    fn to_multiple(height: usize, width: usize) -> Self {
        let missing = |side: usize| side.max(1).next_multiple_of(COARSEST_STRIDE) - side;
        let (rows, columns) = (missing(height), missing(width));
        Frame { top: rows / 2, bottom: rows - rows / 2, left: columns / 2, right: columns - columns / 2 }
    }

    fn put(self, images: Tensor<4>) -> Tensor<4> {
        if self == Frame::default() {
            return images;
        }
        images.pad([(self.top, self.bottom), (self.left, self.right)].as_slice(), PadMode::Constant(0.0))
    }
}

/// `[N, K, rows, columns]` of `x` from row `top` and column `left` on.
fn crop(x: Tensor<4>, top: usize, left: usize, rows: usize, columns: usize) -> Tensor<4> {
    if x.dims()[2..] == [rows, columns] {
        return x;
    }
    x.narrow(2, top, rows).narrow(3, left, columns)
}

#[cfg(test)]
#[path = "fcn_tests.rs"]
mod tests;
