//! `fcn eval`: score a network on a data set, or anyone's masks against the truth.
//!
//! The scores of a network are those of its predictions at the size of the photograph. With the CRF each image is scored
//! twice, without and with it, and `crf_table` prints the comparison.

mod crf_table;

use std::ops::ControlFlow;
use std::path::PathBuf;

use fcn_core::evaluate::{CrfComparison, Evaluation, Scored, evaluate, evaluate_with_crf, save_prediction};
use fcn_core::infer::CrfParams;
use fcn_core::{Error, ErrorKind, Result};
use segdata::dataset::{Dataset, Form};
use segdata::labels::{Classes, MaskCoding};
use segdata::metrics::evaluate_predictions;
use serde::Serialize;

use crate::flags::crf::CrfFlags;
use crate::flags::data::DataFlags;
use crate::flags::global::Global;
use crate::flags::inference::Inference;
use crate::flags::mask_values::MaskValuesFlag;
use crate::report::{self, Progress};

/// Score a network on a data set, or anyone's masks against the truth.
///
/// One confusion matrix over the whole set; 255 in the truth is void and counts nowhere. mIoU is the mean over the
/// classes present in truth or prediction; the others are n/a. With --crf every image is scored without and with it.
///
/// Examples:
///   fcn eval --weights runs/voc --data VOC2012 --split val
///   fcn eval --weights runs/voc --data VOC2012 --crf --iterations 10
///   fcn eval --predictions masks/ --truth VOC2012/SegmentationClass --ids VOC2012/ImageSets/Segmentation/val.txt
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Weights file, checkpoint, or run folder (its best checkpoint)
    #[arg(long, value_name = "FILE", requires = "data", required_unless_present = "predictions")]
    weights: Option<PathBuf>,
    /// Data set: a folder, zip or tar in any usual layout, or records (folder or glob)
    #[arg(long, requires = "weights")]
    data: Option<PathBuf>,
    /// The split to score
    #[arg(long, default_value = "val")]
    split: String,
    /// Score each image after the CRF too, and say what it changed
    #[arg(long, conflicts_with = "predictions")]
    crf: bool,
    /// Write each label map, the CRF's where there is one, to this folder as an index PNG
    #[arg(long, value_name = "DIR", requires = "weights")]
    save_predictions: Option<PathBuf>,
    /// Folder of masks to score: palette, grey or RGB PNG
    #[arg(long, value_name = "DIR", requires = "truth", conflicts_with_all = ["weights", "data"])]
    predictions: Option<PathBuf>,
    /// Folder of true masks, paired with the predictions by name
    #[arg(long, value_name = "DIR", requires = "predictions")]
    truth: Option<PathBuf>,
    /// File with the ids of the masks to score, one a line [default: all in both folders]
    #[arg(long, value_name = "FILE", requires = "predictions")]
    ids: Option<PathBuf>,
    /// Class list (`id name [r g b]` a line), where the data brings none [default for masks: a classes.txt beside the
    /// truth, else the 21 classes of PASCAL VOC]
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    #[command(flatten)]
    data_flags: DataFlags,
    #[command(flatten)]
    mask_values: MaskValuesFlag,
    #[command(flatten)]
    crf_flags: CrfFlags,
    #[command(flatten)]
    inference: Inference,
}

pub fn run(args: Args, global: &Global) -> Result<()> {
    let crf = args.crf_flags.params_if(args.crf)?;
    let mut layout = None;
    let evaluation = match (&args.weights, &args.data, &args.predictions, &args.truth) {
        (Some(weights), Some(data), _, _) => {
            match score_network(&args, weights, data, crf.as_ref(), &mut layout, global)? {
                Outcome::Raw(evaluation) => *evaluation,
                Outcome::Compared(comparison) if global.json => return print_scores(layout, &comparison),
                Outcome::Compared(comparison) => {
                    report::print_line(&crf_table::text(&comparison));
                    return Ok(());
                }
            }
        }
        (_, _, Some(predictions), Some(truth)) => {
            evaluate_predictions(predictions, truth, read_ids(&args)?.as_deref(), &mask_coding(&args)?)?.into()
        }
        _ => {
            return Err(
                Error::usage("nothing to score").hint("give --weights and --data, or --predictions and --truth")
            );
        }
    };
    match global.json {
        true => {
            evaluation.scores.one_class().iter().for_each(|remark| report::note(&format!("note: {remark}")));
            print_scores(layout, &evaluation)?;
        }
        false => report::print_line(&text(&evaluation)),
    }
    match evaluation.skipped.len() {
        0 => Ok(()),
        n => Err(Error::new(
            ErrorKind::Skipped,
            format!("{n} masks were not scored; the scores are those of the others"),
        )
        .hint("they are listed with the result")),
    }
}

/// Prints scores as one document, with how the data set lies on disk, where there is one.
fn print_scores(layout: Option<Form>, scores: &impl Serialize) -> Result<()> {
    #[derive(Serialize)]
    struct Document<'a, S> {
        #[serde(skip_serializing_if = "Option::is_none")]
        layout: Option<Form>,
        #[serde(flatten)]
        scores: &'a S,
    }
    report::print_json(&Document { layout, scores })
}

/// What the scores of a network are.
enum Outcome {
    Raw(Box<Evaluation>),
    Compared(Box<CrfComparison>),
}

