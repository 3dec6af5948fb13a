//! `fcn train`: fit a network to a data set.

use std::path::PathBuf;

use fcn_core::train::train_stages;
use fcn_core::train::{Event, StopSignal};
use fcn_core::train::{RunPaths, TrainConfig};
use fcn_core::train::{TrainOptions, TrainReport, train};
use fcn_core::{Result, device};

use crate::flags::choice::choice;
use crate::flags::data::DataFlags;
use crate::flags::global::Global;
use crate::flags::mask_values::MaskValuesFlag;
use crate::report;

/// Train a network, with checkpoints, validation pictures and a report in the run folder.
///
/// Flags override the configuration file, which overrides the defaults; the effective values are saved in the run
/// folder. Stop with Ctrl-C and go on with --resume.
///
/// Examples:
///   fcn train --data VOC2012 --run runs/voc --steps 1500 --batch 16
///   fcn train --data VOC2012 --run runs/heavy --init vgg16_from_caffe.pth --config configs/fcn-staged.toml
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Data set: a folder, zip or tar in any usual layout, or records (folder or glob)
    #[arg(long)]
    data: PathBuf,
    /// Class list (`id name [r g b]` a line), where the data brings none
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    #[command(flatten)]
    data_flags: DataFlags,
    /// Folder for everything the run writes
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// TOML file with any of the keys of the run's config.toml
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Weights to start from: a weights file, a run, or anything `fcn import` reads
    #[arg(long, value_name = "WEIGHTS")]
    init: Option<PathBuf>,
    /// Go on with the run in the folder
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    overrides: Overrides,
}

/// Flags that override keys of the configuration. Their defaults are the configuration's.
#[derive(clap::Args)]
pub struct Overrides {
    /// 8s, 16s or 32s [default: 8s]
    #[arg(long)]
    variant: Option<String>,
    /// Variants to train one after the other, each from the one before, as 32s,16s,8s [default: none]
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "variant")]
    stages: Option<Vec<String>>,
    /// vgg16 or vgg16-bn [default: vgg16]
    #[arg(long)]
    backbone: Option<String>,
    /// Multiplier on the channel counts [default: 1.0]
    #[arg(long)]
    width: Option<f32>,
    /// fcn, or unet or unet-bn, to which variant, backbone and geometry do not belong [default: fcn]
    #[arg(long)]
    model: Option<String>,
    /// same or caffe [default: same]
    #[arg(long)]
    geometry: Option<String>,
    /// Convolutions on the CPU: direct, accurate or fast; the faster, the more they round [default: fast]
    #[arg(long, value_name = "HOW")]
    conv: Option<String>,
    /// Updates in all, those before a resume included [default: 1500]
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Images a batch [default: 16]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Batches whose gradients are added up before an update [default: 1]
    #[arg(long, value_name = "N")]
    accumulate: Option<usize>,
    /// Side of the square training crop in pixels [default: 224]
    #[arg(long, value_name = "N")]
    crop: Option<usize>,
    /// adam, adamw or sgd [default: adam]
    #[arg(long)]
    optimizer: Option<String>,
    /// Learning rate [default: 1e-4]
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// Weight decay of weights, not of biases and batch norms [default: 0]
    #[arg(long, value_name = "X")]
    weight_decay: Option<f32>,
    /// Momentum of sgd [default: 0.9]
    #[arg(long, value_name = "X")]
    momentum: Option<f32>,
    /// constant or poly [default: constant]
    #[arg(long)]
    schedule: Option<String>,
    /// Steps over which the rate grows from nothing [default: 0]
    #[arg(long, value_name = "N")]
    warmup_steps: Option<u64>,
    /// mean over valid pixels, or sum as in the paper [default: mean]
    #[arg(long)]
    loss: Option<String>,
    /// Seed of all randomness [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Steps between log lines [default: 10]
    #[arg(long, value_name = "N")]
    log_every: Option<u64>,
    /// Steps between checkpoints [default: 100]
    #[arg(long, value_name = "N")]
    save_every: Option<u64>,
    /// Steps between validations [default: 200]
    #[arg(long, value_name = "N")]
    validate_every: Option<u64>,
    /// Checkpoints kept besides the best [default: 5]
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    #[command(flatten)]
    mask_values: MaskValuesFlag,
}

impl Overrides {
    fn apply(&self, config: &mut TrainConfig) -> Result<()> {
        fn set<T: Clone>(target: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                *target = value.clone();
            }
        }
        fn set_choice<T: serde::de::DeserializeOwned>(
            target: &mut T,
            flag: &str,
            value: &Option<String>,
        ) -> Result<()> {
            if let Some(value) = value {
                *target = choice(flag, value)?;
            }
            Ok(())
        }
        set_choice(&mut config.model, "--model", &self.model)?;
        set_choice(&mut config.variant, "--variant", &self.variant)?;
        if let Some(stages) = &self.stages {
            config.stages = stages.iter().map(|word| choice("--stages", word.trim())).collect::<Result<_>>()?;
        } else if self.variant.is_some() {
            config.stages = Vec::new();
        }
        set_choice(&mut config.backbone, "--backbone", &self.backbone)?;
        set_choice(&mut config.geometry, "--geometry", &self.geometry)?;
        set_choice(&mut config.conv, "--conv", &self.conv)?;
        set_choice(&mut config.optimizer, "--optimizer", &self.optimizer)?;
        set_choice(&mut config.schedule, "--schedule", &self.schedule)?;
        set_choice(&mut config.loss, "--loss", &self.loss)?;
        set(&mut config.width, &self.width);
        set(&mut config.steps, &self.steps);
        set(&mut config.batch, &self.batch);
        set(&mut config.accumulate, &self.accumulate);
        set(&mut config.crop, &self.crop);
        set(&mut config.lr, &self.lr);
        set(&mut config.weight_decay, &self.weight_decay);
        set(&mut config.momentum, &self.momentum);
        set(&mut config.warmup_steps, &self.warmup_steps);
        set(&mut config.seed, &self.seed);
        set(&mut config.log_every, &self.log_every);
        set(&mut config.save_every, &self.save_every);
        set(&mut config.validate_every, &self.validate_every);
        set(&mut config.keep, &self.keep);
        set(&mut config.mask_values, &self.mask_values.given());
        config.validate()
    }
}

