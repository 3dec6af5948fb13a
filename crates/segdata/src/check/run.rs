//! The check from beginning to end.

use std::path::{Path, PathBuf};

use super::count::{SplitReport, count};
use super::inspect::Library;
use super::problem::{Problem, Severity};
use super::rules;
use super::show::{self, CheckPictures};
use crate::dataset::masks::explain::{describe_missing_classes, explain};
use crate::dataset::{Dataset, Form, Layout, OpenOptions};
use crate::error::{Error, Result};
use crate::files::write::write_bytes_atomically;
use crate::labels::{Classes, MaskCoding, MaskValues};

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
    /// Pictures that are drawn too.
    pub pictures: Option<CheckPictures>,
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
    /// A class list under which the masks mean something, where another than the one used is proposed.
    pub class_list: Option<String>,
    /// Everything wrong, errors first.
    pub problems: Vec<Problem>,
    /// Counts by split.
    pub splits: Vec<SplitReport>,
    /// The pictures drawn, where any were asked for.
    pub pictures: Vec<PathBuf>,
}

impl Report {
    /// Writes the class list that is proposed to a new file.
    ///
    /// # Errors
    /// No class list is proposed, because the one used fits or because the masks fit none; a file that exists already;
    /// what the system refuses.
    pub fn write_class_list(&self, file: &Path) -> Result<()> {
        let Some(list) = &self.class_list else {
            return Err(Error::data("there is no class list to propose").hint(match self.ok {
                true => "the one used fits the masks",
                false => "the problems above say what the masks hold",
            }));
        };
        if file.exists() {
            return Err(Error::usage("the file exists already").at(file).hint("name a new file with `write_classes`"));
        }
        write_bytes_atomically(file, list.as_bytes())
    }
}

/// Looks at a whole data set.
///
/// # Errors
/// Only when nothing can be looked at: no data set at the path, an unreadable list or class list, no such split.
/// A folder for pictures that cannot be written. Everything else is in the report.
pub fn check(options: &CheckOptions, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Report> {
    let layout = Layout::find(&options.data, &options.open)?;
    let named = layout.named_classes(&options.open)?;
    let tree = layout.tree.clone();
    let placeholder = MaskCoding::from(&Classes::named((0..21).map(|id| format!("class_{id}"))));
    let mut dataset = Dataset::from_layout(layout, named.clone().unwrap_or(placeholder), options.open.reading);
    if let Some(name) = &options.split {
        dataset.split_as_listed(name)?;
        dataset.retain(name);
    }
    // Without a class list the values are those of the files, unless colours were asked for.
    let by_colour = || dataset.coding.clone().with_mask_values(options.open.mask_values);
    let reading = named.clone().or_else(|| (options.open.mask_values == MaskValues::Colour).then(by_colour));
    let library = Library::read(&dataset, reading.as_ref(), progress);
    let (mut problems, mut class_list) = (Vec::new(), None);
    if named.is_none() {
        let counts = library.values();
        let explained = explain(&counts);
        let (message, hint) = describe_missing_classes(&tree, &counts, &explained);
        problems.push(Problem { code: "no_classes", severity: Severity::Error, id: None, message, hint });
        class_list = explained.class_list;
        if let Some(guess) = class_list.as_deref().and_then(|list| MaskCoding::parse(list).ok()) {
            dataset = dataset.recoded(guess.with_mask_values(options.open.mask_values));
        }
    }
    rules::lists(&dataset, &mut problems);
    rules::left_out(&dataset, &mut problems);
    if options.split.is_none() {
        rules::usual_splits(&dataset, &mut problems);
    }
    rules::samples(&library, options.min_size, &mut problems);
    rules::meaning(&dataset, &library, named.is_some(), &mut problems);
    rules::contradicting(&dataset, &library, &mut problems);
    rules::leaks(&dataset, &library, &mut problems);
    rules::sixteen_bits(&library, &options.open.reading, &mut problems);
    let splits: Vec<SplitReport> = dataset.all_splits().iter().map(|split| count(split, &library, &dataset)).collect();
    rules::unseen_classes(&splits, &mut problems);
    if class_list.is_none() && problems.iter().any(|p| ["unknown_values", "one_class"].contains(&p.code)) {
        class_list = explain(&library.values()).class_list;
    }
    let pictures = match &options.pictures {
        Some(wanted) => show::draw(&dataset, &splits, wanted)?,
        None => Vec::new(),
    };
    problems.sort_by_key(|p| p.severity); // stable: within a severity the order above stays
    Ok(Report {
        ok: problems.iter().all(|p| p.severity != Severity::Error),
        layout: dataset.form,
        classes: dataset.classes,
        class_list,
        problems,
        splits,
        pictures,
    })
}
