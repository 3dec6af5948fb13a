//! Training in stages, as the paper does: FCN-32s from ImageNet's weights, FCN-16s from that, FCN-8s from that. Each
//! stage is a run of its own in a folder named after its variant.
//!
//! Long, Shelhamer & Darrell 2015, section 4.2: a finer network starts from the coarser one, with new score layers of
//! zeros, at a hundredth of the rate.

use std::path::PathBuf;

use crate::network::Variant;
use crate::train::config::{RunPaths, TrainConfig};
use crate::train::events::{Event, StopSignal};
use crate::train::run::{TrainOptions, TrainReport, train};
use crate::{Error, Result};
use segdata::files::write::write_bytes_atomically;

/// Trains the configuration's stages one after the other, each from the best checkpoint of the one before. The report is
/// the last stage's, with those of all stages in it.
///
/// With `resume`, stages that are done are passed over and the one that was stopped goes on.
///
/// # Errors
/// Those of [`train`], and a configuration without stages.
pub fn train_stages(options: &TrainOptions, stop: &StopSignal, emit: &mut dyn FnMut(Event)) -> Result<TrainReport> {
    let (config, run) = (&options.config, &options.paths.run);
    config.validate()?;
    std::fs::create_dir_all(run).map_err(|e| Error::io("create the run folder", run, &e))?;
    let all = run.join("config.toml");
    if !options.resume && all.exists() {
        return Err(Error::usage("the folder already holds a run")
            .at(run)
            .hint("add `resume` to go on, or name another `run`"));
    }
    let text = config.to_toml()?;
    write_bytes_atomically(&all, text.as_bytes())?;
    let mut reports: Vec<TrainReport> = Vec::new();
    for (index, stage) in stages(options).into_iter().enumerate() {
        let (variant, rate) = (stage.config.variant, stage.config.lr);
        emit(Event::Remark(format!(
            "stage {} of {}: FCN-{} in {}, rate {rate:.1e}{}",
            index + 1,
            config.stages.len(),
            folder(variant),
            stage.paths.run.display(),
            stage.paths.init.as_ref().map_or(String::new(), |init| format!(", from {}", init.display()))
        )));
        reports.push(train(&stage, stop, emit)?);
    }
    let last = reports.last().cloned().ok_or_else(|| Error::usage("there are no stages to train"))?;
    Ok(TrainReport { stages: reports, ..last })
}

/// What each stage trains.
fn stages(options: &TrainOptions) -> Vec<TrainOptions> {
    let mut init = options.paths.init.clone();
    let mut rate = options.config.lr;
    let mut stages = Vec::new();
    for &variant in &options.config.stages {
        let run: PathBuf = options.paths.run.join(folder(variant));
        stages.push(TrainOptions {
            config: TrainConfig { variant, lr: rate, stages: Vec::new(), ..options.config.clone() },
            paths: RunPaths { init: init.replace(run.clone()), run: run.clone(), ..options.paths.clone() },
            resume: options.resume && run.join("config.toml").exists(),
            device: options.device.clone(),
            device_name: options.device_name.clone(),
            command: options.command.clone(),
        });
        rate *= options.config.stage_rate;
    }
    stages
}

/// The folder of a stage, which is the variant's word.
fn folder(variant: Variant) -> &'static str {
    match variant {
        Variant::Fcn32s => "32s",
        Variant::Fcn16s => "16s",
        Variant::Fcn8s => "8s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use std::path::Path;

    #[test]
    fn each_stage_starts_from_the_one_before_at_a_hundredth_of_the_rate() {
        let config = TrainConfig {
            stages: vec![Variant::Fcn32s, Variant::Fcn16s, Variant::Fcn8s],
            lr: 1e-10,
            ..TrainConfig::default()
        };
        let paths = RunPaths {
            data: "data".into(),
            open: Default::default(),
            run: "no-such-folder/run".into(),
            init: Some("vgg16.safetensors".into()),
        };
        let device = Device::flex();
        let options = TrainOptions { config, paths, resume: true, device, device_name: "cpu".into(), command: vec![] };
        let stages = stages(&options);
        let from: Vec<&Path> = stages.iter().map(|stage| stage.paths.init.as_deref().unwrap()).collect();
        let runs = ["32s", "16s", "8s"].map(|stage| options.paths.run.join(stage));
        assert_eq!(from, [Path::new("vgg16.safetensors"), &runs[0], &runs[1]]);
        for (stage, (run, rate)) in stages.iter().zip(runs.iter().zip([1e-10, 1e-12, 1e-14])) {
            assert_eq!(stage.paths.run, *run);
            assert!((stage.config.lr / rate - 1.0).abs() < 1e-9 && !stage.resume && stage.config.stages.is_empty());
        }
    }
}
