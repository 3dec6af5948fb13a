//! Weights from elsewhere: VGG-16 as pretrained on ImageNet, whole FCNs and U-Nets; from TensorFlow, PyTorch and
//! safetensors.
//!
//! In: a file. Out: a weights file of this program and a report of what became of each tensor.
//!
//! ```text
//! source (the file formats)  ->  names (one table a source)  ->  plan (what it is, what goes where)  ->  weights file
//!                                convention (how its input is prepared)    imagenet (files that are published)
//! ```
//!
//! What a file holds is read from the names and shapes of its tensors: the source, the trunk and its channels, the
//! variant, the number of classes. How its input must be prepared is not in the tensors. It comes from the file's
//! metadata, from names that are published with one convention only, or from the caller, and is never guessed. Values go
//! from the source to the new file one tensor at a time.
//!
//! Formats and names: TF-slim `vgg_16` (TensorFlow V1 and V2 checkpoints), torchvision `vgg16` and `vgg16_bn`,
//! wkentaro/pytorch-fcn, milesial/Pytorch-UNet.

mod convention;
mod imagenet;
pub(crate) mod names;
mod plan;
mod report;
mod source;

pub use convention::Convention;
pub use imagenet::{IMAGENET, asks_for_imagenet, imagenet};
pub(crate) use plan::IMPORT_VERSION;
pub use plan::{Description, ImportOptions, import, inspect};
pub use report::{ImportReport, LeftOut, Taken};
