//! `fcn crf --search`: which parameters suit a network, if any.

use std::ops::ControlFlow;
use std::path::PathBuf;

use fcn_core::evaluate::{SearchOptions, SearchReport, Trial, search};
use fcn_core::infer::CrfParams;
use fcn_core::infer::Predictor;
use fcn_core::weights::weights_file;
use fcn_core::{Error, Result, device, weights};
use segdata::dataset::{Dataset, OpenOptions};

use crate::flags::crf::typed;
use crate::flags::global::Global;
use crate::flags::mask_values::MaskValuesFlag;
use crate::report::{self, Progress};

/// Images and parameter sets that are tried unless told otherwise.
const IMAGES: usize = 50;
const TRIALS: usize = 24;

/// Flags of the search. The CRF's own flags make the first set that is tried.
#[derive(clap::Args)]
#[command(next_help_heading = "Search")]
pub struct SearchFlags {
    /// Try parameters on a validation set, by random search, and say which are best and whether they are any good
    #[arg(long)]
    pub search: bool,
    /// Weights file, checkpoint, or run folder (its best checkpoint)
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Data set: a folder, zip or tar in any usual layout, or records (folder or glob)
    #[arg(long)]
    data: Option<PathBuf>,
    /// The split to search on [default: val]
    #[arg(long)]
    split: Option<String>,
    /// Images, spread evenly over the split [default: 50]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Parameter sets, the presets among them [default: 24]
    #[arg(long, value_name = "N")]
    trials: Option<usize>,
    /// Seed of the random sets [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    mask_values: MaskValuesFlag,
}

