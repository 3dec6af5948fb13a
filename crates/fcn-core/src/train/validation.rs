//! What a run does every so many steps: the whole validation split through one confusion matrix, the pictures of a fixed
//! set of images, raw and after the CRF, and the report.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::evaluate::network::{CrfTally, Evaluation, Scored, evaluate};
use crate::infer::crf::{CrfParams, Refined, refine};
use crate::infer::predictor::Predictor;
use crate::network::Network;
use crate::train::run::{Event, StopSignal};
use crate::train::run_log::RunLog;
use crate::{Error, Result};
use segdata::dataset::{Sample, Split};
use segdata::files::write::write_bytes_atomically;
use segdata::image::encode_mask_png;
use segdata::labels::Classes;
use segdata::metrics::Tally;
use segdata::pictures::{PictureKind, SheetRow, contact_sheet, for_jpeg, overlay, overlay_pair, with_legend};
use segdata::report;

/// Quality of the photographs among the pictures, 1 to 100.
const JPEG_QUALITY: u8 = 90;

/// The scores of one validation.
#[derive(Clone, Debug, Serialize)]
pub struct Validation {
    /// The step it was at.
    #[serde(skip)]
    pub step: u64,
    /// All scores.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// The scores of the pictured images, where they went through the CRF.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pictured: Option<PicturedScores>,
}

/// The images whose pictures are saved, scored without the CRF and with it.
#[derive(Clone, Debug, Serialize)]
pub struct PicturedScores {
    /// Images.
    pub images: u64,
    /// Of the network's own label maps.
    pub raw: ShortScores,
    /// Of the label maps after the CRF.
    pub crf: ShortScores,
    /// Share of the pixels that the CRF changed.
    pub changed: f64,
    /// Time that the CRF took, with the second pass through the network that it needs.
    pub seconds: f64,
}

/// The scores that a few images allow.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ShortScores {
    /// Mean IoU over the classes present, 0 to 1.
    pub miou: Option<f64>,
    /// Share of the labelled pixels that are right.
    pub pixel_accuracy: Option<f64>,
    /// Mean IoU of the bands along contours.
    pub boundary_iou: Option<f64>,
}

impl From<&Tally> for ShortScores {
    fn from(tally: &Tally) -> Self {
        let matrix = &tally.confusion;
        let boundary_iou = tally.boundary.mean_iou();
        ShortScores { miou: matrix.miou(), pixel_accuracy: matrix.pixel_accuracy(), boundary_iou }
    }
}

impl Validation {
    /// Mean IoU over the classes present, 0 to 1.
    pub fn miou(&self) -> Option<f64> {
        self.evaluation.scores.miou
    }

    /// One line for a log.
    pub fn line(&self) -> String {
        let scores = &self.evaluation.scores;
        format!(
            "validation at step {}: mIoU {}  pixel accuracy {}  mean accuracy {}  fwIoU {}  loss {}",
            self.step,
            number(scores.miou),
            number(scores.pixel_accuracy),
            number(scores.mean_accuracy),
            number(scores.fw_iou),
            number(self.evaluation.loss)
        )
    }

    /// One more line for a log, on what the CRF does to the pictured images.
    pub fn crf_line(&self) -> Option<String> {
        self.pictured.as_ref().map(|p| {
            format!(
                "  CRF on the {} pictured images: mIoU {} -> {}  pixel accuracy {} -> {}  boundary IoU {} -> {}  ({:.1} s)",
                p.images,
                number(p.raw.miou),
                number(p.crf.miou),
                number(p.raw.pixel_accuracy),
                number(p.crf.pixel_accuracy),
                number(p.raw.boundary_iou),
                number(p.crf.boundary_iou),
                p.seconds
            )
        })
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or("n/a".to_string(), |value| format!("{value:.4}"))
}

/// Validates on one split and keeps the pictures of the same images each time.
pub struct Validator {
    run: PathBuf,
    split: Split,
    /// Positions in the split whose pictures are saved, spread evenly.
    pictured: Vec<usize>,
    /// What these go through as well.
    crf: Option<CrfParams>,
}

impl Validator {
    /// For the run in `run`, with the pictures of `pictures` images, which go through `crf` too.
    ///
    /// # Errors
    /// A folder for the pictures that cannot be created.
    pub fn new(run: &Path, split: Split, pictures: usize, crf: Option<CrfParams>) -> Result<Self> {
        let folder = run.join("pictures");
        fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder for pictures", &folder, &e))?;
        Ok(Validator { run: run.to_path_buf(), pictured: split.spread(pictures), split, crf })
    }

    /// Images in the split.
    pub fn len(&self) -> usize {
        self.split.len()
    }

    /// Whether there is nothing to validate on.
    pub fn is_empty(&self) -> bool {
        self.split.is_empty()
    }

