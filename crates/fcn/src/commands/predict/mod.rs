//! `fcn predict`: photographs in, index PNGs or label files, overlays and probabilities out.
//!
//! One bad photograph does not stop the others. Each output is written beside its place and renamed, so that whatever
//! is in the folder is whole.

mod inputs;
mod labels;

use std::ffi::OsString;
use std::path::PathBuf;

use fcn_core::infer::{CrfParams, changed_pixels, refine};
use fcn_core::infer::{Extra, Prediction, Predictor};
use fcn_core::{Error, ErrorKind, Result};
use segdata::convert::label_files::{LabelFiles, Picture};
use segdata::files::npy;
use segdata::files::write::write_bytes_atomically;
use segdata::image::{
    DEFAULT_MAX_PIXELS, ReadOptions, RgbImage, count_images, decode_rgb_with, encode_mask_png, read_header,
};
use segdata::labels::{Classes, LabelMap};
use segdata::pictures;
use serde::Serialize;

use crate::flags::crf::CrfFlags;
use crate::flags::global::Global;
use crate::flags::inference::Inference;
use crate::flags::reading::ReadingFlags;
use crate::report::{self, Progress, percent};
use inputs::{Input, LeftOut};
use labels::LabelFlags;

/// Quality of the overlays, which are for looking at.
const OVERLAY_JPEG_QUALITY: u8 = 90;

/// Label every pixel of photographs of any size.
///
/// Photographs are JPEG, PNG, BMP, TIFF, WebP, GIF or PNM files, known by their content; of several frames or pages the
/// first is read. Of a folder, files of other endings are left out and counted, and ._NAME beside a file is passed over.
/// Writes DIR/<name>.png (class ids with the palette, at the size of the stored photograph; an EXIF rotation is
/// applied with --upright only) and DIR/<name>_overlay.jpg with a legend. Photographs that cannot be read are named at the end and the
/// exit code is 8. With --crf, mask and probabilities are those after the CRF, and the overlay shows both results.
///
/// With another --format, label files take the place of the masks: an object is a connected region of one class. What no
/// object covers is the class called background. DIR/classes.txt lies beside them, so that the data set can be read again.
///
/// Examples:
///   fcn predict photo.jpg holiday/ 'more/*.png' --weights runs/voc --out masks
///   fcn predict photo.jpg --weights runs/voc --out masks --crf --iterations 10
///   fcn predict photos/ --weights runs/voc --out photos --format labelme --no-overlay
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
    /// Run the CRF over the network's probabilities
    #[arg(long)]
    crf: bool,
    /// Also write DIR/<name>.npy: probabilities, float32, [classes, height, width]
    #[arg(long)]
    save_probabilities: bool,
    /// Enter the folders in the folders named; results lie in folders of the same names
    #[arg(long)]
    recursive: bool,
    /// Turn photographs upright as EXIF asks before they are labelled; masks are upright then, too
    #[arg(long)]
    upright: bool,
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
    reading: ReadingFlags,
    #[command(flatten)]
    labels: LabelFlags,
    #[command(flatten)]
    crf_flags: CrfFlags,
    #[command(flatten)]
    inference: Inference,
}

/// What came of one photograph.
#[derive(Serialize)]
struct Written {
    input: String,
    width: usize,
    height: usize,
    /// The mask, of format png.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "segdata::files::path_text::optional_path_as_text"
    )]
    mask: Option<PathBuf>,
    /// The label file, of other formats.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "segdata::files::path_text::optional_path_as_text"
    )]
    labels: Option<PathBuf>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "segdata::files::path_text::optional_path_as_text"
    )]
    overlay: Option<PathBuf>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "segdata::files::path_text::optional_path_as_text"
    )]
    probabilities: Option<PathBuf>,
    /// Share of the pixels that the CRF changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<f64>,
}

/// A photograph that was left out.
#[derive(Serialize)]
struct Failed {
    input: String,
    reason: String,
    /// The remedy, if there is one.
    hint: Option<String>,
}

