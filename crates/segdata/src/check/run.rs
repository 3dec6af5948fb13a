//! The check from beginning to end.

use std::path::PathBuf;

use super::count::{SplitReport, count};
use super::inspect::Library;
use super::problem::{Problem, Severity};
use super::rules;
use crate::dataset::explain::{describe_missing_classes, explain};
use crate::dataset::{Dataset, Form, Layout, OpenOptions};
use crate::error::Result;
use crate::labels::{Classes, MaskCoding};

/// What to look at.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The data set.
    pub data: PathBuf,
    /// What is said about it.
    pub open: OpenOptions,
    /// Only this split.
    pub split: Option<String>,
    /// Images with a shorter side below this are reported, in pixels.
    pub min_size: usize,
}

/// What was found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Whether training on it would be right: no problem of severity `error`.
    pub ok: bool,
    /// How the data set lies on disk: the word that `layout` takes.
    pub layout: Form,
    /// The class list used; a guess where the data set brings none.
    pub classes: Classes,
    /// Everything wrong, errors first.
    pub problems: Vec<Problem>,
    /// Counts by split.
    pub splits: Vec<SplitReport>,
}

/// Looks at a whole data set.
///
/// # Errors
/// Only when nothing can be looked at: no data set at the path, an unreadable list or class list, no such split.
/// Everything else is in the report.
pub fn check(options: &CheckOptions, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Report> {
    let layout = Layout::find(&options.data, &options.open)?;
    let named = layout.named_classes(&options.open)?;
    let tree = layout.tree.clone();
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
        let (message, hint) = describe_missing_classes(&tree, &counts, &explained);
        problems.push(Problem { code: "no_classes", severity: Severity::Error, id: None, message, hint });
        if let Some(guess) = explained.class_list.as_deref().and_then(|list| MaskCoding::parse(list).ok()) {
            dataset = dataset.recoded(guess);
        }
    }
    rules::lists(&dataset, &mut problems);
    if options.split.is_none() {
        rules::usual_splits(&dataset, &mut problems);
    }
    rules::samples(&library, options.min_size, &mut problems);
    rules::meaning(&dataset, &library, named.is_some(), &mut problems);
    rules::leaks(&dataset, &library, &mut problems);
    let splits: Vec<SplitReport> = dataset.all_splits().iter().map(|split| count(split, &library, &dataset)).collect();
    rules::unseen_classes(&splits, &mut problems);
    problems.sort_by_key(|p| p.severity); // stable: within a severity the order above stays
    Ok(Report {
        ok: problems.iter().all(|p| p.severity != Severity::Error),
        layout: dataset.form,
        classes: dataset.classes,
        problems,
        splits,
    })
}