    /// Scores the network of `step` and writes pictures, log and report. `None` when a signal came in between.
    ///
    /// # Errors
    /// A sample that cannot be read, or a file that cannot be written.
    pub fn run(
        &mut self,
        step: u64,
        fcn: &Network,
        log: &mut RunLog,
        stop: &StopSignal,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Option<Validation>> {
        let classes = &fcn.meta.classes;
        let predictor = Predictor::new(fcn.clone());
        let mut rows = Vec::new();
        let mut tally = CrfTally::new(classes.len());
        let mut crf_secs = 0.0;
        let evaluation = evaluate(&predictor, &self.split, &mut |scored| {
            tell(Event::Validating(scored.index + 1, self.split.len()));
            if self.pictured.contains(&scored.index) {
                let started = Instant::now();
                // A photograph that is too large for the CRF is no reason to end a run.
                let refined = self.refined(&predictor, scored.sample).unwrap_or_else(|e| {
                    tell(Event::Remark(format!("{}: no CRF: {e}", scored.sample.id)));
                    None
                });
                crf_secs += started.elapsed().as_secs_f64();
                rows.push(self.save_pictures(step, &scored, refined, &mut tally, classes)?);
            }
            Ok(if stop.requested().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let Some(evaluation) = evaluation else { return Ok(None) };
        let pictured = (tally.crf.images > 0).then(|| PicturedScores {
            images: tally.crf.images,
            raw: (&tally.raw).into(),
            crf: (&tally.crf).into(),
            changed: tally.changed(),
            seconds: crf_secs,
        });
        let validation = Validation { step, evaluation, pictured };
        let scores = &validation.evaluation.scores;
        log.validation(
            step,
            &validation,
            &[
                ("loss", validation.evaluation.loss),
                ("miou", scores.miou),
                ("pixel_accuracy", scores.pixel_accuracy),
                ("mean_accuracy", scores.mean_accuracy),
                ("fw_iou", scores.fw_iou),
                ("boundary_iou", scores.boundary_iou),
                ("pictured_miou", validation.pictured.as_ref().and_then(|p| p.raw.miou)),
                ("pictured_miou_crf", validation.pictured.as_ref().and_then(|p| p.crf.miou)),
            ],
        )?;
        if !rows.is_empty() {
            let sheet = contact_sheet(&format!("step {step}"), &rows, classes)?;
            let png = sheet.to_png()?;
            self.write(&format!("sheet_{step}.png"), &png)?;
            log.picture(step, "validation", sheet.width, sheet.height, &png);
        }
        report::write(&self.run)?;
        Ok(Some(validation))
    }

    /// What the CRF makes of a sample, if there is one.
    fn refined(&self, predictor: &Predictor, sample: &Sample) -> Result<Option<Refined>> {
        let Some(params) = &self.crf else { return Ok(None) };
        let probabilities = predictor.predict_with_probabilities(&sample.image)?.probabilities.unwrap_or_default();
        refine(params, &sample.image, predictor.meta().classes.len(), &probabilities).map(Some)
    }

    /// Photograph, annotation, prediction, prediction after the CRF and overlay of one image, each in a file of its own.
    fn save_pictures(
        &self,
        step: u64,
        scored: &Scored,
        refined: Option<Refined>,
        tally: &mut CrfTally,
        classes: &Classes,
    ) -> Result<SheetRow> {
        let (sample, prediction) = (scored.sample, scored.prediction);
        let mut files = vec![
            (PictureKind::Photo, sample.image.to_jpeg(JPEG_QUALITY)?),
            (PictureKind::Annotation, encode_mask_png(&sample.labels, classes)?),
            (PictureKind::Prediction, encode_mask_png(prediction, classes)?),
        ];
        let drawn = match &refined {
            Some(refined) => {
                files.push((PictureKind::PredictionCrf, encode_mask_png(&refined.labels, classes)?));
                overlay_pair(&sample.image, prediction, &refined.labels, classes)?
            }
            None => with_legend(&overlay(&sample.image, prediction, classes)?, &[prediction], classes),
        };
        files.push((PictureKind::Overlay, for_jpeg(drawn).to_jpeg(JPEG_QUALITY)?));
        for (kind, bytes) in files {
            self.write(&kind.file_name(step, &sample.id), &bytes)?;
        }
        let refined = match refined {
            Some(refined) => {
                let [_, miou] = tally.add(&sample.labels, prediction, &refined.labels)?;
                Some((refined.labels, miou))
            }
            None => None,
        };
        Ok(SheetRow {
            name: sample.id.clone(),
            photo: sample.image.clone(),
            truth: sample.labels.clone(),
            prediction: prediction.clone(),
            miou: scored.miou,
            refined,
        })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_bytes_atomically(&self.run.join("pictures").join(name), bytes)
    }
}