fn score_network(
    args: &Args,
    weights: &std::path::Path,
    data: &std::path::Path,
    crf: Option<&CrfParams>,
    layout: &mut Option<Form>,
    global: &Global,
) -> Result<Outcome> {
    let predictor = args.inference.predictor(weights, global)?;
    let open = args.data_flags.options(args.classes.clone(), args.mask_values.given())?;
    let dataset = Dataset::open_with(data, &open)?;
    let split = dataset.split(&args.split)?;
    *layout = Some(dataset.form);
    if !global.quiet {
        report::note(&dataset.form.line());
        dataset.left_out().into_iter().for_each(report::note);
    }
    let classes = predictor.meta().classes.clone();
    warn_of_other_names(&classes, &split.coding().classes);
    if let Some(folder) = &args.save_predictions {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder, &e))?;
    }
    let progress = Progress::new("images", split.len(), global);
    let mut visit = |scored: Scored| {
        if let Some(folder) = &args.save_predictions {
            save_prediction(folder, &scored.sample.id, scored.refined.unwrap_or(scored.prediction), &classes)?;
        }
        progress.at(scored.index + 1, split.len());
        Ok(ControlFlow::Continue(()))
    };
    let outcome = match crf {
        Some(params) => evaluate_with_crf(&predictor, &split, params, &mut visit)?.map(Box::new).map(Outcome::Compared),
        None => evaluate(&predictor, &split, &mut visit)?.map(Box::new).map(Outcome::Raw),
    };
    drop(progress);
    outcome.ok_or_else(|| Error::internal("an evaluation that nobody stopped has no result"))
}

fn warn_of_other_names(network: &Classes, data: &Classes) {
    if let Some((a, b)) = network.names.iter().zip(&data.names).find(|(a, b)| a != b) {
        report::note(&format!("note: the network calls a class '{a}' that the data set calls '{b}'; ids are compared"));
    }
}

fn read_ids(args: &Args) -> Result<Option<Vec<String>>> {
    let Some(path) = &args.ids else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the list of ids", path, &e))?;
    let ids = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|id| !id.is_empty());
    let ids: Vec<String> = ids.map(str::to_string).collect();
    match ids.is_empty() {
        true => {
            Err(Error::data("the list of ids is empty").at(path).hint("expected one id a line, such as 2007_000033"))
        }
        false => Ok(Some(ids)),
    }
}

/// The class list of the masks: the one named, one beside them, or VOC's.
fn mask_coding(args: &Args) -> Result<MaskCoding> {
    let truth = args.truth.as_deref();
    let beside = truth.into_iter().flat_map(|t| [Some(t), t.parent()]).flatten().map(|f| f.join("classes.txt"));
    let coding = match args.classes.clone().or_else(|| beside.into_iter().find(|file| file.is_file())) {
        Some(file) => MaskCoding::read(&file)?,
        None => MaskCoding::from(&Classes::voc()),
    };
    Ok(coding.with_mask_values(args.mask_values.given().unwrap_or_default()))
}

/// Masks that could not be scored and are named in the text.
const SHOWN: usize = 20;

/// The table of the classes and the lines below it.
pub fn text(evaluation: &Evaluation) -> String {
    let scores = &evaluation.scores;
    let share = |value: Option<f64>| value.map_or("n/a".to_string(), |v| format!("{v:.4}"));
    let rows: Vec<Vec<String>> = (scores.per_class.iter())
        .map(|c| vec![c.name.clone(), share(c.iou), share(c.accuracy), share(c.boundary_iou), c.pixels.to_string()])
        .collect();
    let mut lines = vec![report::table(&["class", "IoU", "accuracy", "boundary IoU", "pixels"], &rows), String::new()];
    lines.push(format!("images                   {}", scores.images));
    lines.push(format!("pixel accuracy           {}", share(scores.pixel_accuracy)));
    lines.push(format!("mean accuracy            {}", share(scores.mean_accuracy)));
    let absent = match scores.classes_absent {
        0 => String::new(),
        n => format!(", {n} absent from truth and prediction"),
    };
    lines.push(format!("mIoU                     {}  ({} classes{absent})", share(scores.miou), scores.classes_scored));
    lines.push(format!("frequency-weighted IoU   {}", share(scores.fw_iou)));
    lines.push(format!("boundary IoU             {}", share(scores.boundary_iou)));
    lines.push(format!("mean of per-image mIoU   {}", share(scores.mean_image_iou)));
    if evaluation.loss.is_some() {
        lines.push(format!("loss per valid pixel     {}", share(evaluation.loss)));
    }
    let labelled: u64 = scores.per_class.iter().map(|c| c.pixels).sum();
    if let Some(remark) = scores.one_class() {
        lines.push(remark);
    } else if scores.void_pixels > labelled {
        let share = 100.0 * scores.void_pixels as f64 / (scores.void_pixels + labelled) as f64;
        lines.push(format!(
            "{share:.1} % of the truth is void and counts nowhere: see whether 255 was meant as a class"
        ));
    }
    if scores.unclassified_pixels > 0 {
        let n = scores.unclassified_pixels;
        lines.push(format!("{n} labelled pixels were predicted as no class at all; they count as wrong"));
    }
    lines.extend(evaluation.skipped.iter().take(SHOWN).map(|s| format!("not scored: {}: {}", s.id, s.reason)));
    if let Some(more @ 1..) = evaluation.skipped.len().checked_sub(SHOWN) {
        lines.push(format!("not scored: {more} more; --json lists them all"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use segdata::labels::LabelMap;
    use segdata::metrics::Tally;

    #[test]
    fn the_table_says_what_is_absent() {
        let mut tally = Tally::new(3);
        let truth = LabelMap { width: 2, height: 2, ids: vec![0, 0, 1, 255] };
        let prediction = LabelMap { width: 2, height: 2, ids: vec![0, 1, 1, 0] };
        tally.add(&truth, &prediction).unwrap();
        let scores = tally.scores(&["a".into(), "b".into(), "c".into()]);
        let text = text(&Evaluation { scores, loss: Some(0.25), skipped: Vec::new() });
        for part in ["a      0.5000", "c         n/a", "(2 classes, 1 absent from truth and prediction)", "0.2500"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
