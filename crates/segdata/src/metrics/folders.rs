//! Folders of masks, scored against each other, whatever program made them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::tally::{Scores, Tally};
use crate::dataset::masks::refuse_contradictions;
use crate::dataset::names::{Side, composed, name_of, without_image_extension};
use crate::error::{Error, Result};
use crate::files::read::read;
use crate::files::tree::Tree;
use crate::image::RawMask;
use crate::labels::MaskCoding;

/// The scores of a folder of masks.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderScores {
    /// Accuracies, IoUs and the confusion matrix.
    pub scores: Scores,
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

/// Scores the masks in `predictions` against those of the same name in `truth`: palette, grey or RGB in the colours of
/// `coding`, whatever program made them. The values of both are mask values, as in a data set, but where a file says that
/// they are class ids ([`encode_mask_png`](crate::image::encode_mask_png) does). A predicted value that means no class
/// counts as wrong.
///
/// `ids` names the masks that are scored; without it all are. What has no partner, differs in size, or cannot be read is
/// listed in [`FolderScores::skipped`] and not scored.
///
/// # Errors
/// A folder that cannot be read; masks whose palettes or depths contradict each other or the class list; no pair that can
/// be scored.
pub fn evaluate_predictions(
    predictions: &Path,
    truth: &Path,
    ids: Option<&[String]>,
    coding: &MaskCoding,
) -> Result<FolderScores> {
    let (pairs, mut skipped) = pairs(predictions, truth, ids)?;
    let truths: Vec<(&str, &Path)> = pairs.iter().map(|pair| (pair.id.as_str(), pair.truth.as_path())).collect();
    let predicted: Vec<(&str, &Path)> =
        pairs.iter().map(|pair| (pair.id.as_str(), pair.prediction.as_path())).collect();
    let files = Tree::open(truth)?;
    refuse_contradictions(&files, &truths, coding)?;
    refuse_contradictions(&files, &predicted, coding)?;
    let (tally, failed) = pairs
        .par_iter()
        .fold(
            || (Tally::new(coding.classes.len()), Vec::new()),
            |(mut tally, mut failed), Pair { id, truth, prediction }| {
                if let Err(e) = score_pair(&mut tally, truth, prediction, coding) {
                    failed.push(Skipped { id: id.clone(), reason: e.to_string() });
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
    Ok(FolderScores { scores: tally.scores(&coding.classes.names), skipped })
}

/// A mask and its truth.
struct Pair {
    id: String,
    truth: PathBuf,
    prediction: PathBuf,
}

/// The masks of one name in both folders, and those without a partner.
fn pairs(predictions: &Path, truth: &Path, ids: Option<&[String]>) -> Result<(Vec<Pair>, Vec<Skipped>)> {
    let (mut predicted, mut annotated) = (masks_in(predictions)?, masks_in(truth)?);
    let mut skipped: Vec<Skipped> = Vec::new();
    if let Some(ids) = ids {
        let known = |id: &str| annotated.contains_key(id) || predicted.contains_key(id);
        // Lists of other programs may bring the extension.
        let id = |listed: &String| {
            let whole = composed(listed).into_owned();
            let stem = without_image_extension(&whole);
            if !known(&whole) && known(stem) { stem.to_string() } else { whole }
        };
        let ids: BTreeSet<String> = ids.iter().map(id).collect();
        for id in ids.iter().filter(|id| !known(id)) {
            skipped.push(Skipped { id: id.clone(), reason: "listed, but in neither folder".into() });
        }
        predicted.retain(|id, _| ids.contains(id));
        annotated.retain(|id, _| ids.contains(id));
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
    let both = annotated.into_iter().filter_map(|(id, truth)| {
        let prediction = predicted.remove(&id)?;
        Some(Pair { id, truth, prediction })
    });
    Ok((both.collect(), skipped))
}

fn score_pair(tally: &mut Tally, truth: &Path, prediction: &Path, coding: &MaskCoding) -> Result<()> {
    let raw = |path: &Path| {
        let bytes = read("the mask", path)?;
        RawMask::decode(&bytes).map_err(|e| e.at(path))
    };
    let truth_labels = raw(truth)?.labels(coding).map_err(|e| e.at(truth))?;
    let predicted = raw(prediction)?.labels_or_void(coding).map_err(|e| e.at(prediction))?;
    tally.add(&truth_labels, &predicted).map_err(|e| e.at(prediction))?;
    Ok(())
}

/// The mask files of a folder by id; JPEGs are never masks.
///
/// # Errors
/// Two masks of one id.
fn masks_in(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let tree = Tree::open(folder)?;
    let side = Side { jpeg: Some(false), ..Side::of(folder) };
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in tree.list(folder)? {
        let name = name_of(&path);
        let Some(id) = side.id_of(&name).filter(|_| tree.is_file(&path)) else { continue };
        if let Some(other) = found.insert(composed(id).into_owned(), path.clone()) {
            let name = other.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(Error::data(format!("two masks are called {id}: {name} and {}", name_of(&path)))
                .at(folder)
                .hint("keep the one that is meant"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::image::encode_mask_png;
    use crate::labels::{Classes, LabelMap};

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

        let listed = ["a.png".to_string(), "nowhere".to_string()];
        let evaluation = evaluate_predictions(p, t, Some(&listed), &MaskCoding::from(&Classes::voc())).unwrap();
        let ids: Vec<&str> = evaluation.skipped.iter().map(|s| s.id.as_str()).collect();
        assert_eq!((evaluation.scores.images, ids), (1, vec!["nowhere"]));
    }

    #[test]
    fn two_masks_of_one_id_are_refused_and_what_systems_leave_is_passed_over() {
        let (truth, predictions) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (t, p) = (truth.path(), predictions.path());
        write(t, "a b.png", 2, &[0, 1]);
        write(p, "a b.jpg.png", 2, &[0, 1]);
        fs::write(p.join("._a b.png"), b"no image").unwrap();
        let score = || evaluate_predictions(p, t, Some(&["a b".to_string()]), &MaskCoding::from(&Classes::voc()));
        let evaluation = score().unwrap();
        assert_eq!((evaluation.scores.images, evaluation.skipped.len()), (1, 0), "{:?}", evaluation.skipped);
        write(p, "a b.bmp.png", 2, &[0, 1]);
        let error = score().unwrap_err();
        assert!(error.message.contains("a b.bmp.png") && error.message.contains("a b.jpg.png"), "{error}");
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
        assert_eq!(error.kind, crate::error::ErrorKind::Data);
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
