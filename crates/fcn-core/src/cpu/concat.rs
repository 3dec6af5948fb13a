//! Two maps behind each other along their channels on the CPU, as one operation of the graph: copies of whole planes, forward
//! and backward.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn_flex::{Flex, FlexTensor};
use conv_kernels::Scratch;
use rayon::prelude::*;

use super::tape::{host, on_tape, record_keeping, register_each, tensor, values};

/// `[N, A, H, W]` and `[N, B, H, W]`, both on the CPU, to `[N, A + B, H, W]`.
pub(crate) fn concat(first: Tensor<4>, second: Tensor<4>) -> Tensor<4> {
    let [images, a, height, width] = first.dims();
    let sizes = Planes { images, channels: [a, second.dims()[1]], size: [height, width] };
    if !first.is_autodiff() && !second.is_autodiff() {
        return Tensor::from_primitive::<Flex>(sizes.join(&host(first), &host(second)));
    }
    let [first, second] = [first, second].map(on_tape);
    let output = sizes.join(first.primitive(), second.primitive());
    record_keeping(sizes, [&first, &second], |_| (), output)
}

/// The sizes of both inputs.
#[derive(Clone, Debug)]
struct Planes {
    images: usize,
    channels: [usize; 2],
    size: [usize; 2],
}

impl Planes {
    /// Values of an image in the first input, and in the second.
    fn values(&self) -> [usize; 2] {
        self.channels.map(|channels| channels * self.size[0] * self.size[1])
    }

    fn join(&self, first: &FlexTensor, second: &FlexTensor) -> FlexTensor {
        let (first, second) = (first.to_contiguous(), second.to_contiguous());
        let [a, b] = self.values();
        let mut output = Scratch::take(self.images * (a + b));
        let images = output.par_chunks_exact_mut(a + b).zip(values(&first).par_chunks_exact(a));
        images.zip(values(&second).par_chunks_exact(b)).for_each(|((output, first), second)| {
            let (left, right) = output.split_at_mut(a);
            rayon::join(|| left.copy_from_slice(first), || right.copy_from_slice(second));
        });
        tensor(output, &[self.images, self.channels[0] + self.channels[1], self.size[0], self.size[1]])
    }

    /// The part of a joined map that came from input `which`.
    fn part(&self, joined: &[f32], which: usize) -> FlexTensor {
        let [a, b] = self.values();
        let range = if which == 0 { 0..a } else { a..a + b };
        let mut part = Scratch::take(self.images * range.len());
        let images = part.par_chunks_exact_mut(range.len()).zip(joined.par_chunks_exact(a + b));
        images.for_each(|(part, joined)| part.copy_from_slice(&joined[range.clone()]));
        tensor(part, &[self.images, self.channels[which], self.size[0], self.size[1]])
    }
}

impl Backward<Flex, 2> for Planes {
    type State = ();

    fn backward(self, ops: Ops<(), 2>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        register_each(ops, gradients, |which, ()| self.part(values(&gradient), which));
    }
}
