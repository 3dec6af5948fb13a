//! Which CRF suits a network: random search over the parameters on a validation set, scored against no CRF at all.
//!
//! The parameter sets are fixed before the first image. Each image then goes through the network once, its probabilities
//! through every set, and is forgotten: memory is that of one image and one confusion matrix a set, however many images
//! there are.

use std::ops::ControlFlow;

use serde::Serialize;

use super::crf_tally::CrfTally;
use super::network::scorable_classes;
use crate::infer::crf::{CrfParams, CrfPreset, refine};
use crate::infer::predictor::{Extra, Predictor};
use crate::{Error, Result};
use segdata::dataset::Split;
use segdata::rng::{Purpose, Rng};

/// How much is tried on how much.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// Images, spread evenly over the split.
    pub images: usize,
    /// Parameter sets, at least one; the first are `first` and the presets.
    pub trials: usize,
    /// Decides the random sets.
    pub seed: u64,
    /// Tried first, before the presets; whether it is fast decides that of all.
    pub first: CrfParams,
}

/// One set of parameters and what it gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// The parameters.
    pub parameters: CrfParams,
    /// mIoU over all images searched on.
    pub miou: Option<f64>,
    /// Share of the labelled pixels that are right.
    pub pixel_accuracy: Option<f64>,
    /// Mean IoU of the bands along contours.
    pub boundary_iou: Option<f64>,
    /// Images whose own mIoU it raised.
    pub images_better: u64,
    /// Images whose own mIoU it lowered.
    pub images_worse: u64,
    /// Share of all pixels whose class it changed.
    pub changed: f64,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchReport {
    /// Images it was done on.
    pub images: usize,
    /// mIoU of the network's own label maps on them.
    pub raw_miou: Option<f64>,
    /// Share of the labelled pixels that these have right.
    pub raw_pixel_accuracy: Option<f64>,
    /// The boundary IoU of these.
    pub raw_boundary_iou: Option<f64>,
    /// Whether any set is better than no CRF.
    pub crf_is_better: bool,
    /// All sets, the best first.
    pub trials: Vec<Trial>,
}

