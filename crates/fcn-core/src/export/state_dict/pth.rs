//! A state dict for `torch.load`, by [`torchio`].

use std::io;
use std::path::Path;

use torchio::{StateDictWriter, WriteError};

use super::tensor::NamedTensor;
use crate::device::values::with_values;
use crate::{Error, Result};
use segdata::files::write::write_atomically;

/// Writes tensors to `path`: all of it or nothing, durable when this returns.
///
/// # Errors
/// What the system refuses; an archive of 4 GiB or more.
pub fn write(path: &Path, tensors: &[NamedTensor]) -> Result<()> {
    let described: Vec<(&str, &[usize])> = tensors.iter().map(|tensor| (&tensor.name[..], &tensor.shape[..])).collect();
    let refused = |e: WriteError| match e {
        WriteError::Io { source } => Error::io("write", path, &source),
        other => Error::usage(other.to_string()).hint("give a file name that ends in .safetensors").at(path),
    };
    write_atomically(path, |file| {
        let mut writer = StateDictWriter::new(io::BufWriter::new(file), &described).map_err(refused)?;
        for tensor in tensors {
            with_values(&tensor.values, |values| writer.tensor([values]))?.map_err(refused)?;
        }
        writer.finish().map(drop).map_err(refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tensor, TensorData};

    fn tensor(name: &str, shape: &[usize]) -> NamedTensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32 - 1.5).collect();
        let values = Tensor::from_data(TensorData::new(values.clone(), [values.len()]), &Device::flex());
        NamedTensor { name: name.into(), shape: shape.to_vec(), values }
    }

    #[test]
    fn tensors_come_back_by_name_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.pth");
        let tensors = [tensor("a.weight", &[2, 3, 1, 1]), tensor("a.bias", &[2]), tensor("none", &[0, 4])];
        write(&path, &tensors).unwrap();
        let mut file = torchio::TorchFile::open(&path).unwrap();
        let names: Vec<String> = file.tensors().iter().map(|tensor| tensor.name.clone()).collect();
        assert_eq!(names, ["a.weight", "a.bias", "none"]);
        for (index, tensor) in tensors.iter().enumerate() {
            assert_eq!(file.tensors()[index].shape, tensor.shape);
            let expected = with_values(&tensor.values, <[f32]>::to_vec).unwrap();
            assert_eq!(file.read_f32(&tensor.name).unwrap(), expected, "{}", tensor.name);
        }
    }
}
