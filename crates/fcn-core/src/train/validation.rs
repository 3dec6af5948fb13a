//! What a run does every so many steps: the whole validation split through one confusion matrix, the pictures of a fixed
//! set of images, raw and after the CRF, and the report.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::evaluate::{CrfTally, Scored, evaluate};
use crate::infer::crf::{CrfParams, Refined, refine};
use crate::infer::predictor::{Extra, Predictor};
use crate::network::Network;
use crate::train::events::{Event, StopSignal};
use crate::train::run_log::RunLog;
use crate::train::scores::{PicturedScores, Validation, keep_the_worst};
use crate::{Error, Result};
use segdata::dataset::{Sample, Split};
use segdata::files::write::write_bytes_atomically;
use segdata::image::encode_mask_png;
use segdata::labels::Classes;
use segdata::pictures::{
    Judged, PictureKind, SheetRow, contact_sheet, error_picture, for_jpeg, overlay, overlay_pair, with_legend,
};
use segdata::report;

/// Quality of the photographs among the pictures, 1 to 100.
const JPEG_QUALITY: u8 = 90;

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
        emit: &mut dyn FnMut(Event),
    ) -> Result<Option<Validation>> {
        let classes = &fcn.meta.classes;
        let predictor = Predictor::new(fcn.clone());
        let (mut rows, mut worst, mut crf_secs) = (Vec::new(), Vec::new(), 0.0);
        let mut tally = CrfTally::new(classes.len());
        let evaluation = evaluate(&predictor, &self.split, &mut |scored| {
            emit(Event::Validating(scored.index + 1, self.split.len()));
            scored.miou.iter().for_each(|&miou| keep_the_worst(&mut worst, &scored.sample.id, miou));
            if self.pictured.contains(&scored.index) {
                let started = Instant::now();
                // A photograph that is too large for the CRF is no reason to end a run.
                let refined = self.refined(&predictor, scored.sample).unwrap_or_else(|e| {
                    emit(Event::Remark(format!("{}: no CRF: {e}", scored.sample.id)));
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
        let validation = Validation { step, evaluation, pictured, worst };
        log.validation(step, &validation, &validation.curves())?;
        if !rows.is_empty() {
            let sheet = contact_sheet(&format!("step {step}"), &rows, classes)?;
            let png = sheet.to_png()?;
            self.write(&format!("sheet_{step}.png"), &png)?;
            for row in &rows {
                let one = contact_sheet(&format!("step {step}"), std::slice::from_ref(row), classes)?;
                log.picture(step, &format!("validation/{}", row.name), one.width, one.height, &one.to_png()?);
            }
        }
        report::write(&self.run)?;
        Ok(Some(validation))
    }

    /// What the CRF makes of a sample, if there is one.
    fn refined(&self, predictor: &Predictor, sample: &Sample) -> Result<Option<Refined>> {
        let Some(params) = &self.crf else { return Ok(None) };
        let wanted = Extra { probabilities: true, truth: None };
        let probabilities = predictor.predict_with(&sample.image, wanted)?.probabilities.unwrap_or_default();
        refine(params, &sample.image, predictor.meta().classes.len(), &probabilities).map(Some)
    }

    /// Photograph, annotation, prediction, prediction after the CRF, overlay and errors of one image, each in a file.
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
        let refined = match refined {
            Some(Refined { labels, .. }) => {
                let [_, miou] = tally.add(&sample.labels, prediction, &labels)?;
                Some((labels, miou))
            }
            None => None,
        };
        let mut judged = vec![Judged { name: "prediction", map: prediction, miou: scored.miou }];
        let overlay = match &refined {
            Some((labels, miou)) => {
                files.push((PictureKind::PredictionCrf, encode_mask_png(labels, classes)?));
                judged.push(Judged { name: "after the CRF", map: labels, miou: *miou });
                overlay_pair(&sample.image, prediction, labels, classes)?
            }
            None => with_legend(&overlay(&sample.image, prediction, classes)?, &[prediction], classes),
        };
        let errors = error_picture(&sample.image, &sample.labels, &judged, classes)?;
        for (kind, picture) in [(PictureKind::Overlay, overlay), (PictureKind::Errors, errors)] {
            files.push((kind, for_jpeg(picture).to_jpeg(JPEG_QUALITY)?));
        }
        for (kind, bytes) in files {
            self.write(&kind.file_name(step, &sample.id), &bytes)?;
        }
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
