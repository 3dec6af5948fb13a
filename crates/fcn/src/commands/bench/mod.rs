//! `fcn bench`: how fast and how large.
//!
//! This page has the flags, their defaults for each measurement and the tables; `measure` runs and times. Times are
//! medians of repeated runs, so that one disturbance of the machine does not show.

mod measure;

use std::path::PathBuf;

use self::measure::{BenchOptions, BenchRow, CrfBenchOptions, CrfBenchRow, LayerRow};
use fcn_core::infer::{CrfParams, CrfPreset};
use fcn_core::network::{Backbone, Variant, WeightForm};
use fcn_core::train::{Model, TrainConfig};
use fcn_core::{Error, Result, device};

use crate::flags::choice::one_of;
use crate::flags::data::DataFlags;
use crate::flags::global::Global;
use crate::flags::inference::Inference;
use crate::flags::mask_values::MaskValuesFlag;
use crate::flags::size::parse_size;
use crate::report;

/// Measure inference, training steps, the CRF, the data loader or the converter.
///
/// Prints median and minimum time, images a second and peak memory; for the CRF also the time of set-up and of an
/// iteration. For a comparison, run both sides in turn.
///
/// Examples:
///   fcn bench infer --size 512x512 --batch 1
///   fcn bench crf --size 375x500 --labels 21 --iterations 10 --mode both --threads 2
///   fcn bench infer --layers
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// What to measure
    #[arg(value_enum, default_value = "infer")]
    what: What,
    /// Height x width of the input in pixels [default: 512x512 for infer, 375x500 for crf, else 224x224]
    #[arg(long, value_name = "HxW")]
    size: Option<String>,
    /// Images a run [default: 1 for infer, 4 for train, 16 for load]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Multiplier on the channel counts
    #[arg(long, default_value_t = 1.0)]
    width: f32,
    /// Family of the network; variant and backbone belong to fcn alone
    #[arg(long, default_value = "fcn", value_parser = one_of::<Model>())]
    model: Model,
    /// How fine the scores are
    #[arg(long, default_value = "8s", value_parser = one_of::<Variant>())]
    variant: Variant,
    /// Trunk of the network
    #[arg(long, default_value = "vgg16", value_parser = one_of::<Backbone>())]
    backbone: Backbone,
    /// Labels, for crf
    #[arg(long, value_name = "N", default_value_t = 21)]
    labels: usize,
    /// Mean-field iterations, for crf
    #[arg(long, value_name = "N", default_value_t = 10)]
    iterations: usize,
    /// Parameters of the kernels, for crf
    #[arg(long, default_value = "paper", value_parser = one_of::<CrfPreset>())]
    preset: CrfPreset,
    /// Arithmetic, for crf
    #[arg(long, value_enum, default_value = "exact")]
    mode: Mode,
    /// The same as --mode fast
    #[arg(long)]
    fast: bool,
    #[command(flatten)]
    inference: Inference,
    /// Also print what each layer of infer takes, and how many operations a second that is
    #[arg(long)]
    layers: bool,
    /// Timed runs
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Data set, for load and convert
    #[arg(long)]
    data: Option<PathBuf>,
    /// Class list, where the data brings none
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    #[command(flatten)]
    data_flags: DataFlags,
    #[command(flatten)]
    mask_values: MaskValuesFlag,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Infer,
    Train,
    Crf,
    Load,
    Convert,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Exact,
    Fast,
    Both,
}

impl Args {
    /// Whether training steps are measured.
    pub fn trains(&self) -> bool {
        self.what == What::Train
    }
}

