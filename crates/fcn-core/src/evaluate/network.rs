//! How good a network is on a data set, or how good somebody's masks are: images in, [`Evaluation`] out.
//!
//! One confusion matrix over the whole set; [`segdata::metrics`] says what is computed from it. Images go through the
//! network one after the other, whatever is left of the machine works inside each; all counts are integers and the loss
//! is added in the order of the set, so the result has the same bits for any number of threads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::infer::crf::{CrfParams, changed_pixels, refine};
use crate::infer::predictor::{Predictor, SummedLoss};
use crate::{Error, Result};
use segdata::dataset::{Sample, Split};
use segdata::files::write::write_bytes_atomically;
use segdata::image::{Format, MaskPixels, RawMask, encode_mask_png};
use segdata::labels::{Classes, LabelMap, MaskCoding, VOID};
use segdata::metrics::{Scores, Tally};
use segdata::pictures::file_stem;

/// The scores of a set of images.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Evaluation {
    /// Accuracies, IoUs and the confusion matrix.
    #[serde(flatten)]
    pub scores: Scores,
    /// Cross-entropy per valid pixel in nats; `None` where masks alone are scored, a CRF's among them.
    pub loss: Option<f64>,
    /// What could not be scored, and why.
    pub skipped: Vec<Skipped>,
}

/// An image that was not scored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// Sample id: the file name without folder and extension.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// One image of an evaluation, as it passes by.
#[derive(Debug)]
pub struct Scored<'a> {
    /// Position in the split.
    pub index: usize,
    /// Photograph and truth.
    pub sample: &'a Sample,
    /// The network's label map.
    pub prediction: &'a LabelMap,
    /// The image's own mIoU; `None` when every pixel is void.
    pub miou: Option<f64>,
    /// The label map after the CRF, where one was asked for.
    pub refined: Option<&'a LabelMap>,
}

/// The scores of one set of images without the CRF and with it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CrfComparison {
    /// The network's own label maps.
    pub raw: Evaluation,
    /// The label maps after the CRF; they have no loss.
    pub crf: Evaluation,
    /// Share of all pixels, labelled or not, whose class the CRF changed.
    pub changed: f64,
    /// Images whose own mIoU the CRF raised.
    pub images_better: u64,
    /// Images whose own mIoU it lowered.
    pub images_worse: u64,
    /// What the CRF was.
    pub parameters: CrfParams,
}

/// What is counted of a set of images before and after the CRF.
#[derive(Clone, Debug)]
pub struct CrfTally {
    /// The network's own label maps.
    pub raw: Tally,
    /// The label maps after the CRF.
    pub crf: Tally,
    /// Images whose own mIoU the CRF raised.
    pub images_better: u64,
    /// Images whose own mIoU it lowered.
    pub images_worse: u64,
    changed: u64,
    pixels: u64,
}

impl CrfTally {
    /// Nothing counted yet, for ids `0..classes`.
    pub fn new(classes: usize) -> Self {
        let (raw, crf) = (Tally::new(classes), Tally::new(classes));
        CrfTally { raw, crf, images_better: 0, images_worse: 0, changed: 0, pixels: 0 }
    }

    /// Counts one image and returns its own mIoU before and after.
    ///
    /// # Errors
    /// Maps that differ in size.
    pub fn add(&mut self, truth: &LabelMap, raw: &LabelMap, crf: &LabelMap) -> Result<[Option<f64>; 2]> {
        let own = [self.raw.add(truth, raw)?, self.crf.add(truth, crf)?];
        if let [Some(before), Some(after)] = own {
            self.images_better += u64::from(after > before);
            self.images_worse += u64::from(after < before);
        }
        self.changed += changed_pixels(raw, crf);
        self.pixels += raw.ids.len() as u64;
        Ok(own)
    }

    /// Share of all pixels whose class the CRF changed.
    pub fn changed(&self) -> f64 {
        self.changed as f64 / self.pixels.max(1) as f64
    }
}

/// Predicts and scores every image of `split`. `visit` sees each one and may end the evaluation, which then has no
/// result.
///
/// # Errors
/// A split that is empty; a network with another number of classes; the first sample that cannot be read (a score over
/// a part of the set would not compare with any other); whatever `visit` returns.
pub fn evaluate(
    predictor: &Predictor,
    split: &Split,
    visit: &mut dyn FnMut(Scored) -> Result<ControlFlow<()>>,
) -> Result<Option<Evaluation>> {
    let classes = judge(predictor, split)?;
    let mut tally = Tally::new(classes.len());
    let mut loss = SummedLoss::default();
    for index in 0..split.len() {
        let sample = split.load(index)?;
        let (prediction, own_loss) = predictor.predict_with_loss(&sample.image, &sample.labels)?;
        loss.add(own_loss);
        let miou = tally.add(&sample.labels, &prediction)?;
        let scored = Scored { index, sample: &sample, prediction: &prediction, miou, refined: None };
        if visit(scored)?.is_break() {
            return Ok(None);
        }
    }
    Ok(Some(Evaluation { scores: tally.scores(&classes.names), loss: loss.mean(), skipped: Vec::new() }))
}