pub fn run(args: Args, global: &Global) -> Result<()> {
    // A resumed run has its own configuration unless another is named.
    let own = args.run.join("config.toml");
    let mut config = match &args.config {
        Some(path) => TrainConfig::read(path)?,
        None if args.resume && own.exists() => TrainConfig::read(&own)?,
        None => TrainConfig::default(),
    };
    args.overrides.apply(&mut config)?;
    let options = TrainOptions {
        config,
        paths: RunPaths {
            data: args.data,
            open: args.data_flags.options(args.classes, None)?,
            run: args.run,
            init: args.init,
        },
        resume: args.resume,
        device: device::parse(&global.device)?,
        device_name: global.device.clone(),
        command: std::env::args().collect(),
    };
    let result = train_with_report(&options, global)?;
    match global.json {
        true => report::print_json(&result),
        false => {
            let best = result.best.map_or("n/a".to_string(), |b| format!("mIoU {:.4} at step {}", b.miou, b.step));
            report::print_line(&format!("done: {} steps, best {best}", result.steps));
            report::print_line(&format!("report: {}", result.run.join("report.html").display()));
            Ok(())
        }
    }
}

/// Trains, printing what happens to stderr; SIGINT and SIGTERM save and end, a second one ends at once.
pub fn train_with_report(options: &TrainOptions, global: &Global) -> Result<TrainReport> {
    let stop = catch_signals()?;
    let mut progress: Option<report::Progress> = None;
    let run = if options.config.stages.is_empty() { train } else { train_stages };
    run(options, &stop, &mut |event| {
        if !matches!(event, Event::Validating(..)) {
            progress = None;
        }
        match event {
            Event::Validating(done, total) => {
                progress.get_or_insert_with(|| report::Progress::new("validating", total, global)).at(done, total);
            }
            Event::Remark(text) => report::remark(&text, global),
            _ if global.quiet => {}
            Event::Start { config, step, .. } if step >= config.steps => {
                report::note(&format!("the run is already complete: {step} of {} steps are done", config.steps));
            }
            Event::Start { config, layout, left_out, parameters, images, step } => {
                report::note(&layout.line());
                left_out.into_iter().for_each(report::note);
                report::note(&start_lines(config, parameters, images, step))
            }
            Event::Step(log) => report::note(&format!(
                "step {:>6}  loss {:.4}  rate {:.2e}  {:>6.2} images/s  data wait {:>3.0} %  ETA {:>6}  peak {}",
                log.step,
                log.loss,
                log.rate,
                log.images_per_s,
                log.data_wait * 100.0,
                report::duration(log.eta_secs),
                report::bytes(log.peak_rss_bytes)
            )),
            Event::Validation(validation) => {
                report::note(&validation.line());
                validation.crf_line().into_iter().for_each(|line| report::note(&line));
            }
            Event::Saved(path) => report::note(&format!("saved {}", path.display())),
        }
    })
}

fn start_lines(config: &TrainConfig, parameters: usize, images: [usize; 2], step: u64) -> String {
    let [training, validation] = images;
    let other = config.rate_for_the_other_reduction();
    let equivalent = match (config.loss, config.optimizer) {
        (_, fcn_core::train::OptimizerKind::Adam | fcn_core::train::OptimizerKind::AdamW) => String::new(),
        (fcn_core::loss::Reduction::Mean, _) => format!(" (on the summed loss: {other:.2e})"),
        (fcn_core::loss::Reduction::Sum, _) => format!(" (on the mean loss: {other:.2e})"),
    };
    format!(
        "{parameters} trainable parameters; {training} training and {validation} validation images\n\
         from step {step} to {}, {} images a step, crop {}, rate {:.2e}{equivalent}",
        config.steps,
        config.images_per_step(),
        config.crop,
        config.lr
    )
}

fn catch_signals() -> Result<StopSignal> {
    let stop = StopSignal::default();
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let second = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let refused = |e: std::io::Error| fcn_core::Error::internal(format!("cannot catch signals: {e}"));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds `second` unset and sets it; the next one ends the process.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, second.clone()).map_err(refused)?;
            signal_hook::flag::register(signal, second.clone()).map_err(refused)?;
            signal_hook::flag::register_usize(signal, stop.0.clone(), signal as usize).map_err(refused)?;
        }
        // A closed terminal is no reason to stop training.
        signal_hook::flag::register(SIGHUP, std::sync::Arc::default()).map_err(refused)?;
    }
    Ok(stop)
}
