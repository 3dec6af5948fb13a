//! Opening a data set: recognise what lies there, list it, settle what its masks mean.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::entry::{LeftOut, refuse_faults};
use super::layout::{Form, Layout, OpenOptions};
use super::masks::explain::without_classes;
use super::masks::{refuse_contradicting_records, refuse_contradictions, refuse_one_class, samples};
use super::split::Split;
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::ReadOptions;
use crate::labels::{Classes, MaskCoding};

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
    /// What lies in the folders of photographs and masks and is neither, in a sentence.
    left_out: Option<String>,
    tree: Tree,
    /// Whether the masks contradict each other, once that was looked at.
    surveyed: Arc<OnceLock<Result<()>>>,
}

impl Dataset {
    /// Opens a folder of any layout in [`Form`], a zip or tar archive of one, a file of labels, a record file, or a glob of
    /// records.
    ///
    /// `classes_file` names the classes; without it a `classes.txt` in the folder does, or the class list of another
    /// program (`labelmap.txt`, `class_dict.csv`, `_classes.csv`, `id2label.json`, `data.yaml`), then what the layout says:
    /// `dataset.json`, the classes of a published set, VOC's 21 for VOC roots and records. A set without lists is split into `train` and `val` by a draw that
    /// depends on the names alone, so that no image moves from one to the other between two commands.
    ///
    /// # Errors
    /// Nothing recognisable at `path`, or two layouts; a set without a class list (the error shows the values
    /// found and a class list to start from); a class list or record index that cannot be read.
    pub fn open(path: &Path, classes_file: Option<&Path>) -> Result<Dataset> {
        Self::open_with(path, &OpenOptions::with_classes(classes_file))
    }

    /// [`open`](Self::open) where more than a class list is said about the data.
    ///
    /// # Errors
    /// As [`open`](Self::open); a layout that is said but not there; folders that are said but not there.
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Dataset> {
        let layout = Layout::find(path, options)?;
        let coding = match layout.named_classes(options)? {
            Some(coding) => coding,
            None => return Err(without_classes(&layout)),
        };
        Ok(Self::from_layout(layout, coding, options.reading))
    }

    pub(crate) fn from_layout(layout: Layout, coding: MaskCoding, reading: ReadOptions) -> Dataset {
        let shared = Arc::new(coding.clone());
        let mut left_out = LeftOut::default();
        let mut splits = Vec::new();
        for mut listing in layout.listings {
            left_out.merge(std::mem::take(&mut listing.left_out));
            splits.push(Split::new(listing, shared.clone(), layout.tree.clone(), reading));
        }
        Dataset {
            classes: coding.classes.clone(),
            form: layout.form,
            splits,
            left_out: left_out.sentence().filter(|_| !layout.form.is_published()),
            coding,
            tree: layout.tree.clone(),
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

    /// Samples that the lists name, all splits together.
    pub fn listed(&self) -> usize {
        self.splits.iter().map(Split::len).sum()
    }

    /// Names of the splits, sorted.
    pub fn splits(&self) -> Vec<String> {
        self.splits.iter().map(|s| s.name().to_string()).collect()
    }

    /// Files in the folders of photographs and masks that are neither by their names, counted, in one sentence; `None`
    /// where there are none, and of published sets, which bring files of other kinds.
    pub fn left_out(&self) -> Option<&str> {
        self.left_out.as_deref()
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
            refuse_contradictions(&self.tree, &files.collect::<Vec<_>>(), &self.coding)?;
            match self.form {
                Form::Records | Form::Parquet => refuse_contradicting_records(&samples, &self.coding),
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