/// [`evaluate`] with every image scored twice: as the network labels it, and after the CRF.
///
/// # Errors
/// Those of [`evaluate`], and of [`crf::refine`](crate::infer::crf::refine) with the name of the image.
pub fn evaluate_with_crf(
    predictor: &Predictor,
    split: &Split,
    params: &CrfParams,
    visit: &mut dyn FnMut(Scored) -> Result<ControlFlow<()>>,
) -> Result<Option<CrfComparison>> {
    params.validate()?;
    let classes = judge(predictor, split)?;
    let mut tally = CrfTally::new(classes.len());
    let mut loss = SummedLoss::default();
    for index in 0..split.len() {
        let sample = split.load(index)?;
        let named = |e: Error| e.at(&sample.id);
        let (prediction, own_loss) = predictor.predict_with_both(&sample.image, &sample.labels).map_err(named)?;
        loss.add(own_loss);
        let probabilities = prediction.probabilities.unwrap_or_default();
        let refined = refine(params, &sample.image, classes.len(), &probabilities).map_err(named)?.labels;
        let [miou, _] = tally.add(&sample.labels, &prediction.labels, &refined)?;
        let scored = Scored { index, sample: &sample, prediction: &prediction.labels, miou, refined: Some(&refined) };
        if visit(scored)?.is_break() {
            return Ok(None);
        }
    }
    let scores = |tally: &Tally, loss| Evaluation { scores: tally.scores(&classes.names), loss, skipped: Vec::new() };
    Ok(Some(CrfComparison {
        raw: scores(&tally.raw, loss.mean()),
        crf: scores(&tally.crf, None),
        changed: tally.changed(),
        images_better: tally.images_better,
        images_worse: tally.images_worse,
        parameters: *params,
    }))
}

/// The network's classes, if it can be scored on `split`.
///
/// # Errors
/// A split that is empty; a network with another number of classes.
pub fn judge<'a>(predictor: &'a Predictor, split: &Split) -> Result<&'a Classes> {
    let classes = &predictor.meta().classes;
    judge_classes(classes, &split.coding().classes)?;
    match split.is_empty() {
        true => Err(Error::data(format!("split `{}` is empty: there is nothing to score", split.name()))),
        false => Ok(classes),
    }
}

/// Writes a label map as `folder/<id>.png`, an index PNG with the palette of the classes.
///
/// # Errors
/// A folder that cannot be written.
pub fn save_prediction(folder: &Path, id: &str, prediction: &LabelMap, classes: &Classes) -> Result<PathBuf> {
    let path = folder.join(format!("{}.png", file_stem(id)));
    let png = encode_mask_png(prediction, classes)?;
    write_bytes_atomically(&path, &png)?;
    Ok(path)
}

/// Ids mean the same thing only in lists of one length; other names for the same ids are the caller's affair.
fn judge_classes(network: &Classes, data: &Classes) -> Result<()> {
    if network.len() == data.len() {
        return Ok(());
    }
    Err(Error::weights(format!(
        "the network has {} classes ({}), the data set {} ({})",
        network.len(),
        shortened(&network.names),
        data.len(),
        shortened(&data.names)
    ))
    .hint("score it on data with its own class list, or name the list with --classes"))
}

fn shortened(names: &[String]) -> String {
    let shown = names.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 4 { format!("{shown}, ...") } else { shown }
}

