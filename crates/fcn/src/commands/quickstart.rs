//! `fcn quickstart`: the whole way on data that the program draws itself, in minutes on two cores.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fcn_core::evaluate::{Evaluation, evaluate, save_prediction};
use fcn_core::infer::Predictor;
use fcn_core::train::TrainOptions;
use fcn_core::train::{RunPaths, TrainConfig};
use fcn_core::weights::weights_file;
use fcn_core::{Error, Result, device, weights};
use segdata::check::{CheckOptions, check};
use segdata::convert::{ConvertOptions, ExifPolicy, OnError, Target, VoidPolicy, convert};
use segdata::dataset::{Dataset, Split};
use segdata::files::write::write_bytes_atomically;
use segdata::metrics::Tally;
use segdata::pictures::{SheetRow, contact_sheet, overlay, with_legend};
use segdata::synthetic::{DrawOptions, draw_dataset};
use serde::Serialize;

use super::eval;
use super::train::train_with_report;
use crate::flags::global::Global;
use crate::report::{self, Progress};

/// What is trained; its file says what it gave.
const CONFIG: &str = include_str!("quickstart.toml");

/// The folder that is used when none is named.
const DEFAULT_OUT: &str = "runs/quickstart";

/// Held-out photographs that are predicted for the eye.
const PICTURES: usize = 4;

/// Quality of the overlays, which are for looking at.
const OVERLAY_JPEG_QUALITY: u8 = 90;

/// Draw a small VOC-style data set, check it, convert it, train on it, evaluate and predict: minutes on two cores.
///
/// Everything lands in one folder: data/ (VOC layout), records/, run/ (checkpoints, report.html) and predictions/. Each
/// step is what the subcommand of the same name does. Stop with Ctrl-C and go on with --resume.
///
/// Example: fcn quickstart --out runs/first
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Folder for everything, new or empty [default: runs/quickstart, with a number behind it where that exists]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seed of the data and of the training
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Go on with a quickstart that was stopped: the one in --out, or the last one
    #[arg(long)]
    resume: bool,
}

/// What came of it.
#[derive(Serialize)]
struct Summary {
    seconds: f64,
    eval: Evaluation,
    run: PathBuf,
    report: PathBuf,
    pictures: Vec<PathBuf>,
}

pub fn run(args: Args, global: &Global) -> Result<()> {
    let started = Instant::now();
    let out = if args.resume { old_folder(args.out)? } else { new_folder(args.out)? };
    let (data, records, run) = (out.join("data"), out.join("records"), out.join("run"));

    // What was drawn before is drawn again, the same.
    let begun = run.join("config.toml");
    let begun = if begun.exists() { Some(TrainConfig::read(&begun)?) } else { None };
    if let Some(other) = begun.as_ref().filter(|config| config.seed != args.seed) {
        let message = format!("the quickstart in this folder has the seed {}, not {}", other.seed, args.seed);
        return Err(Error::usage(message).at(&out).hint("repeat the command as it was, with --resume"));
    }
    let drawing = DrawOptions { seed: args.seed, ..DrawOptions::default() };
    say(global, &format!("draw: {} photographs to train on and {} held out", drawing.train, drawing.val));
    draw_dataset(&data, &drawing)?;
    check_drawn(&data, global)?;
    convert_drawn(&data, &records, args.resume, global)?;

    let options = TrainOptions {
        config: TrainConfig { seed: args.seed, ..TrainConfig::parse(CONFIG)? },
        paths: RunPaths { data: records.clone(), open: Default::default(), run: run.clone(), init: None },
        resume: begun.is_some(),
        device: device::parse(&global.device)?,
        device_name: global.device.clone(),
        command: std::env::args().collect(),
    };
    say(global, "train");
    train_with_report(&options, global)?;

    let fcn = weights::load_mapped(&weights_file(&run)?, &options.device)?;
    let predictor = Predictor::new(fcn);
    let eval = evaluate_held_out(&predictor, &records, global)?;
    // Predicted from the folder of photographs, as a user's own would be.
    let held_out = Dataset::open(&data, None)?.split("val")?;
    let pictures = predict_some(&predictor, &held_out, &out.join("predictions"))?;

    let summary =
        Summary { seconds: started.elapsed().as_secs_f64(), eval, report: run.join("report.html"), run, pictures };
    print(&summary, global)
}

/// The folder of a quickstart that was stopped: the one named, or the last of the defaults.
///
/// # Errors
/// There is none.
fn old_folder(named: Option<PathBuf>) -> Result<PathBuf> {
    let missing =
        |path: &Path| Err(Error::usage("there is no quickstart to go on with").at(path).hint("leave out --resume"));
    match named {
        Some(path) if path.join("data").is_dir() => Ok(path),
        Some(path) => missing(&path),
        None => match defaults().take_while(|path| path.is_dir()).last() {
            Some(path) => Ok(path),
            None => missing(Path::new(DEFAULT_OUT)),
        },
    }
}

