//! Between tensors and slices on the CPU: values in, values out, and operations with one input on the autodiff tape.

use std::fmt::Debug;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};
use bytes::Bytes;
use conv_kernels::Scratch;

use crate::device::values::borrow;

/// A tensor on the tape of the CPU.
pub(crate) type Tracked = FloatTensor<Autodiff<Flex>>;

/// What an operation with one input does on the way back.
pub(crate) trait Gradient: Clone + Debug + Send + Sync + 'static {
    /// The gradient of the input, given that of the output.
    fn of_input(&self, of_output: &[f32]) -> FlexTensor;
}

/// Puts `output`, computed from `x`, on the tape of `x` if that has one.
pub(crate) fn record<const I: usize, const O: usize>(
    x: Tensor<I>,
    output: FlexTensor,
    gradient: impl Gradient,
) -> Tensor<O> {
    if !x.is_autodiff() {
        return Tensor::from_primitive::<Flex>(output);
    }
    let x = on_tape(x);
    let recorded = Recorded(gradient).prepare::<NoCheckpointing>([x.node()]).compute_bound().stateless(output);
    Tensor::from_primitive::<Autodiff<Flex>>(recorded)
}

/// Puts `output`, computed from `parents` by `operation`, on their tape; what the way back needs is kept only if one of them
/// wants a gradient.
pub(crate) fn record_keeping<const N: usize, const D: usize, O: Backward<Flex, N>>(
    operation: O,
    parents: [&Tracked; N],
    kept: impl FnOnce(&FlexTensor) -> O::State,
    output: FlexTensor,
) -> Tensor<D> {
    let prepared = operation.prepare::<NoCheckpointing>(parents.map(|parent| parent.node())).compute_bound();
    let recorded = match prepared.stateful() {
        OpsKind::Tracked(graph) => graph.finish(kept(&output), output),
        OpsKind::UnTracked(graph) => graph.finish(output),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(recorded)
}

/// As [`record_keeping`], of a layer: the parents are its input, its weight and, where it has one, its bias.
pub(crate) fn record_layer<const D: usize, S, O>(
    operation: O,
    x: &Tracked,
    weight: &Tracked,
    bias: Option<&Tracked>,
    kept: impl FnOnce(&FlexTensor) -> S,
    output: FlexTensor,
) -> Tensor<D>
where
    O: Backward<Flex, 2, State = S> + Backward<Flex, 3, State = S>,
{
    match bias {
        Some(bias) => record_keeping(operation, [x, weight, bias], kept, output),
        None => record_keeping(operation, [x, weight], kept, output),
    }
}

/// Hands to every parent that wants one its gradient, computed from its place among the parents and what was kept.
pub(crate) fn register_each<const N: usize, S: Clone + Send + Debug + 'static>(
    ops: Ops<S, N>,
    gradients: &mut Gradients,
    of_parent: impl Fn(usize, &S) -> FlexTensor,
) {
    for (place, parent) in ops.parents.into_iter().enumerate() {
        if let Some(parent) = parent {
            gradients.register::<Flex>(parent.id, of_parent(place, &ops.state));
        }
    }
}

#[derive(Clone, Debug)]
struct Recorded<G>(G);

impl<G: Gradient> Backward<Flex, 1> for Recorded<G> {
    type State = ();

    fn backward(self, ops: Ops<(), 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let of_output = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            gradients.register::<Flex>(parent.id, self.0.of_input(values(&of_output)));
        }
    }
}

/// The CPU's own tensor, without a copy.
pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    match tensor.inner().try_into_primitive::<Flex>() {
        Ok(primitive) => primitive,
        Err(fault) => unreachable!("the caller checked that the tensor is on the host: {fault:?}"),
    }
}

/// The CPU's own tensor with its place on the tape.
pub(crate) fn on_tape<const D: usize>(tensor: Tensor<D>) -> Tracked {
    match tensor.autodiff().try_into_primitive::<Autodiff<Flex>>() {
        Ok(primitive) => primitive,
        Err(fault) => unreachable!("the caller checked that the tensor is on the host: {fault:?}"),
    }
}

/// The values of a contiguous tensor.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    let start = tensor.layout().start_offset();
    &tensor.storage::<f32>()[start..start + tensor.layout().num_elements()]
}

/// Recycled memory as the bytes of a tensor.
struct Recycled(Scratch);

impl AsRef<[u8]> for Recycled {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// A tensor of these values, without a copy; when it is dropped its memory is used again.
pub(crate) fn tensor(values: Scratch, dims: &[usize]) -> FlexTensor {
    FlexTensor::from_data(borrow(Bytes::from_owner(Recycled(values)), dims))
}

/// A short list of values as a tensor with one axis.
pub(crate) fn listed(values: Vec<f32>) -> FlexTensor {
    let len = values.len();
    FlexTensor::from_data(TensorData::new(values, [len]))
}

/// The value of a result whose error would mean that sizes taken from the tensors themselves do not fit them.
pub(crate) fn sizes_fit<T>(result: Result<T, conv_kernels::ShapeError>) -> T {
    match result {
        Ok(value) => value,
        Err(fault) => unreachable!("the sizes come from the tensors themselves: {fault}"),
    }
}
