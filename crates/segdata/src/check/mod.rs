//! The data-set linter: everything that would end in a wrong or undefined score, found before training.
//!
//! One pass in parallel looks at every file (`inspect`); what it saw is then judged as a whole, in a fixed order, so
//! that the report does not depend on the number of threads. Nothing stops at the first problem.

mod inspect;
mod judge;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::dataset::explain::{ValueCounts, explain};
use crate::dataset::{Dataset, Form, Layout};
use crate::error::Result;
use crate::labels::{Classes, MaskCoding};

use inspect::{Inspection, Library};

/// What to look at.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The data set.
    pub data: PathBuf,
    /// A class list; see [`Dataset::open`].
    pub classes: Option<PathBuf>,
    /// Only this split.
    pub split: Option<String>,
    /// Seed of drawn splits; see [`Dataset::open`].
    pub seed: u64,
    /// Images with a shorter side below this are reported, in pixels.
    pub min_size: usize,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Training or evaluating on it would fail or give a wrong score.
    Error,
    /// Worth knowing; training works.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// A stable name of the kind of problem.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The sample concerned; none when it is about the whole.
    pub id: Option<String>,
    /// One sentence: the thing, the value found, the value expected.
    pub message: String,
    /// The remedy.
    pub hint: String,
}

/// What was found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Whether training on it would be right: no problem of severity `error`.
    pub ok: bool,
    /// How the data set lies on disk.
    pub form: Form,
    /// The class list used; a guess where the data set brings none.
    pub classes: Classes,
    /// Everything wrong, errors first.
    pub problems: Vec<Problem>,
    /// Counts by split.
    pub splits: Vec<SplitReport>,
}

/// Counts over one split.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SplitReport {
    /// `train`, `val`, ...
    pub name: String,
    /// Samples that the split names.
    pub images: usize,
    /// Samples whose image and mask could be read and agree in size.
    pub usable: usize,
    /// By class id.
    pub per_class: Vec<ClassCount>,
    /// Pixels without a label.
    pub void_pixels: u64,
    /// Pixels whose mask value has no class.
    pub unknown_pixels: u64,
    /// `void_pixels` over all pixels, 0 to 1.
    pub void_share: f64,
    /// Image sizes with the number of images, commonest first; at most ten.
    pub sizes: Vec<SizeCount>,
    /// Number of different sizes.
    pub different_sizes: usize,
    /// Smallest width and height that occur, in pixels.
    pub smallest: Option<(usize, usize)>,
    /// Largest width and height that occur, in pixels.
    pub largest: Option<(usize, usize)>,
}

/// How often a class occurs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ClassCount {
    /// Class id.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// Images in which it occurs.
    pub images: u64,
    /// Its pixels.
    pub pixels: u64,
}

/// How many images have a size.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SizeCount {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Images of this size.
    pub images: usize,
}

