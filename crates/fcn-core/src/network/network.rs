//! A network: what it is, its operations, and the values of its parameters on a device.
//!
//! `N` images, `K` classes, `H x W` pixels.

use std::sync::OnceLock;

use burn::tensor::{Device, Tensor, TensorData};
use conv_kernels::Algorithm;

use super::bilinear::bilinear_weights;
use super::executor::{DropoutKey, Executor, Mode, NormStatistics, Stopwatch};
use super::graph::Graph;
use super::initial::initial_values;
use super::parameter::{Parameter, ParameterKind, ParameterSpec};
use super::prepared::LayerWeights;
use super::spec::ModelMeta;
use crate::device::values::with_values;
use crate::{Error, Result};

/// Share of the newest batch in a running mean or variance; PyTorch's value.
const NORM_MOMENTUM: f64 = 0.1;

/// What the weights do not depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetworkOptions {
    /// Probability of dropping a value in training, behind fc6 and fc7 of an FCN and the two lowest levels of a U-Net; the
    /// papers' is 0.5.
    pub dropout: f32,
    /// Whether the bilinear kernels are learnt. The paper's last one is fixed; the others it learns with little gain.
    pub trainable_upsampling: bool,
    /// How convolutions on the CPU trade exactness for speed.
    pub algorithm: Algorithm,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        NetworkOptions { dropout: 0.5, trainable_upsampling: false, algorithm: Algorithm::Fast }
    }
}

/// A network with values.
#[derive(Clone, Debug)]
pub struct Network {
    /// What network this is.
    pub meta: ModelMeta,
    /// What its weights do not depend on.
    pub options: NetworkOptions,
    graph: Graph,
    parameters: Vec<Parameter>,
    /// By parameter: whether it is an upsampling kernel that interpolates linearly, for which there is a shorter way.
    bilinear: OnceLock<Vec<bool>>,
}

impl Network {
    /// A network with fresh weights: normal (He, Zhang, Ren & Sun 2015, equation 10), zero in the score layers and all
    /// biases (the FCN paper's choice for skips), and bilinear kernels where scores are upsampled.
    ///
    /// The values depend on `meta` and `seed` alone, not on the device or the number of threads.
    pub fn init(meta: ModelMeta, options: &NetworkOptions, seed: u64, device: &Device) -> Network {
        let graph = meta.graph();
        let of = |(index, spec)| materialise(spec, flat(initial_values(spec, index, seed)), device);
        let parameters = graph.parameters.iter().enumerate().map(of).collect();
        Network { meta, options: *options, graph, parameters, bilinear: OnceLock::new() }
    }

    /// A network whose parameters `values` supplies by their description, in the order of [`ModelMeta::parameters`].
    ///
    /// # Errors
    /// Those of `values`, and a length that is not that of the shape.
    pub fn from_values(
        meta: ModelMeta,
        options: &NetworkOptions,
        device: &Device,
        mut values: impl FnMut(&ParameterSpec) -> Result<Vec<f32>>,
    ) -> Result<Network> {
        Self::from_data(meta, options, device, |spec| values(spec).map(flat))
    }

    /// As [`from_values`](Self::from_values), from flat data of 32-bit floats.
    ///
    /// # Errors
    /// Those of `data`, and a length that is not that of the shape.
    pub fn from_data(
        meta: ModelMeta,
        options: &NetworkOptions,
        device: &Device,
        mut data: impl FnMut(&ParameterSpec) -> Result<TensorData>,
    ) -> Result<Network> {
        let graph = meta.graph();
        let mut parameters = Vec::with_capacity(graph.parameters.len());
        for spec in &graph.parameters {
            let found = data(spec)?;
            let (len, name, shape) = (found.num_elements(), &spec.name, &spec.shape);
            if len != spec.len() {
                return Err(Error::weights(format!("{name} has {len} values; its shape is {shape:?}")));
            }
            parameters.push(materialise(spec, found, device));
        }
        Ok(Network { meta, options: *options, graph, parameters, bilinear: OnceLock::new() })
    }

    /// Every parameter, in the order of [`ModelMeta::parameters`].
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameters, to be filled by an importer. Shapes must stay.
    pub fn parameters_mut(&mut self) -> &mut [Parameter] {
        self.bilinear.take();
        &mut self.parameters
    }

    /// The parameters, to be replaced by an optimiser, which leaves those alone that are not [trainable](Self::trains).
    pub(crate) fn learnt_mut(&mut self) -> &mut [Parameter] {
        if self.options.trainable_upsampling {
            self.bilinear.take();
        }
        &mut self.parameters
    }