impl SearchFlags {
    /// Refuses flags of the search where there is none.
    pub fn refuse_alone(&self) -> Result<()> {
        let given = [
            ("--weights", self.weights.is_some()),
            ("--data", self.data.is_some()),
            ("--split", self.split.is_some()),
            ("--images", self.images.is_some()),
            ("--trials", self.trials.is_some()),
            ("--seed", self.seed.is_some()),
            ("--mask-values", self.mask_values.given().is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(Error::usage(format!("{flag} is a flag of the search")).hint("add --search")),
            None => Ok(()),
        }
    }
}

pub fn run(flags: &SearchFlags, open: &OpenOptions, first: CrfParams, global: &Global) -> Result<()> {
    let (Some(file), Some(data)) = (&flags.weights, &flags.data) else {
        return Err(Error::usage("--search needs --weights and --data"));
    };
    let options = SearchOptions {
        images: flags.images.unwrap_or(IMAGES),
        trials: flags.trials.unwrap_or(TRIALS),
        seed: flags.seed.unwrap_or(0),
        // Many trials, and nobody looks at the masks.
        first: CrfParams { fast: true, ..first },
    };
    let fcn = weights::load_mapped(&weights_file(file)?, &device::parse(&global.device)?)?;
    let split_name = flags.split.as_deref().unwrap_or("val");
    let open = OpenOptions { mask_values: flags.mask_values.given().unwrap_or_default(), ..open.clone() };
    let split = Dataset::open_with(data, &open)?.split(split_name)?;
    let progress = Progress::new("search", split.spread(options.images).len() * options.trials, global);
    let found = search(&Predictor::new(fcn), &split, &options, &mut |done, all| {
        progress.at(done, all);
        ControlFlow::Continue(())
    })?;
    drop(progress);
    let found = found.ok_or_else(|| Error::internal("a search that nobody stopped has no result"))?;
    if global.json {
        return report::print_json(&found);
    }
    report::print_line(&text(&found, split.len()));
    if let Some(best) = found.trials.first().filter(|_| found.crf_is_better) {
        // The search is fast; an evaluation is exact unless told otherwise.
        let exact = CrfParams { fast: false, ..best.parameters };
        report::print_line(&format!(
            "check on the whole split: fcn eval --weights {} --data {} --split {split_name} --crf {}",
            file.display(),
            data.display(),
            typed(&exact)
        ));
    }
    Ok(())
}

/// The table, best first, and the verdict.
fn text(found: &SearchReport, all_images: usize) -> String {
    let images = match found.images == all_images {
        true => format!("all {all_images} images"),
        false => format!("{} of {all_images} images", found.images),
    };
    format!("{}\n\n{}", table(found), verdict(found, &images))
}

/// Every set of parameters with its scores, best first, and no CRF at its place among them.
fn table(found: &SearchReport) -> String {
    let row = |trial: &Trial| {
        let p = &trial.parameters;
        let numbers = [p.gaussian_sxy, p.gaussian_compat, p.bilateral_sxy, p.bilateral_srgb, p.bilateral_compat];
        let mut cells = vec![p.iterations.to_string()];
        cells.extend(numbers.map(|number| number.to_string()));
        cells.extend([
            share(trial.miou),
            report::change(found.raw_miou, trial.miou),
            share(trial.pixel_accuracy),
            share(trial.boundary_iou),
            report::percent(trial.changed),
            format!("{}/{}", trial.images_better, trial.images_worse),
        ]);
        cells
    };
    let mut rows: Vec<Vec<String>> = found.trials.iter().map(row).collect();
    let mut none = vec!["no CRF".to_string()];
    none.extend(std::iter::repeat_n(String::new(), 5));
    none.push(share(found.raw_miou));
    none.push(String::new());
    none.push(share(found.raw_pixel_accuracy));
    none.push(share(found.raw_boundary_iou));
    let better = found.trials.iter().take_while(|trial| trial.miou > found.raw_miou).count();
    rows.insert(better, none);
    let header = [
        "iterations",
        "g. sxy",
        "g. compat",
        "b. sxy",
        "b. srgb",
        "b. compat",
        "mIoU",
        "change",
        "pixel accuracy",
        "boundary IoU",
        "changed",
        "better/worse",
    ];
    report::table(&header, &rows)
}

/// Whether a CRF is better than none on `images`, and which.
fn verdict(found: &SearchReport, images: &str) -> String {
    match found.trials.first() {
        Some(best) if found.crf_is_better => format!(
            "best: mIoU {} with the CRF against {} without ({}), on {images}; better on {}, worse on {}\n\
             the flags: {}\n\
             it is the best of {} on these very images: expect somewhat less on others",
            share(best.miou),
            share(found.raw_miou),
            report::change(found.raw_miou, best.miou),
            best.images_better,
            best.images_worse,
            typed(&CrfParams { fast: false, ..best.parameters }),
            found.trials.len()
        ),
        best => format!(
            "no CRF is better: the best of {} parameter sets gives mIoU {}, and without a CRF it is {}, on {images}",
            found.trials.len(),
            share(best.and_then(|best| best.miou)),
            share(found.raw_miou)
        ),
    }
}

/// A score in [0, 1], or `n/a`.
fn share(value: Option<f64>) -> String {
    value.map_or("n/a".to_string(), |v| format!("{v:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(best: f64) -> SearchReport {
        let trial = |miou| Trial {
            parameters: CrfParams { fast: true, ..CrfParams::default() },
            miou: Some(miou),
            pixel_accuracy: Some(0.9),
            boundary_iou: None,
            images_better: 3,
            images_worse: 1,
            changed: 0.05,
        };
        SearchReport {
            images: 4,
            raw_miou: Some(0.5),
            raw_pixel_accuracy: Some(0.8),
            raw_boundary_iou: Some(0.2),
            crf_is_better: best > 0.5,
            trials: vec![trial(best), trial(0.4)],
        }
    }

    #[test]
    fn the_verdict_is_plain_either_way() {
        let better = text(&found(0.6), 10);
        for part in
            ["best: mIoU 0.6000 with the CRF against 0.5000 without (+0.1000), on 4 of 10 images", "--iterations 5 "]
        {
            assert!(better.contains(part), "{part:?} is not in\n{better}");
        }
        assert!(!better.contains("--fast"));
        let worse = text(&found(0.45), 4);
        let part = "no CRF is better: the best of 2 parameter sets gives mIoU 0.4500, and without a CRF it is 0.5000, on all 4 images";
        assert!(worse.contains(part), "{part:?} is not in\n{worse}");
        // The line without a CRF is where its score puts it.
        let line = |text: &str| text.lines().position(|line| line.starts_with("no CRF ")).unwrap();
        assert_eq!((line(&better), line(&worse)), (2, 1));
    }
}
