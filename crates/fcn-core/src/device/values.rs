//! A tensor's values, read on the host: without a copy where they already are there.

use burn::tensor::{AllocationProperty, DType, Tensor, TensorData};
use burn_flex::Flex;
use bytes::Bytes;

use crate::device::choice::is_cpu;
use crate::{Error, Result};

/// Calls `read` with the values of `tensor` in C order.
///
/// # Errors
/// A tensor that is not of 32-bit floats, or a device that fails to deliver.
pub fn with_values<const D: usize, R>(tensor: &Tensor<D>, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.clone().inner();
    let values = tensor.shape().num_elements();
    if let Ok(primitive) = tensor.clone().try_into_primitive::<Flex>() {
        let contiguous = primitive.to_contiguous();
        // A view may begin inside a larger buffer; then the general path below copies it out.
        if contiguous.layout().start_offset() == 0 && contiguous.storage::<f32>().len() == values {
            return Ok(read(contiguous.storage::<f32>()));
        }
    }
    let data =
        tensor.try_into_data().map_err(|e| Error::internal(format!("the device did not deliver a tensor: {e}")))?;
    let values =
        data.as_slice::<f32>().map_err(|e| Error::internal(format!("a tensor is not of 32-bit floats: {e}")))?;
    Ok(read(values))
}

/// The f32 values whose bytes these are as data of this shape, without a copy. The memory is never written to as long as a
/// tensor on the host uses it: an operation that works in place gets a copy.
pub fn borrow(bytes: Bytes, dims: &[usize]) -> TensorData {
    let bytes = burn::tensor::Bytes::from_shared(bytes, AllocationProperty::Other);
    TensorData::from_bytes(bytes, dims.to_vec(), DType::F32)
}

/// Whether the values are in this process's memory, where they can be changed in place.
pub fn is_host<const D: usize>(tensor: &Tensor<D>) -> bool {
    is_cpu(&tensor.device().inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn values_come_in_c_order_from_whole_tensors_and_from_views() {
        let whole =
            Tensor::<2>::from_data(TensorData::new(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]), &Device::flex());
        let cases: [(&str, Tensor<2>, &[f32]); 4] = [
            ("whole", whole.clone(), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            ("row", whole.clone().narrow(0, 1, 1), &[4.0, 5.0, 6.0]),
            ("columns", whole.clone().narrow(1, 1, 2), &[2.0, 3.0, 5.0, 6.0]),
            ("transposed", whole.clone().transpose(), &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        ];
        for (name, tensor, expected) in cases {
            assert_eq!(with_values(&tensor, <[f32]>::to_vec).unwrap(), expected, "{name}");
            assert_eq!(with_values(&tensor.autodiff(), <[f32]>::to_vec).unwrap(), expected, "{name} with autodiff");
        }
    }
}