pub fn run(args: Args, global: &Global) -> Result<()> {
    let (size, batch) = match args.what {
        What::Infer => ([512, 512], 1),
        What::Train => ([224, 224], 4),
        What::Crf => ([375, 500], 1),
        What::Load | What::Convert => ([224, 224], 16),
    };
    let config = TrainConfig {
        model: args.model,
        width: args.width,
        variant: args.variant,
        backbone: args.backbone,
        conv: args.inference.conv,
        ..TrainConfig::default()
    };
    config.validate()?;
    let device = device::parse(&global.device)?;
    let weights = args.inference.weights(device::is_cpu(&device))?;
    if weights != WeightForm::Transformed && args.what != What::Infer {
        return Err(Error::usage(
            "--dtype and --no-weight-cache belong to infer: training transforms f32 weights anew",
        ));
    }
    let options = BenchOptions {
        size: args.size.as_deref().map_or(Ok(size), parse_size)?,
        batch: args.batch.unwrap_or(batch).max(1),
        config,
        weights,
        runs: args.runs.max(1),
        device,
    };
    let open = args.data_flags.options(args.classes.clone(), args.mask_values.given())?;
    let data = || {
        args.data.as_deref().ok_or_else(|| {
            Error::usage("this measurement reads a data set").hint("add --data DIR; `fcn quickstart` draws one")
        })
    };
    if args.layers && args.what != What::Infer {
        return Err(Error::usage("--layers belongs to infer").hint("fcn bench infer --layers"));
    }
    let row = match args.what {
        What::Infer if args.layers => measure::infer_layers(&options)?,
        What::Infer => measure::infer(&options)?,
        What::Crf => return run_crf(&args, options.size, global),
        What::Train => measure::train(&options)?,
        What::Load => measure::load(&options, data()?, &open)?,
        What::Convert => measure::convert_dataset(&options, data()?, &open)?,
    };
    if global.json {
        return report::print_json(&[row]);
    }
    if !row.layers.is_empty() {
        report::print_line(&layer_table(&row.layers));
        report::print_line("");
    }
    report::print_line(&table(&[row]));
    Ok(())
}

fn run_crf(args: &Args, size: [usize; 2], global: &Global) -> Result<()> {
    let modes: &[bool] = match args.mode {
        _ if args.fast => &[true],
        Mode::Exact => &[false],
        Mode::Fast => &[true],
        Mode::Both => &[false, true],
    };
    let rows = modes
        .iter()
        .map(|&fast| {
            let params = CrfParams { iterations: args.iterations, fast, ..args.preset.into() };
            measure::crf(&CrfBenchOptions { size, labels: args.labels, params, runs: args.runs })
        })
        .collect::<Result<Vec<CrfBenchRow>>>()?;
    if global.json {
        return report::print_json(&rows);
    }
    let cells: Vec<Vec<String>> = (rows.iter())
        .map(|CrfBenchRow { row, labels, iterations, mode, setup_s, iteration_s }| {
            vec![
                mode.to_string(),
                row.size.clone(),
                labels.to_string(),
                iterations.to_string(),
                row.threads.to_string(),
                report::duration(*setup_s),
                report::duration(*iteration_s),
                report::duration(row.median_s),
                report::duration(row.min_s),
                format!("{:.2}", row.images_per_s),
                report::bytes(row.peak_rss_bytes),
            ]
        })
        .collect();
    let header = [
        "crf",
        "size",
        "labels",
        "iterations",
        "threads",
        "set-up",
        "iteration",
        "median",
        "min",
        "images/s",
        "peak memory",
    ];
    report::print_line(&report::table(&header, &cells));
    Ok(())
}

fn layer_table(rows: &[LayerRow]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let rate = if row.gflop_per_s > 0.0 { format!("{:.0}", row.gflop_per_s) } else { String::new() };
            let milliseconds = format!("{:.2}", row.median_s * 1e3);
            vec![row.layer.clone(), milliseconds, rate, format!("{:.1} %", row.share * 100.0)]
        })
        .collect();
    report::table(&["layer", "median ms", "GFLOP/s", "share"], &cells)
}

fn table(rows: &[BenchRow]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.name.clone(),
                row.size.clone(),
                row.batch.to_string(),
                row.width.to_string(),
                row.threads.to_string(),
                report::duration(row.median_s),
                report::duration(row.min_s),
                format!("{:.2}", row.images_per_s),
                report::bytes(row.peak_rss_bytes),
            ]
        })
        .collect();
    report::table(&["name", "size", "batch", "width", "threads", "median", "min", "images/s", "peak memory"], &cells)
}
