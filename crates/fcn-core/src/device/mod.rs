//! Where tensors are: [`choice`] names a device, [`values`] reads what is on one.

pub mod choice;
pub mod values;

pub use burn::tensor::{Device, Tensor, TensorData};
pub use choice::{available, is_cpu, parse};
