//! A weights file in, the same network for another program out: ONNX, or a state dict for PyTorch.
//!
//! [`export`] reads the file, writes the other one and says what to know about it. Both formats are walks over the
//! network's [graph](crate::network::graph): [`onnx`] writes each operation, [`state_dict`] each tensor under another
//! name. Nothing here computes; values go from the network to the file one tensor at a time.

pub mod onnx;
pub mod state_dict;
mod target;

pub use target::{Exported, Target, export};
