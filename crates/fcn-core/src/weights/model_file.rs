//! Networks to and from files, with everything checked: tensors against the network that the header names, values for NaN
//! and infinity.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use rayon::prelude::*;

use super::header::Contents;
use super::tensor_file::{NamedValues, TensorFile, Values, write_tensors};
use crate::device::choice::is_cpu;
use crate::device::values::borrow;
use crate::network::ModelMeta;
use crate::network::{Network, NetworkOptions, ParameterSpec};
use crate::{Error, Result};

/// Writes the network's tensors and metadata to `path`: all of it or nothing, durable when this returns.
///
/// # Errors
/// What the system refuses.
pub fn save(path: &Path, fcn: &Network) -> Result<()> {
    let tensors = fcn.parameters().iter().map(|parameter| NamedValues {
        name: parameter.name.clone(),
        shape: parameter.shape.clone(),
        values: Values::Tensor(&parameter.tensor),
    });
    write_tensors(path, &fcn.meta.to_header()?, tensors.collect())
}

/// What network a weights file holds, from its header alone.
///
/// # Errors
/// A file that cannot be read, is no safetensors file, or does not say what network it holds.
pub fn read_meta(path: &Path) -> Result<ModelMeta> {
    ModelMeta::from_header(TensorFile::open(path)?.metadata()).map_err(|e| e.at(path))
}

/// What a weights file holds, from its header alone.
///
/// # Errors
/// As [`read_meta`], but a trunk alone is none.
pub fn read_contents(path: &Path) -> Result<Contents> {
    Contents::from_header(TensorFile::open(path)?.metadata()).map_err(|e| e.at(path))
}

/// The network in a weights file, on `device`, with default [`NetworkOptions`].
///
/// # Errors
/// As [`read_meta`]; tensors that are missing, unexpected or of another shape, all listed; values that are not finite.
pub fn load(path: &Path, device: &Device) -> Result<Network> {
    let (file, meta) = open_network(path)?;
    Network::from_values(meta, &NetworkOptions::default(), device, |spec| finite_values(&file, &spec.name, path))
}

/// [`load`] for weights that will not change: on the CPU they are not read but mapped, so that a network of half a gigabyte
/// is there at once and shares its memory with every other process that uses the file. See
/// `mapped_file` for what that asks of the file. Kernels of 3x3 taps, a ninth of the whole, are read:
/// [`Frozen`](crate::network::Frozen) transforms them and lets them go, which pages of a file would not do.
///
/// # Errors
/// As [`load`].
pub fn load_mapped(path: &Path, device: &Device) -> Result<Network> {
    if !is_cpu(device) {
        return load(path, device);
    }
    let (file, meta) = open_network(path)?;
    let map = file.map()?;
    Network::from_data(meta, &NetworkOptions::default(), device, |spec| {
        let mapped = if spec.shape.ends_with(&[3, 3]) { None } else { file.mapped(&map, &spec.name) };
        let Some(bytes) = mapped else {
            let values = finite_values(&file, &spec.name, path)?;
            return Ok(TensorData::new(values, [spec.len()]));
        };
        refuse_not_finite(&spec.name, bytemuck::cast_slice(&bytes)).map_err(|e| e.at(path))?;
        Ok(borrow(bytes, &[spec.len()]))
    })
}

/// A weights file whose tensors are those of the network it declares.
fn open_network(path: &Path) -> Result<(TensorFile, ModelMeta)> {
    let file = TensorFile::open(path)?;
    let meta = ModelMeta::from_header(file.metadata()).map_err(|e| e.at(path))?;
    let found: Vec<(String, Vec<usize>)> =
        file.tensors().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
    compare_tables(&meta.parameters(), &found).map_err(|e| e.at(path))?;
    Ok((file, meta))
}

fn finite_values(file: &TensorFile, name: &str, path: &Path) -> Result<Vec<f32>> {
    let values = file.read(name)?;
    refuse_not_finite(name, &values).map_err(|e| e.at(path))?;
    Ok(values)
}

/// Refuses values that are infinite or NaN.
///
/// # Errors
/// The first such value, with the tensor's name.
pub fn refuse_not_finite(name: &str, values: &[f32]) -> Result<()> {
    match first_not_finite(values) {
        Some(at) => Err(Error::weights(format!("{name}: value {at} is {}; expected a finite number", values[at]))
            .hint("these weights come from a training that diverged; use an earlier checkpoint")),
        None => Ok(()),
    }
}

/// Where the first value is that is infinite or NaN.
fn first_not_finite(values: &[f32]) -> Option<usize> {
    /// Looked at as a whole, so that the loop over it has no exit and runs in vectors.
    const BLOCK: usize = 1 << 14;
    let finite = |values: &[f32]| values.iter().fold(true, |all, value| all & value.is_finite());
    let block = values.par_chunks(BLOCK).position_first(|block| !finite(block))?;
    let start = block * BLOCK;
    values[start..].iter().position(|value| !value.is_finite()).map(|at| start + at)
}

/// Says everything in which the tensors of a file differ from those that a network needs.
///
/// # Errors
/// Any difference: one line each for what is missing, unexpected or of another shape.
pub fn compare_tables(expected: &[ParameterSpec], found: &[(String, Vec<usize>)]) -> Result<()> {
    let wanted: BTreeMap<&str, &[usize]> = expected.iter().map(|spec| (spec.name.as_str(), &spec.shape[..])).collect();
    let present: BTreeMap<&str, &[usize]> = found.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
    let mut lines = Vec::new();
    for (name, shape) in &wanted {
        match present.get(name) {
            None => lines.push(format!("{name}: missing; expected {shape:?}")),
            Some(other) if other != shape => lines.push(format!("{name}: is {other:?}; expected {shape:?}")),
            Some(_) => {}
        }
    }
    for (name, shape) in present.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
        lines.push(format!("{name}: {shape:?} is not a part of this network"));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let count = lines.len();
    let s = if count == 1 { "" } else { "s" };
    Err(Error::weights(format!("{count} tensor{s} do not fit the network:\n  {}", lines.join("\n  "))))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