pub fn run(args: Args, global: &Global) -> Result<()> {
    let crf = args.crf_flags.params_if(args.crf)?;
    let reading = ReadOptions { max_pixels: args.max_pixels, ..args.reading.options() };
    let (inputs, left_out) = inputs::collect(&args.images, args.recursive)?;
    left_out.line().iter().for_each(|line| report::note(line));
    inputs::refuse_collisions(&inputs, &args.out, args.labels.ends())?;
    args.labels.refuse_what_cannot_be(&inputs, &args.out)?;
    if let Some((flag, _)) =
        [("--recursive", args.recursive), ("--upright", args.upright)].iter().find(|(_, given)| *given)
        && !args.labels.writes_masks()
    {
        return Err(Error::usage(format!(
            "{flag} goes with masks: label files name the photographs as they are stored"
        ))
        .hint(format!("leave out {flag} or --format")));
    }
    let predictor = args.inference.predictor(&args.weights, global)?;
    std::fs::create_dir_all(&args.out).map_err(|e| Error::io("make the folder", &args.out, &e))?;
    let classes = &predictor.meta().classes;
    let mut files = args.labels.begin(&args.out, classes)?;
    let progress = Progress::new("photographs", inputs.len(), global);
    let (mut written, mut failed): (Vec<Written>, Vec<Failed>) = Default::default();
    let mut several = Vec::new();
    for (done, input) in inputs.iter().enumerate() {
        match label(&args, &reading, &predictor, crf.as_ref(), input) {
            // A folder that takes no file would take none of the next photograph either: that ends the command.
            Ok(labelled) => {
                several.extend((labelled.images > 1).then(|| (input.name(), labelled.images)));
                written.push(write(&args, input, &labelled, classes, files.as_mut())?);
            }
            Err(e) if args.strict || matches!(e.kind, ErrorKind::Weights | ErrorKind::Internal | ErrorKind::Usage) => {
                return Err(e);
            }
            Err(e) => {
                let hint = e.hint.as_deref().map(|hint| global.wording.put(hint));
                let remedy = hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
                report::note(&format!("skipped: {e}{remedy}"));
                failed.push(Failed { input: input.name(), reason: e.to_string(), hint });
            }
        }
        progress.at(done + 1, inputs.len());
    }
    drop(progress);
    if let Some((first, images)) = several.first() {
        let more =
            if several.len() > 1 { format!(" (the first of {} such files)", several.len()) } else { String::new() };
        report::note(&format!("note: {first} holds {images} frames or pages, of which the first was read{more}"));
    }
    files.filter(|_| !written.is_empty()).map_or(Ok(()), LabelFiles::finish)?;
    print(&args, &written, &failed, &left_out, crf.as_ref(), global)?;
    match failed.len() {
        0 => Ok(()),
        n => Err(Error::new(ErrorKind::Skipped, format!("{n} of {} photographs were left out", inputs.len()))
            .hint("they are named above; --strict stops at the first")),
    }
}

/// A photograph, what the network says of it, and what the CRF makes of that.
struct Labelled {
    photo: RgbImage,
    /// Frames or pages of its file.
    images: usize,
    prediction: Prediction,
    refined: Option<LabelMap>,
}

fn label(
    args: &Args,
    reading: &ReadOptions,
    predictor: &Predictor,
    crf: Option<&CrfParams>,
    input: &Input,
) -> Result<Labelled> {
    let named = |e: Error| if e.path.is_none() { e.at(input.name()) } else { e };
    let bytes = input.read()?;
    let (mut photo, images) = (decode_rgb_with(&bytes, reading).map_err(named)?, count_images(&bytes));
    if args.upright {
        photo = photo.upright(read_header(&bytes).map_err(named)?.orientation);
    }
    let probabilities = args.save_probabilities || crf.is_some();
    let mut prediction = predictor.predict_with(&photo, Extra { probabilities, truth: None }).map_err(named)?;
    let Some(params) = crf else { return Ok(Labelled { photo, images, prediction, refined: None }) };
    let raw = prediction.probabilities.take().unwrap_or_default();
    let refined = refine(params, &photo, predictor.meta().classes.len(), &raw).map_err(named)?;
    prediction.probabilities = args.save_probabilities.then_some(refined.probabilities);
    Ok(Labelled { photo, images, prediction, refined: Some(refined.labels) })
}