    /// Whether gradients change a parameter.
    pub fn trains(&self, parameter: &Parameter) -> bool {
        parameter.kind.trainable(self.options.trainable_upsampling)
    }

    /// How many numbers are learnt.
    pub fn trainable_count(&self) -> usize {
        let learnt = self.parameters.iter().filter(|parameter| self.trains(parameter));
        learnt.map(|parameter| parameter.shape.iter().product::<usize>()).sum()
    }

    /// The operations.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The device the weights are on, without autodiff.
    pub fn device(&self) -> Device {
        self.parameters[0].tensor.device().inner()
    }

    /// Marks every trainable tensor as one whose gradient is wanted. Also after an optimiser has replaced tensors.
    pub fn for_training(&mut self) {
        let upsampling = self.options.trainable_upsampling;
        for parameter in &mut self.parameters {
            let trainable = parameter.kind.trainable(upsampling);
            parameter.tensor.inplace(|tensor| match trainable {
                true => tensor.inner().autodiff().require_grad(),
                false => tensor.inner(),
            });
        }
    }

    /// Undoes [`Network::for_training`].
    pub fn for_inference(&mut self) {
        for parameter in &mut self.parameters {
            parameter.tensor.inplace(Tensor::inner);
        }
    }

    /// Logits `[N, K, H, W]` of normalised images `[N, 3, H, W]`: running statistics, nothing dropped, no gradient.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.infer(images, None, None)
    }

    /// [`Network::forward`] with weights from elsewhere, and a clock.
    pub(super) fn infer(
        &self,
        images: Tensor<4>,
        weights: Option<&LayerWeights>,
        watch: Option<&mut Stopwatch>,
    ) -> Tensor<4> {
        self.executor(Mode::Inference(weights), watch).run(images.inner())
    }

    /// Logits `[N, K, H, W]` of normalised images `[N, 3, H, W]`, for learning: statistics of the batch, which also move
    /// the running ones, and dropout. After [`Network::for_training`] the result carries gradients.
    pub fn forward_train(&mut self, images: Tensor<4>, key: DropoutKey) -> Tensor<4> {
        let mut executor = self.executor(Mode::Training(key, self.options.dropout), None);
        let logits = executor.run(images.autodiff());
        for batch in executor.statistics {
            self.follow(batch);
        }
        logits
    }

    fn executor<'a>(&'a self, mode: Mode<'a>, watch: Option<&'a mut Stopwatch>) -> Executor<'a> {
        let (graph, parameters, options) = (&self.graph, &self.parameters[..], self.options);
        let learns = matches!(mode, Mode::Training(..)) && options.trainable_upsampling;
        let bilinear = if learns { &[][..] } else { self.bilinear() };
        Executor { graph, parameters, algorithm: options.algorithm, bilinear, mode, statistics: Vec::new(), watch }
    }

    fn bilinear(&self) -> &[bool] {
        self.bilinear.get_or_init(|| self.parameters.iter().map(is_bilinear).collect())
    }

    /// Moves the running statistics towards those of a batch.
    fn follow(&mut self, batch: NormStatistics) {
        // PyTorch's running variance divides by one less than the number of values.
        let unbiased = batch.variance * (batch.values as f64 / batch.values.saturating_sub(1).max(1) as f64);
        for (index, newest) in [(batch.norm.mean, batch.mean), (batch.norm.var, unbiased)] {
            self.parameters[index]
                .tensor
                .inplace(|running| running.inner() * (1.0 - NORM_MOMENTUM) + newest * NORM_MOMENTUM);
        }
    }
}

/// Whether a parameter is the kernel from which upsampling layers start.
fn is_bilinear(parameter: &Parameter) -> bool {
    let (channels, taps) = (parameter.shape[0], parameter.shape.last().copied().unwrap_or(0));
    parameter.kind == ParameterKind::Upsampling
        && with_values(&parameter.tensor, |found| found == bilinear_weights(channels, taps)).unwrap_or(false)
}

fn flat(values: Vec<f32>) -> TensorData {
    let len = values.len();
    TensorData::new(values, [len])
}

fn materialise(spec: &ParameterSpec, data: TensorData, device: &Device) -> Parameter {
    let tensor = Tensor::<1>::from_data(data, &device.clone().inner());
    Parameter { name: spec.name.clone(), kind: spec.kind, shape: spec.shape.clone(), tensor }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
