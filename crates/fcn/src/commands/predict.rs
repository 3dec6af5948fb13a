//! `fcn predict`: photographs in, index PNGs, overlays and probabilities out.
//!
//! One bad photograph does not stop the others. Each output is written beside its place and renamed, so that whatever
//! is in the folder is whole.

mod inputs;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fcn_core::image::{DEFAULT_MAX_PIXELS, RgbImage, decode_rgb_within, encode_mask_png};
use fcn_core::labels::{Classes, LabelMap};
use fcn_core::predict::{Prediction, Predictor};
use fcn_core::tensor_file::write_atomically;
use fcn_core::{Error, ErrorKind, Result, npy, pictures};
use serde::Serialize;

use super::{Global, Inference};
use crate::report::{self, Progress};
use inputs::Input;

/// Quality of the overlays, which are for looking at.
const OVERLAY_JPEG_QUALITY: u8 = 90;

/// Label every pixel of photographs of any size.
///
/// Writes DIR/<name>.png (class ids with the palette, at the size of the stored photograph; an EXIF rotation is not
/// applied) and DIR/<name>_overlay.jpg with a legend. Photographs that cannot be read are named at the end and the
/// exit code is 8.
///
/// Examples:
///   fcn predict photo.jpg holiday/ 'more/*.png' --weights runs/voc --out masks
///   curl -s https://example.org/cat.jpg | fcn predict - --weights best.safetensors --out masks
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Photographs, folders of photographs, patterns with * and ?, or - for stdin
    #[arg(required = true)]
    images: Vec<OsString>,
    /// Weights file, checkpoint, or run folder (its best checkpoint)
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Folder for the results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also write DIR/<name>.npy: probabilities, float32, [classes, height, width]
    #[arg(long)]
    save_probabilities: bool,
    /// Write no overlays
    #[arg(long)]
    no_overlay: bool,
    /// Stop at the first photograph that cannot be read
    #[arg(long)]
    strict: bool,
    /// Pixels that a photograph may have
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_PIXELS)]
    max_pixels: u64,
    #[command(flatten)]
    inference: Inference,
}

/// What came of one photograph.
#[derive(Serialize)]
struct Written {
    input: String,
    width: usize,
    height: usize,
    mask: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlay: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<PathBuf>,
}

/// A photograph that was left out.
#[derive(Serialize)]
struct Failed {
    input: String,
    reason: String,
}

pub fn run(args: Args, global: &Global) -> Result<()> {
    let inputs = inputs::collect(&args.images)?;
    inputs::refuse_collisions(&inputs, &args.out)?;
    let predictor = args.inference.predictor(&args.weights, global)?;
    std::fs::create_dir_all(&args.out).map_err(|e| Error::io("make the folder", &args.out, &e))?;
    let progress = Progress::new("photographs", inputs.len(), global);
    let (mut written, mut failed): (Vec<Written>, Vec<Failed>) = Default::default();
    for (done, input) in inputs.iter().enumerate() {
        match label(&args, &predictor, input) {
            // A folder that takes no file would take none of the next photograph either: that ends the command.
            Ok(labelled) => written.push(write(&args, input, &labelled, &predictor.meta().classes)?),
            Err(e) if args.strict || matches!(e.kind, ErrorKind::Weights | ErrorKind::Internal) => return Err(e),
            Err(e) => {
                report::note(&format!("skipped: {e}"));
                failed.push(Failed { input: input.name(), reason: e.to_string() });
            }
        }
        progress.at(done + 1, inputs.len());
    }
    drop(progress);
    print(&written, &failed, global)?;
    match failed.len() {
        0 => Ok(()),
        n => Err(Error::new(ErrorKind::Skipped, format!("{n} of {} photographs were left out", inputs.len()))
            .hint("they are named above; --strict stops at the first")),
    }
}

/// A photograph and what the network says of it.
struct Labelled {
    photo: RgbImage,
    prediction: Prediction,
}

fn label(args: &Args, predictor: &Predictor, input: &Input) -> Result<Labelled> {
    let named = |e: Error| if e.path.is_none() { e.at(input.name()) } else { e };
    let photo = decode_rgb_within(&input.read()?, args.max_pixels).map_err(named)?;
    let prediction = match args.save_probabilities {
        true => predictor.predict_with_probabilities(&photo).map_err(named)?,
        false => Prediction { labels: predictor.predict(&photo).map_err(named)?, probabilities: None },
    };
    Ok(Labelled { photo, prediction })
}

fn write(args: &Args, input: &Input, labelled: &Labelled, classes: &Classes) -> Result<Written> {
    let Labelled { photo, prediction } = labelled;
    let file = |end: &str| args.out.join(input.output_name(end));
    let mask = file(".png");
    write_file(&mask, &encode_mask_png(&prediction.labels, classes)?)?;
    let overlay = match args.no_overlay {
        true => None,
        false => Some(write_overlay(file("_overlay.jpg"), photo, &prediction.labels, classes)?),
    };
    let probabilities = match &prediction.probabilities {
        Some(values) => {
            let path = file(".npy");
            npy::write(&path, &[classes.len(), photo.height, photo.width], values)?;
            Some(path)
        }
        None => None,
    };
    Ok(Written { input: input.name(), width: photo.width, height: photo.height, mask, overlay, probabilities })
}

fn write_overlay(path: PathBuf, photo: &RgbImage, labels: &LabelMap, classes: &Classes) -> Result<PathBuf> {
    /// A JPEG cannot be wider or higher.
    const MAX_SIDE: usize = 65_000;
    let overlay = pictures::overlay(photo, labels, classes)?;
    let overlay = if photo.width.max(photo.height) > MAX_SIDE { pictures::fitted(&overlay, MAX_SIDE) } else { overlay };
    let picture = pictures::with_legend(&overlay, &[labels], classes);
    write_file(&path, &picture.to_jpeg(OVERLAY_JPEG_QUALITY)?)?;
    Ok(path)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |file| file.write_all(bytes).map_err(|e| Error::io("write", path, &e)))
}

fn print(written: &[Written], failed: &[Failed], global: &Global) -> Result<()> {
    if global.json {
        #[derive(Serialize)]
        struct Summary<'a> {
            images: usize,
            written: &'a [Written],
            skipped: &'a [Failed],
        }
        return report::print_json(&Summary { images: written.len(), written, skipped: failed });
    }
    for one in written {
        report::print_line(&format!("{}", one.overlay.as_ref().unwrap_or(&one.mask).display()));
    }
    for one in failed {
        report::print_line(&format!("left out: {}", one.reason));
    }
    Ok(())
}
