//! `fcn train`: fit a network to a data set.
//!
//! `overrides` are the flags that stand for keys of the configuration; `screen` is what is seen while it runs, `scores` the
//! table after a validation, `signals` what Ctrl-C does.

mod overrides;
mod scores;
mod screen;
mod signals;

use std::path::PathBuf;

use fcn_core::import::{asks_for_imagenet, imagenet};
use fcn_core::train::{Event, Model, RunPaths, TrainConfig, TrainOptions, TrainReport, train, train_stages};
use fcn_core::{Error, Result, device};

use self::overrides::Overrides;
use self::screen::{Screen, start_lines};
use self::signals::Standing;
use crate::flags::data::DataFlags;
use crate::flags::global::Global;
use crate::report;

/// Train a network, with checkpoints, validation pictures and a report in the run folder.
///
/// Flags override the configuration file, which overrides the defaults; the effective values are saved in the run
/// folder. Stop with Ctrl-C and go on with --resume.
///
/// Examples:
///   fcn train --data VOC2012 --run runs/voc --steps 1500 --batch 16
///   fcn train --data VOC2012 --run runs/voc --init imagenet --epochs 30
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
    /// Weights to start from: a weights file, a run, anything `fcn import` reads, or imagenet for the published VGG-16 in
    /// the usual places [default: random ones]
    #[arg(long, value_name = "WEIGHTS")]
    init: Option<PathBuf>,
    /// Go on with the run in the folder
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    overrides: Overrides,
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
    let init = match args.init {
        Some(path) if asks_for_imagenet(&path) => Some(published_weights(&config)?),
        given => given,
    };
    let options = TrainOptions {
        config,
        paths: RunPaths { data: args.data, open: args.data_flags.options(args.classes, None)?, run: args.run, init },
        resume: args.resume,
        device: device::parse(&global.device)?,
        device_name: global.device.clone(),
        command: std::env::args().collect(),
    };
    let result = train_with_report(&options, global)?;
    match global.json {
        true => report::print_json(&result),
        false => {
            if let Some(table) = scores::best(&result.run)? {
                report::print_line(&table);
            }
            let best = result.best.map_or("n/a".to_string(), |b| format!("mIoU {:.4} at step {}", b.miou, b.step));
            report::print_line(&format!("done: {} steps, best {best}", result.steps));
            if result.best.is_some() {
                report::print_line(&format!("weights: {}", result.run.join("best").display()));
            }
            report::print_line(&format!("report: {}", result.run.join("report.html").display()));
            Ok(())
        }
    }
}

/// The weights that `--init imagenet` stands for.
fn published_weights(config: &TrainConfig) -> Result<PathBuf> {
    match config.model {
        Model::Fcn if config.width == 1.0 => imagenet(config.backbone),
        Model::Fcn => {
            Err(Error::usage(format!("published weights have width 1, the network to train {}", config.width))
                .hint("leave out --width or --init"))
        }
        Model::Unet | Model::UnetBn => {
            Err(Error::usage("there are no published weights of a U-Net").hint("leave out --model or --init"))
        }
    }
}

/// Trains, saying what happens on stderr; SIGINT and SIGTERM save and end, one more a second later ends at once.
pub fn train_with_report(options: &TrainOptions, global: &Global) -> Result<TrainReport> {
    let (screen, standing) = (Screen::new(global), Standing::default());
    let stop = signals::catch(&screen, &standing)?;
    let (mut first, mut epoch, mut folder) = (true, 0.0, None);
    let run = if options.config.stages.is_empty() { train } else { train_stages };
    run(options, &stop, &mut |event| match event {
        Event::Phase(what) => screen.phase(&what),
        Event::Validating(done, total) => screen.validating(done, total),
        Event::Remark(text) => screen.say(&global.wording.put(&text)),
        Event::Start { config, step, .. } if step >= config.steps => {
            standing.at(step);
            standing.saved(step);
            screen.tell(&format!("the run is already complete: {step} of {} steps are done", config.steps));
        }
        Event::Start { config, run, layout, left_out, parameters, images, room, step } => {
            standing.at(step);
            standing.saved(step);
            folder = Some(run.to_path_buf());
            screen.tell(&layout.line());
            left_out.into_iter().for_each(|sentence| screen.tell(sentence));
            screen.tell(&start_lines(config, parameters, images, room, step));
        }
        Event::Live(live) => {
            standing.at(live.step);
            epoch = live.epoch;
            screen.step(live, std::mem::take(&mut first));
        }
        Event::Step(log) => screen.logged(log, epoch),
        Event::Validation(validation) => {
            screen.tell(&validation.line());
            let table = folder.as_deref().and_then(|run| scores::newest(run).ok().flatten());
            table.into_iter().for_each(|table| screen.tell(&table));
            validation.crf_line().into_iter().for_each(|line| screen.tell(&line));
        }
        Event::Saved(path) => {
            standing.saved(standing.step());
            screen.tell(&format!("saved {}", path.display()));
        }
    })
}