fn write(
    args: &Args,
    input: &Input,
    labelled: &Labelled,
    classes: &Classes,
    files: Option<&mut LabelFiles>,
) -> Result<Written> {
    let Labelled { photo, prediction, refined, .. } = labelled;
    let file = |end: &str| args.out.join(input.output_name(end));
    if let Input::Below { folder, .. } = input {
        let folder = args.out.join(folder);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("make the folder", &folder, &e))?;
    }
    let map = refined.as_ref().unwrap_or(&prediction.labels);
    let (mut mask, mut labels) = (None, None);
    match files {
        Some(files) => {
            labels = Some(files.add(&Picture { photograph: input.path(), stem: &input.output_name("") }, map)?);
        }
        None => {
            write_bytes_atomically(&file(".png"), &encode_mask_png(map, classes)?)?;
            mask = Some(file(".png"));
        }
    }
    let overlay = match args.no_overlay {
        true => None,
        false => Some(write_overlay(file("_overlay.jpg"), labelled, classes)?),
    };
    let probabilities = match &prediction.probabilities {
        Some(values) => {
            let path = file(".npy");
            npy::write(&path, &[classes.len(), photo.height, photo.width], values)?;
            Some(path)
        }
        None => None,
    };
    let changed = refined
        .as_ref()
        .map(|refined| changed_pixels(&prediction.labels, refined) as f64 / prediction.labels.ids.len().max(1) as f64);
    let (width, height) = (photo.width, photo.height);
    Ok(Written { input: input.name(), width, height, mask, labels, overlay, probabilities, changed })
}

fn write_overlay(path: PathBuf, labelled: &Labelled, classes: &Classes) -> Result<PathBuf> {
    let Labelled { photo, prediction: Prediction { labels, .. }, refined, .. } = labelled;
    let picture = match refined {
        Some(refined) => pictures::overlay_pair(photo, labels, refined, classes)?,
        None => pictures::with_legend(&pictures::overlay(photo, labels, classes)?, &[labels], classes),
    };
    write_bytes_atomically(&path, &pictures::for_jpeg(picture).to_jpeg(OVERLAY_JPEG_QUALITY)?)?;
    Ok(path)
}

/// Share of the pixels of all photographs that the CRF changed.
fn changed_in_all(written: &[Written]) -> Option<f64> {
    let pixels = |one: &Written| (one.width * one.height) as f64;
    let changed: f64 = written.iter().filter_map(|one| Some(one.changed? * pixels(one))).sum();
    let all: f64 = written.iter().map(pixels).sum();
    (all > 0.0).then(|| changed / all)
}

fn print(
    args: &Args,
    written: &[Written],
    failed: &[Failed],
    left_out: &LeftOut,
    crf: Option<&CrfParams>,
    global: &Global,
) -> Result<()> {
    let changed = crf.and_then(|_| changed_in_all(written));
    if global.json {
        #[derive(Serialize)]
        struct Summary<'a> {
            images: usize,
            written: &'a [Written],
            skipped: &'a [Failed],
            /// Files of folders that were no photographs by their endings, with their number.
            other_files: &'a LeftOut,
            #[serde(skip_serializing_if = "Option::is_none")]
            changed: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            crf: Option<&'a CrfParams>,
        }
        return report::print_json(&Summary {
            images: written.len(),
            written,
            skipped: failed,
            other_files: left_out,
            changed,
            crf,
        });
    }
    for one in written {
        let shown = [&one.overlay, &one.mask, &one.labels].into_iter().find_map(|path| path.as_deref());
        let path = shown.unwrap_or(&args.out).display();
        match one.changed {
            Some(share) => report::print_line(&format!("{path}  the CRF changed {} of the pixels", percent(share))),
            None => report::print_line(&path.to_string()),
        }
    }
    if let Some(share) = changed {
        report::print_line(&format!(
            "in all, the CRF changed {} of the pixels of {} photographs",
            percent(share),
            written.len()
        ));
    }
    for one in failed {
        report::print_line(&format!("left out: {}", one.reason));
    }
    Ok(())
}
