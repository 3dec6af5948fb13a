//! Opening a data set: recognise what lies there, list it, settle what its masks mean.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::entry::refuse_faults;
use super::layout::{Form, Layout, ListOptions};
use super::masks::explain::without_classes;
use super::masks::{refuse_contradicting_records, refuse_contradictions, refuse_one_class, samples};
use super::split::Split;
use crate::error::{Error, Result};
use crate::labels::{Classes, MaskCoding, MaskValues};

/// An opened data set.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The classes, ids `0..len()`.
    pub classes: Classes,
    /// What mask values and colours mean.
    pub coding: MaskCoding,
    /// How it lies on disk.
    pub form: Form,
    splits: Vec<Split>,
    /// Whether the masks contradict each other, once that was looked at.
    surveyed: Arc<OnceLock<Result<()>>>,
}

impl Dataset {
    /// Opens a VOC root, an `images/` + `masks/` folder, labels of COCO, labelme, CVAT, YOLO or Supervisely with their
    /// photographs, a record file, a folder of records, or a glob of records.
    ///
    /// `classes_file` names the classes; without it a `classes.txt` in the folder does, then `dataset.json`, then
    /// VOC's 21 classes for VOC roots and records. A folder without lists is split into `train` and `val` by a draw that
    /// depends on the names alone, so that no image moves from one to the other between two commands.
    ///
    /// # Errors
    /// Nothing recognisable at `path`; an `images/` + `masks/` folder without a class list (the error shows the values
    /// found and a class list to start from); a class list or record index that cannot be read.
    pub fn open(path: &Path, classes_file: Option<&Path>) -> Result<Dataset> {
        Self::open_with(path, classes_file, MaskValues::Stored)
    }

    /// As [`open`](Self::open), where `mask_values` says what counts in masks that hold both an index and a colour.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_with(path: &Path, classes_file: Option<&Path>, mask_values: MaskValues) -> Result<Dataset> {
        let options = ListOptions { classes: classes_file, mask_values };
        let layout = Layout::find(path, &options)?;
        let coding = match layout.named_classes(&options)? {
            Some(coding) => coding,
            None => return Err(without_classes(&layout)),
        };
        Ok(Self::from_layout(layout, coding))
    }

    pub(crate) fn from_layout(layout: Layout, coding: MaskCoding) -> Dataset {
        let shared = Arc::new(coding.clone());
        let splits = layout.listings.into_iter().map(|listing| Split::new(listing, shared.clone()));
        Dataset {
            classes: coding.classes.clone(),
            form: layout.form,
            splits: splits.collect(),
            coding,
            surveyed: Arc::default(),
        }
    }

    pub(crate) fn all_splits(&self) -> &[Split] {
        &self.splits
    }

    /// Drops every split but `name`.
    pub(crate) fn retain(&mut self, name: &str) {
        self.splits.retain(|s| s.name() == name);
    }

    /// The same files under another class list.
    pub(crate) fn recoded(self, coding: MaskCoding) -> Dataset {
        let shared = Arc::new(coding.clone());
        let splits = self.splits.into_iter().map(|split| split.recoded(shared.clone())).collect();
        Dataset { classes: coding.classes.clone(), coding, splits, surveyed: Arc::default(), ..self }
    }

    /// Names of the splits, sorted.
    pub fn splits(&self) -> Vec<String> {
        self.splits.iter().map(|s| s.name().to_string()).collect()
    }

    /// The split called `name`, all of whose images and masks were found at opening, and whose masks agree with each
    /// other and those of the other splits: the headers of all mask files are read once, at the first call.
    ///
    /// # Errors
    /// No such split (the error names those there are); an empty split; missing files, duplicate or unsafe ids (all
    /// counted, the first ones named); masks whose palettes or depths contradict each other or the class list.
    pub fn split(&self, name: &str) -> Result<Split> {
        let split = self.split_as_listed(name)?;
        refuse_faults(name, split.faults())?;
        if split.is_empty() {
            return Err(Error::data(format!("split `{name}` is empty"))
                .hint(format!("splits here: {}", self.describe_splits())));
        }
        self.refuse_contradictions()?;
        Ok(split)
    }

    /// Refuses masks whose palettes or depths contradict each other or the class list.
    pub(crate) fn refuse_contradictions(&self) -> Result<()> {
        let look = || {
            let (samples, _) = samples(&self.splits);
            let files = samples.iter().filter_map(|&(split, i)| Some((split.id(i), split.mask_file(i)?)));
            refuse_contradictions(&files.collect::<Vec<_>>(), &self.coding)?;
            match self.form {
                Form::Records => refuse_contradicting_records(&samples, &self.coding),
                _ => Ok(()),
            }
        };
        self.surveyed.get_or_init(look).clone()
    }

    /// Refuses a data set in whose masks fewer than two classes occur: nothing can be learnt from it, and every score of
    /// it is perfect. Reads masks until two classes are found.
    ///
    /// # Errors
    /// One class, or void, in all masks.
    pub fn refuse_one_class(&self) -> Result<()> {
        refuse_one_class(&self.splits, &self.coding)
    }

    /// The split called `name` with everything its list names, present or not; [`Split::faults`] lists what is wrong.
    ///
    /// # Errors
    /// No such split.
    pub fn split_as_listed(&self, name: &str) -> Result<Split> {
        self.splits.iter().find(|s| s.name() == name).cloned().ok_or_else(|| {
            Error::data(format!("there is no split `{name}`")).hint(format!("splits here: {}", self.describe_splits()))
        })
    }

    fn describe_splits(&self) -> String {
        let described: Vec<String> = self.splits.iter().map(|s| format!("{} ({})", s.name(), s.len())).collect();
        if described.is_empty() { "none".into() } else { described.join(", ") }
    }
}