/// Scores the masks in `predictions` against those of the same name in `truth`: palette, grey or RGB in the colours of
/// `coding`, whatever program made them. A predicted value that means no class counts as wrong.
///
/// `ids` names the masks that are scored; without it all are. What has no partner, differs in size, or cannot be read is
/// listed in [`Evaluation::skipped`] and not scored.
///
/// # Errors
/// A folder that cannot be read; no pair that can be scored.
pub fn evaluate_predictions(
    predictions: &Path,
    truth: &Path,
    ids: Option<&[String]>,
    coding: &MaskCoding,
) -> Result<Evaluation> {
    let (mut predicted, mut annotated) = (masks_in(predictions)?, masks_in(truth)?);
    let mut skipped: Vec<Skipped> = Vec::new();
    if let Some(ids) = ids {
        let ids: BTreeSet<&String> = ids.iter().collect();
        predicted.retain(|id, _| ids.contains(id));
        annotated.retain(|id, _| ids.contains(id));
        for id in ids.into_iter().filter(|id| !annotated.contains_key(*id) && !predicted.contains_key(*id)) {
            skipped.push(Skipped { id: id.clone(), reason: "listed, but in neither folder".into() });
        }
    }
    for (id, path) in &annotated {
        if !predicted.contains_key(id) {
            let reason = format!("{} has no prediction in {}", path.display(), predictions.display());
            skipped.push(Skipped { id: id.clone(), reason });
        }
    }
    for (id, path) in &predicted {
        if !annotated.contains_key(id) {
            let reason = format!("{} has no truth in {}", path.display(), truth.display());
            skipped.push(Skipped { id: id.clone(), reason });
        }
    }
    let pairs: Vec<(&String, &PathBuf, &PathBuf)> =
        annotated.iter().filter_map(|(id, truth)| Some((id, truth, predicted.get(id)?))).collect();
    let (tally, failed) = pairs
        .par_iter()
        .fold(
            || (Tally::new(coding.classes.len()), Vec::new()),
            |(mut tally, mut failed), (id, truth, prediction)| {
                if let Err(e) = score_pair(&mut tally, truth, prediction, coding) {
                    failed.push(Skipped { id: id.to_string(), reason: e.to_string() });
                }
                (tally, failed)
            },
        )
        .reduce(
            || (Tally::new(coding.classes.len()), Vec::new()),
            |(mut tally, mut failed), (other, others_failed)| {
                tally.merge(&other);
                failed.extend(others_failed);
                (tally, failed)
            },
        );
    skipped.extend(failed);
    skipped.sort_by(|a, b| (&a.id, &a.reason).cmp(&(&b.id, &b.reason)));
    if tally.images == 0 {
        let first = skipped.first().map_or("both folders hold no mask".into(), |s| s.reason.clone());
        return Err(Error::data(format!(
            "no mask in {} could be scored against {}: {first}",
            predictions.display(),
            truth.display()
        ))
        .hint("predictions and truth are paired by name: 2007_000033.png with 2007_000033.png"));
    }
    Ok(Evaluation { scores: tally.scores(&coding.classes.names), loss: None, skipped })
}

fn score_pair(tally: &mut Tally, truth: &Path, prediction: &Path, coding: &MaskCoding) -> Result<()> {
    let raw = |path: &Path| {
        let bytes = segdata::files::read::read("the mask", path)?;
        RawMask::decode(&bytes).map_err(|e| e.at(path))
    };
    let truth_labels = raw(truth)?.labels(coding).map_err(|e| e.at(truth))?;
    let predicted = labels_or_void(&raw(prediction)?, coding);
    tally.add(&truth_labels, &predicted).map_err(|e| e.at(prediction))?;
    Ok(())
}

/// Class ids under `coding`; void for every value that means no class.
fn labels_or_void(mask: &RawMask, coding: &MaskCoding) -> LabelMap {
    let by_value = |value: u16| coding.id_of_value(value).unwrap_or(VOID);
    let ids = match &mask.pixels {
        MaskPixels::Index8(values) => values.iter().map(|&value| by_value(value.into())).collect(),
        MaskPixels::Index16(values) => values.iter().map(|&value| by_value(value)).collect(),
        MaskPixels::Rgb(rgb) => {
            rgb.chunks_exact(3).map(|p| coding.id_of_colour([p[0], p[1], p[2]]).unwrap_or(VOID)).collect()
        }
    };
    LabelMap { width: mask.width, height: mask.height, ids }
}

