//! What a run does every so many steps: the whole validation split through one confusion matrix, the pictures of a fixed
//! set of images, and the report.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::Split;
use crate::evaluate::{Evaluation, Scored, evaluate};
use crate::image::encode_mask_png;
use crate::labels::Classes;
use crate::model::Fcn;
use crate::pictures::{PictureKind, SheetRow, contact_sheet, overlay, with_legend};
use crate::predict::Predictor;
use crate::run_log::RunLog;
use crate::tensor_file::write_atomically;
use crate::train::{Event, StopSignal};
use crate::{Error, Result, html_report};

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
}

impl Validation {
    /// Mean IoU over the classes present, 0 to 1.
    pub fn miou(&self) -> Option<f64> {
        self.evaluation.scores.miou
    }

    /// One line for a log.
    pub fn line(&self) -> String {
        let number = |value: Option<f64>| value.map_or("n/a".to_string(), |value| format!("{value:.4}"));
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
}

/// Validates on one split and keeps the pictures of the same images each time.
pub struct Validator {
    run: PathBuf,
    split: Split,
    /// Positions in the split whose pictures are saved, spread evenly.
    pictured: Vec<usize>,
}

impl Validator {
    /// For the run in `run`, with the pictures of `pictures` images.
    ///
    /// # Errors
    /// A folder for the pictures that cannot be created.
    pub fn new(run: &Path, split: Split, pictures: usize) -> Result<Self> {
        let folder = run.join("pictures");
        fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder for pictures", &folder, &e))?;
        let count = pictures.min(split.len());
        let pictured = (0..count).map(|i| i * split.len() / count).collect();
        Ok(Validator { run: run.to_path_buf(), split, pictured })
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
        fcn: &Fcn,
        log: &mut RunLog,
        stop: &StopSignal,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Option<Validation>> {
        let classes = &fcn.meta.classes;
        let predictor = Predictor::new(fcn.clone());
        let mut rows = Vec::new();
        let evaluation = evaluate(&predictor, &self.split, &mut |scored| {
            tell(Event::Validating(scored.index + 1, self.split.len()));
            if self.pictured.contains(&scored.index) {
                rows.push(self.save_pictures(step, &scored, classes)?);
            }
            Ok(if stop.requested().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let Some(evaluation) = evaluation else { return Ok(None) };
        let validation = Validation { step, evaluation };
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
            ],
        )?;
        if !rows.is_empty() {
            let sheet = contact_sheet(&format!("step {step}"), &rows, classes)?;
            let png = sheet.to_png()?;
            self.write(&format!("sheet_{step}.png"), &png)?;
            log.picture(step, "validation", sheet.width, sheet.height, &png);
        }
        html_report::write(&self.run)?;
        Ok(Some(validation))
    }

    /// Photograph, annotation, prediction and overlay of one image, each in a file of its own.
    fn save_pictures(&self, step: u64, scored: &Scored, classes: &Classes) -> Result<SheetRow> {
        let (sample, prediction) = (scored.sample, scored.prediction);
        let drawn = with_legend(&overlay(&sample.image, prediction, classes)?, &[prediction], classes);
        let files = [
            (PictureKind::Photo, sample.image.to_jpeg(JPEG_QUALITY)?),
            (PictureKind::Annotation, encode_mask_png(&sample.labels, classes)?),
            (PictureKind::Prediction, encode_mask_png(prediction, classes)?),
            (PictureKind::Overlay, drawn.to_jpeg(JPEG_QUALITY)?),
        ];
        for (kind, bytes) in files {
            self.write(&kind.file_name(step, &sample.id), &bytes)?;
        }
        Ok(SheetRow {
            name: sample.id.clone(),
            photo: sample.image.clone(),
            truth: sample.labels.clone(),
            prediction: prediction.clone(),
            miou: scored.miou,
        })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.run.join("pictures").join(name);
        write_atomically(&path, |file| file.write_all(bytes).map_err(|e| Error::io("write", &path, &e)))
    }
}
