//! Where tensors are.
//!
//! [`choice`] turns a name (`cpu`, `cuda:1`) into a device of the engine, [`values`] reads a tensor's values, without a copy
//! where they are in this process's memory. Which devices there are is decided when the program is built.

pub(crate) mod choice;
pub(crate) mod values;

pub use burn::tensor::{Device, Tensor, TensorData};
pub use choice::{available, is_cpu, parse};
pub use values::with_values;