/// The folders that are used when none is named, in their order.
fn defaults() -> impl Iterator<Item = PathBuf> {
    std::iter::once(PathBuf::from(DEFAULT_OUT)).chain((2..).map(|n| PathBuf::from(format!("{DEFAULT_OUT}-{n}"))))
}

/// The folder named, or the default; where that holds something, the next number.
///
/// # Errors
/// A named folder that is not empty.
fn new_folder(named: Option<PathBuf>) -> Result<PathBuf> {
    let is_free = |path: &Path| match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == std::io::ErrorKind::NotFound,
    };
    match named {
        Some(path) if is_free(&path) => Ok(path),
        Some(path) => Err(Error::usage("the folder is not empty")
            .at(path)
            .hint("name a new folder with --out, or go on with --resume")),
        None => {
            defaults().find(|path| is_free(path)).ok_or_else(|| Error::internal("no number is left for a new folder"))
        }
    }
}

fn say(global: &Global, text: &str) {
    if !global.quiet {
        report::note(text);
    }
}

fn check_drawn(data: &Path, global: &Global) -> Result<()> {
    let options =
        CheckOptions { data: data.to_path_buf(), open: Default::default(), split: None, min_size: 0, pictures: None };
    let progress = Progress::new("check", 0, global);
    let found = check(&options, &|done, total| progress.at(done, total))?;
    drop(progress);
    if !found.ok {
        let first = found.problems.first().map_or(String::new(), |problem| problem.message.clone());
        return Err(Error::internal(format!("the data set just drawn does not pass the check: {first}")).at(data));
    }
    let counts: Vec<String> = found.splits.iter().map(|s| format!("{} {}", s.usable, s.name)).collect();
    say(global, &format!("check: {} images, {} problems", counts.join(" and "), found.problems.len()));
    Ok(())
}

fn convert_drawn(data: &Path, records: &Path, overwrite: bool, global: &Global) -> Result<()> {
    let options = ConvertOptions {
        data: data.to_path_buf(),
        open: Default::default(),
        out: records.to_path_buf(),
        to: Target::Records,
        splits: vec!["train".to_string(), "val".to_string()],
        shards: 1,
        min_size: 0, // the photographs are smaller than VOC's
        void: VoidPolicy::Keep,
        on_error: OnError::Stop,
        exif: ExifPolicy::Stored,
        overwrite,
    };
    let progress = Progress::new("convert", 0, global);
    let converted = convert(&options, &|done, total| progress.at(done, total))?;
    drop(progress);
    let written: usize = converted.splits.iter().map(|split| split.written).sum();
    say(global, &format!("convert: {written} records in {}", records.display()));
    Ok(())
}

fn evaluate_held_out(predictor: &Predictor, records: &Path, global: &Global) -> Result<Evaluation> {
    let split = Dataset::open(records, None)?.split("val")?;
    let progress = Progress::new("evaluate", split.len(), global);
    let evaluation = evaluate(predictor, &split, &mut |scored| {
        progress.at(scored.index + 1, split.len());
        Ok(ControlFlow::Continue(()))
    })?;
    evaluation.ok_or_else(|| Error::internal("an evaluation that nobody stopped has no result"))
}

/// Predicts the first [`PICTURES`] photographs: index PNG and overlay for each, and a sheet of all beside the truth.
fn predict_some(predictor: &Predictor, split: &Split, folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder, &e))?;
    let classes = &predictor.meta().classes;
    let mut rows = Vec::new();
    let mut written = Vec::new();
    for index in 0..PICTURES.min(split.len()) {
        let sample = split.load(index)?;
        let prediction = predictor.predict(&sample.image)?;
        let miou = Tally::new(classes.len()).add(&sample.labels, &prediction)?;
        written.push(save_prediction(folder, &sample.id, &prediction, classes)?);
        let picture = with_legend(&overlay(&sample.image, &prediction, classes)?, &[&prediction], classes);
        let path = folder.join(format!("{}_overlay.jpg", sample.id));
        write_bytes_atomically(&path, &picture.to_jpeg(OVERLAY_JPEG_QUALITY)?)?;
        written.push(path);
        rows.push(SheetRow {
            name: sample.id,
            photo: sample.image,
            truth: sample.labels,
            prediction,
            miou,
            refined: None,
        });
    }
    let sheet = folder.join("sheet.png");
    write_bytes_atomically(&sheet, &contact_sheet("held-out photographs", &rows, classes)?.to_png()?)?;
    written.insert(0, sheet);
    Ok(written)
}

fn print(summary: &Summary, global: &Global) -> Result<()> {
    if global.json {
        return report::print_json(summary);
    }
    report::print_line(&eval::text(&summary.eval));
    let miou = summary.eval.scores.miou.map_or("n/a".to_string(), |miou| format!("{miou:.4}"));
    let pictures = summary.pictures.first().map_or(String::new(), |path| path.display().to_string());
    report::print_line("");
    report::print_line(&format!(
        "mIoU {miou} on {} held-out photographs, {} in all",
        summary.eval.scores.images,
        report::duration(summary.seconds)
    ));
    report::print_line(&format!("pictures  {pictures}"));
    report::print_line(&format!("report    {}", summary.report.display()));
    Ok(())
}