/// Tries parameter sets on images of `split`. `visit` hears of every parameter set done on every image, as (done, all),
/// and may end the search, which then has no result.
///
/// # Errors
/// A split that is empty or does not fit the network; the first image that cannot be read or is too large for the CRF.
pub fn search(
    predictor: &Predictor,
    split: &Split,
    options: &SearchOptions,
    visit: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Option<SearchReport>> {
    options.first.validate()?;
    if options.trials == 0 || options.images == 0 {
        return Err(Error::usage("a search over no parameters or no images finds nothing"));
    }
    let classes = scorable_classes(predictor, split)?;
    let sets = parameter_sets(options);
    let mut tallies = vec![CrfTally::new(classes.len()); sets.len()];
    let images = split.spread(options.images);
    let all = images.len() * sets.len();
    for (done, &index) in images.iter().enumerate() {
        let sample = split.load(index)?;
        let named = |e: Error| e.at(&sample.id);
        let prediction =
            predictor.predict_with(&sample.image, Extra { probabilities: true, truth: None }).map_err(named)?;
        let probabilities = prediction.probabilities.unwrap_or_default();
        for (i, (params, tally)) in sets.iter().zip(&mut tallies).enumerate() {
            let refined = refine(params, &sample.image, classes.len(), &probabilities).map_err(named)?;
            tally.add(&sample.labels, &prediction.labels, &refined.labels)?;
            if visit(done * sets.len() + i + 1, all).is_break() {
                return Ok(None);
            }
        }
    }
    Ok(Some(report(images.len(), &sets, &tallies)))
}

fn report(images: usize, sets: &[CrfParams], tallies: &[CrfTally]) -> SearchReport {
    let mut trials: Vec<Trial> = (sets.iter().zip(tallies))
        .map(|(&parameters, tally)| Trial {
            parameters,
            miou: tally.crf.confusion.miou(),
            pixel_accuracy: tally.crf.confusion.pixel_accuracy(),
            boundary_iou: tally.crf.boundary.mean_iou(),
            images_better: tally.images_better,
            images_worse: tally.images_worse,
            changed: tally.changed(),
        })
        .collect();
    // Stable: of equal ones the earlier, which the presets are.
    trials.sort_by(|a, b| b.miou.unwrap_or(-1.0).total_cmp(&a.miou.unwrap_or(-1.0)));
    let raw = tallies.first().map(|tally| &tally.raw);
    let raw_miou = raw.and_then(|raw| raw.confusion.miou());
    SearchReport {
        images,
        raw_miou,
        raw_pixel_accuracy: raw.and_then(|raw| raw.confusion.pixel_accuracy()),
        raw_boundary_iou: raw.and_then(|raw| raw.boundary.mean_iou()),
        crf_is_better: trials.first().is_some_and(|best| best.miou > raw_miou),
        trials,
    }
}

/// The first set, the presets, and random ones: each parameter log-uniform over what papers and practice use, rounded to
/// two digits so that it can be typed.
fn parameter_sets(options: &SearchOptions) -> Vec<CrfParams> {
    let fast = options.first.fast;
    let mut sets = vec![options.first];
    for preset in [CrfPreset::Paper, CrfPreset::Reference] {
        let set = CrfParams { fast, ..preset.into() };
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    for trial in sets.len()..options.trials {
        let mut rng = Rng::derive(options.seed, Purpose::CrfSearch, &[trial as u64]);
        let mut between = |low: f32, high: f32| two_digits((rng.between(low.ln(), high.ln())).exp());
        sets.push(CrfParams {
            gaussian_sxy: between(0.7, 8.0),
            gaussian_compat: between(0.5, 8.0),
            bilateral_sxy: between(10.0, 100.0),
            bilateral_srgb: between(3.0, 30.0),
            bilateral_compat: between(0.5, 12.0),
            iterations: [3, 5, 10][rng.below(3)],
            fast,
        });
    }
    sets.truncate(options.trials);
    sets
}

fn two_digits(value: f32) -> f32 {
    let unit = 10f32.powf(value.abs().max(f32::MIN_POSITIVE).log10().floor() - 1.0);
    // Division by a power of ten keeps the digits short where multiplication would not.
    if unit < 1.0 { (value / unit).round() / (1.0 / unit).round() } else { (value / unit).round() * unit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segdata::labels::LabelMap;

    #[test]
    fn parameters_are_short_numbers_and_depend_on_the_seed_alone() {
        for (value, text) in
            [(0.123, "0.12"), (1.26, "1.3"), (9.96, "10"), (55.4, "55"), (123.0, "120"), (0.0777, "0.078")]
        {
            assert_eq!(two_digits(value).to_string(), text);
        }
        let options = |seed, trials| SearchOptions { images: 1, trials, seed, first: CrfParams::default() };
        let sets = parameter_sets(&options(3, 40));
        assert_eq!(sets.len(), 40);
        assert_eq!(sets[..2], [CrfPreset::Paper.into(), CrfPreset::Reference.into()]);
        assert_eq!(sets[..20], parameter_sets(&options(3, 20))[..]);
        assert_ne!(sets[2..], parameter_sets(&options(4, 40))[2..]);
        for (i, set) in sets.iter().enumerate() {
            set.validate().unwrap();
            assert!(!sets[..i].contains(set), "set {i} occurs twice");
        }
        let own = CrfParams { iterations: 7, ..CrfParams::default() };
        let first = parameter_sets(&SearchOptions { first: own, ..options(0, 1) });
        assert_eq!(first, [own]);
    }

    #[test]
    fn the_best_comes_first_and_no_crf_can_win() {
        let map = |ids: &[u8]| LabelMap { width: 4, height: 1, ids: ids.to_vec() };
        let truth = map(&[0, 0, 1, 1]);
        let tallied = |raw: &[u8], crf: &[u8]| {
            let mut tally = CrfTally::new(2);
            tally.add(&truth, &map(raw), &map(crf)).unwrap();
            tally
        };
        let sets = parameter_sets(&SearchOptions { images: 1, trials: 3, seed: 0, first: CrfParams::default() });
        let raw = [0, 1, 1, 1];
        let tallies = [tallied(&raw, &[0, 0, 0, 0]), tallied(&raw, &[0, 0, 1, 1]), tallied(&raw, &raw)];
        let found = report(1, &sets, &tallies);
        let order: Vec<CrfParams> = found.trials.iter().map(|t| t.parameters).collect();
        assert_eq!(order, [sets[1], sets[2], sets[0]]);
        assert!(found.crf_is_better && found.trials[0].images_better == 1 && found.trials[2].images_worse == 1);
        assert_eq!((found.trials[0].changed, found.trials[1].changed), (0.25, 0.0));
        let same = report(1, &sets[..1], &tallies[2..]);
        assert!(!same.crf_is_better, "as good is not better");
    }
}
