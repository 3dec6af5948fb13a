//! The self-describing weights file: named tensors, and in its header everything needed to use them.
//!
//! The container is safetensors (huggingface/safetensors, README "Format"): a 64-bit little-endian length, a JSON header
//! of that length, the values. Ours hold 32-bit floats only; the header's `__metadata__` holds a [`ModelMeta`](crate::network::ModelMeta), or a
//! [`TrunkMeta`](crate::network::TrunkMeta) where the file holds a trunk without score layers, as ImageNet's weights are: something to train from,
//! not to predict with. The container itself is in [`crate::weights::tensor_file`].

pub(crate) mod header;
pub(crate) mod manifest;
mod mapped_file;
mod model_file;
pub(crate) mod other_kind;
pub(crate) mod tensor_file;

pub use header::Contents;
pub use manifest::{Manifest, find_weights, weights_file};
pub(crate) use model_file::{compare_tables, refuse_not_finite};
pub use model_file::{load, load_mapped, read_contents, read_meta, save};
pub use tensor_file::{NamedValues, TensorFile, Values, write_tensors};