/// Looks at a whole data set.
///
/// # Errors
/// Only when nothing can be looked at: no data set at the path, an unreadable list or class list, no such split.
/// Everything else is in the report.
pub fn check(options: &CheckOptions, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Report> {
    let layout = Layout::find(&options.data, options.seed)?;
    let named = layout.named_classes(options.classes.as_deref())?;
    let root = layout.root.clone();
    let placeholder = MaskCoding::from(&Classes::named((0..21).map(|id| format!("class_{id}"))));
    let mut dataset = Dataset::from_layout(layout, named.clone().unwrap_or(placeholder));
    if let Some(name) = &options.split {
        dataset.split_as_listed(name)?;
        dataset.retain(name);
    }
    let library = Library::read(&dataset, progress);
    let mut problems = Vec::new();
    if named.is_none() {
        let counts = library.values();
        let explained = explain(&counts);
        let (message, hint) = crate::dataset::folder::describe_missing_classes(&root, &counts, &explained);
        problems.push(Problem { code: "no_classes", severity: Severity::Error, id: None, message, hint });
        if let Some(guess) = explained.class_list.as_deref().and_then(|list| MaskCoding::parse(list).ok()) {
            dataset = dataset.recoded(guess);
        }
    }
    judge::lists(&dataset, &mut problems);
    if options.split.is_none() {
        judge::usual_splits(&dataset, &mut problems);
    }
    judge::samples(&library, options.min_size, &mut problems);
    judge::meaning(&dataset, &library, named.is_some(), &mut problems);
    judge::leaks(&dataset, &library, &mut problems);
    let splits: Vec<SplitReport> = dataset.all_splits().iter().map(|split| count(split, &library, &dataset)).collect();
    judge::unseen_classes(&splits, &mut problems);
    problems.sort_by_key(|p| p.severity); // stable: within a severity the order above stays
    Ok(Report {
        ok: problems.iter().all(|p| p.severity != Severity::Error),
        form: dataset.form,
        classes: dataset.classes,
        problems,
        splits,
    })
}

/// Counts over the samples of one split.
fn count(split: &crate::dataset::Split, library: &Library, dataset: &Dataset) -> SplitReport {
    let names = dataset.classes.names.iter().enumerate();
    let mut report = SplitReport {
        name: split.name().to_string(),
        images: split.len(),
        usable: 0,
        per_class: names.map(|(id, name)| ClassCount { id, name: name.clone(), images: 0, pixels: 0 }).collect(),
        void_pixels: 0,
        unknown_pixels: 0,
        void_share: 0.0,
        sizes: Vec::new(),
        different_sizes: 0,
        smallest: None,
        largest: None,
    };
    let mut sizes: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for seen in library.of(split) {
        report.usable += usize::from(seen.usable());
        if let Some(header) = seen.header {
            *sizes.entry((header.width, header.height)).or_default() += 1;
        }
        let mut present = vec![0u64; report.per_class.len()];
        for (value, &pixels) in &seen.values {
            match dataset.coding.id_of(*value).map(usize::from) {
                None => report.unknown_pixels += pixels,
                Some(id) => match present.get_mut(id) {
                    Some(count) => *count += pixels,
                    None => report.void_pixels += pixels,
                },
            }
        }
        for (class, pixels) in report.per_class.iter_mut().zip(present) {
            class.images += u64::from(pixels > 0);
            class.pixels += pixels;
        }
    }
    let labelled: u64 = report.per_class.iter().map(|c| c.pixels).sum();
    let total = labelled + report.void_pixels + report.unknown_pixels;
    report.void_share = report.void_pixels as f64 / total.max(1) as f64;
    let extreme = |pick: fn(usize, usize) -> usize| {
        let (first, rest) = sizes.keys().copied().collect::<Vec<_>>().split_first().map(|(f, r)| (*f, r.to_vec()))?;
        Some(rest.into_iter().fold(first, |(w, h), (x, y)| (pick(w, x), pick(h, y))))
    };
    (report.smallest, report.largest) = (extreme(usize::min), extreme(usize::max));
    report.different_sizes = sizes.len();
    let mut common: Vec<SizeCount> =
        sizes.iter().map(|(&(width, height), &images)| SizeCount { width, height, images }).collect();
    common.sort_by_key(|s| (std::cmp::Reverse(s.images), s.width, s.height));
    common.truncate(10);
    report.sizes = common;
    report
}

impl Library {
    /// Values over all masks.
    fn values(&self) -> ValueCounts {
        let mut counts = ValueCounts::default();
        self.all().filter(|seen| !seen.values.is_empty()).for_each(|seen| counts.add(&seen.values));
        counts
    }
}

impl Inspection {
    /// Whether image and mask could be read and agree in size.
    fn usable(&self) -> bool {
        self.faults.iter().all(|p| p.severity != Severity::Error) && !self.values.is_empty()
    }
}

#[cfg(test)]
mod tests;
