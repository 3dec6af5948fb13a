//! Compares the logits of an imported weights file with PyTorch's:
//! `import_logits WEIGHTS.safetensors EXPECTED.safetensors NAME`. See `reference/import_golden.py`, which made the
//! expected ones, also in full width. A trunk becomes an FCN-32s that hands on the channels of fc7.

use std::error::Error;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use fcn_core::device::with_values;
use fcn_core::network::channels_at_width;
use fcn_core::network::{Algorithm, Network, NetworkOptions};
use fcn_core::network::{Geometry, Variant};
use fcn_core::train::StartingWeights;
use fcn_core::weights::TensorFile;
use fcn_core::weights::{self, Contents};
use segdata::image::preprocessing::Normaliser;
use segdata::labels::Classes;

// These repeat reference/import_golden.py.
const SHAPE: [usize; 2] = [40, 52];
const STRIDE: usize = 31;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: import_logits WEIGHTS.safetensors EXPECTED.safetensors NAME";
    let path = PathBuf::from(arguments.next().ok_or(usage)?);
    let expected = TensorFile::open(&PathBuf::from(arguments.next().ok_or(usage)?))?;
    let name = arguments.next().ok_or(usage)?.to_string_lossy().into_owned();

    let device = Device::flex();
    let mut fcn = match weights::read_contents(&path)? {
        Contents::Network(_) => weights::load(&path, &device)?,
        Contents::Trunk(trunk) => {
            let [.., channels] = trunk.trunk.channels.unwrap_or_else(|| channels_at_width(trunk.width));
            // As many classes as there are names for, of the first channels of fc7.
            let count = channels.min(255);
            let classes = Classes::named((0..count).map(|id| id.to_string()));
            let meta = trunk.with_head(Variant::Fcn32s, Geometry::Same, classes);
            let mut fcn = Network::init(meta, &NetworkOptions::default(), 1, &device);
            StartingWeights::open(&path, &path, &mut |_| {})?.adopt(&mut fcn)?;
            for parameter in fcn.parameters_mut() {
                if parameter.name == "score_fr.weight" {
                    let mut unit = vec![0.0f32; count * channels];
                    unit.iter_mut().step_by(channels + 1).for_each(|value| *value = 1.0);
                    parameter.tensor = Tensor::from_data(TensorData::new(unit, [count * channels]), &device);
                }
            }
            fcn
        }
    };
    // It is the import that is compared here, not the rounding of fast convolutions.
    fcn.options.algorithm = Algorithm::Direct;
    let photograph: Vec<u8> = (0..SHAPE[0] * SHAPE[1] * 3).map(|i| ((7 * i * i + 13 * i) % 251) as u8).collect();
    let planes = Normaliser::new(&fcn.meta.preprocessing).planes(&photograph);
    let input = Tensor::<4>::from_data(TensorData::new(planes, [1, 3, SHAPE[0], SHAPE[1]]), &device);
    let found = with_values(&fcn.forward(input), <[f32]>::to_vec)?;
    let golden = expected.read(&name)?;
    let largest = golden.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let worst = found.iter().step_by(STRIDE).zip(&golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{} logits, {} compared: largest {largest:.3}, largest difference {worst:.1e}", found.len(), golden.len());
    println!("relative to the largest: {:.1e}", worst / largest);
    Ok(())
}
