//! A network's weights under the names that PyTorch's users know, as safetensors or as `torch.save` writes them.
//!
//! [`Names::PytorchFcn`]: the FCN classes of wkentaro/pytorch-fcn, and of the Caffe models. Their layers are ours, so that
//! the names are, too; batch normalisations, which those classes do not have, are folded into the convolutions before
//! them, which changes nothing in inference.
//!
//! [`Names::Torchvision`]: torchvision's `vgg16` and `vgg16_bn` with as many classes as ours. fc6, fc7 and score_fr are its
//! three fully connected layers: the same values in the same order. torchvision normalises only convolutions, so that
//! the normalisations behind fc6 and fc7 are folded, and its convolutions have biases, which are zero. It has nothing
//! like skip layers and upsampling: those are left out.

mod names;
mod pth;
mod tensor;

pub use names::{Names, StateDict, pytorch_fcn_class};
pub use tensor::NamedTensor;
