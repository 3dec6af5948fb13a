//! How good a network is on a split: images in, [`Evaluation`] out.
//!
//! One confusion matrix over the whole set; [`segdata::metrics`] says what is computed from it. Images go through the
//! network one after the other, whatever is left of the machine works inside each; all counts are integers and the loss
//! is added in the order of the set, so the result has the same bits for any number of threads.

use std::ops::ControlFlow;

use super::crf_tally::{CrfComparison, CrfTally};
use super::evaluation::Evaluation;
use crate::infer::crf::{CrfParams, refine};
use crate::infer::predictor::{Extra, Prediction, Predictor, SummedLoss};
use crate::{Error, Result};
use segdata::dataset::{Sample, Split};
use segdata::labels::{Classes, LabelMap};
use segdata::metrics::Tally;

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
    let classes = scorable_classes(predictor, split)?;
    let mut tally = Tally::new(classes.len());
    let mut loss = SummedLoss::default();
    for index in 0..split.len() {
        let sample = split.load(index)?;
        let against = Extra { probabilities: false, truth: Some(&sample.labels) };
        let Prediction { labels: prediction, loss: own_loss, .. } = predictor.predict_with(&sample.image, against)?;
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
    let classes = scorable_classes(predictor, split)?;
    let mut tally = CrfTally::new(classes.len());
    let mut loss = SummedLoss::default();
    for index in 0..split.len() {
        let sample = split.load(index)?;
        let named = |e: Error| e.at(&sample.id);
        let both = Extra { probabilities: true, truth: Some(&sample.labels) };
        let prediction = predictor.predict_with(&sample.image, both).map_err(named)?;
        loss.add(prediction.loss);
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
pub fn scorable_classes<'a>(predictor: &'a Predictor, split: &Split) -> Result<&'a Classes> {
    let classes = &predictor.meta().classes;
    refuse_other_classes(classes, &split.coding().classes)?;
    match split.is_empty() {
        true => Err(Error::data(format!("split `{}` is empty: there is nothing to score", split.name()))),
        false => Ok(classes),
    }
}

/// Ids mean the same thing only in lists of one length; other names for the same ids are the caller's affair.
fn refuse_other_classes(network: &Classes, data: &Classes) -> Result<()> {
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
    .hint("score it on data with its own class list, or name the list with `classes`"))
}

fn shortened(names: &[String]) -> String {
    let shown = names.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 4 { format!("{shown}, ...") } else { shown }
}