/// The mask files of a folder by stem; JPEGs are never masks. Where two share a stem, the later one by name counts.
fn masks_in(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let fault = |e: std::io::Error| Error::io("list the folder", folder, &e);
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let promised = path.extension().and_then(|e| e.to_str()).and_then(Format::of_extension);
        let is_mask = promised.is_some_and(|format| format != Format::Jpeg) && path.is_file();
        if let (true, Some(stem)) = (is_mask, path.file_stem()) {
            let (stem, place) = (stem.to_string_lossy().into_owned(), path.clone());
            let kept: &mut PathBuf = found.entry(stem).or_insert(place);
            if path > *kept {
                *kept = path;
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, width: usize, ids: &[u8]) {
        let map = LabelMap { width, height: ids.len() / width, ids: ids.to_vec() };
        fs::write(folder.join(name), encode_mask_png(&map, &Classes::voc()).unwrap()).unwrap();
    }

    #[test]
    fn masks_are_paired_by_name_and_everything_else_is_listed() {
        let (truth, predictions) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (t, p) = (truth.path(), predictions.path());
        write(t, "a.png", 2, &[0, 0, 1, 255]);
        write(p, "a.png", 2, &[0, 1, 1, 7]);
        write(t, "size.png", 2, &[0; 4]);
        write(p, "size.png", 4, &[0; 4]);
        write(t, "alone.png", 2, &[0; 4]);
        write(p, "extra.png", 2, &[0; 4]);
        write(t, "broken.png", 2, &[0; 4]);
        fs::write(p.join("broken.png"), b"no image").unwrap();
        fs::write(p.join("a_overlay.jpg"), b"not a mask").unwrap();
        let evaluation = evaluate_predictions(p, t, None, &MaskCoding::from(&Classes::voc())).unwrap();
        assert_eq!(evaluation.scores.images, 1);
        assert_eq!(evaluation.scores.pixel_accuracy, Some(2.0 / 3.0));
        assert_eq!(evaluation.scores.void_pixels, 1);
        let ids: Vec<&str> = evaluation.skipped.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids, ["alone", "broken", "extra", "size"]);

        let listed = ["a".to_string(), "nowhere".to_string()];
        let evaluation = evaluate_predictions(p, t, Some(&listed), &MaskCoding::from(&Classes::voc())).unwrap();
        let ids: Vec<&str> = evaluation.skipped.iter().map(|s| s.id.as_str()).collect();
        assert_eq!((evaluation.scores.images, ids), (1, vec!["nowhere"]));
    }

    #[test]
    fn predicted_values_without_a_class_are_wrong_not_errors() {
        let (truth, predictions) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(truth.path(), "a.png", 2, &[0, 0, 1, 1]);
        write(predictions.path(), "a.png", 2, &[0, 200, 255, 1]);
        let coding = MaskCoding::from(&Classes::named(["a", "b"]));
        let scores = evaluate_predictions(predictions.path(), truth.path(), None, &coding).unwrap().scores;
        assert_eq!((scores.pixel_accuracy, scores.unclassified_pixels), (Some(0.5), 2));
    }

    #[test]
    fn nothing_to_score_is_an_error_that_says_how_names_pair() {
        let (truth, predictions) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(truth.path(), "a.png", 2, &[0; 4]);
        write(predictions.path(), "b.png", 2, &[0; 4]);
        let error = evaluate_predictions(predictions.path(), truth.path(), None, &MaskCoding::from(&Classes::voc()))
            .unwrap_err();
        assert_eq!(error.kind, crate::ErrorKind::Data);
        assert!(error.hint.is_some());
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let (truth, predictions) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for i in 0..20u8 {
            let ids: Vec<u8> = (0..96u16).map(|j| ((j * 7 + u16::from(i)) % 5) as u8).collect();
            let other: Vec<u8> = (0..96u16).map(|j| ((j * 3 + u16::from(i)) % 5) as u8).collect();
            write(truth.path(), &format!("{i}.png"), 12, &ids);
            write(predictions.path(), &format!("{i}.png"), 12, &other);
        }
        let score = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let coding = MaskCoding::from(&Classes::voc());
            pool.install(|| evaluate_predictions(predictions.path(), truth.path(), None, &coding).unwrap())
        };
        let one = score(1);
        assert_eq!(one, score(3));
        assert_eq!(one, score(8));
    }

    #[test]
    #[ignore = "needs FCN_REAL_DATA, the folder of real data sets"]
    fn an_all_background_prediction_scores_what_is_known_of_the_real_set() {
        let data = std::env::var_os("FCN_REAL_DATA").expect("FCN_REAL_DATA names the folder of real data sets");
        let root = Path::new(&data).join("voc2012");
        let list = fs::read_to_string(root.join("ImageSets/Segmentation/val.txt")).unwrap();
        let coding = MaskCoding::from(&Classes::voc());
        let mut tally = Tally::new(21);
        for id in list.split_whitespace() {
            let bytes = fs::read(root.join(format!("SegmentationClass/{id}.png"))).unwrap();
            let truth = RawMask::decode(&bytes).unwrap().labels(&coding).unwrap();
            tally.add(&truth, &LabelMap::filled(truth.size(), 0)).unwrap();
        }
        let scores = tally.scores(&coding.classes.names);
        assert_eq!(format!("{:.4}", scores.pixel_accuracy.unwrap()), "0.6976");
        assert_eq!(format!("{:.4}", scores.miou.unwrap()), "0.0367");
    }
}
