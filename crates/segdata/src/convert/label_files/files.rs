//! The label files of a folder, picture by picture.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::coco::{CocoFile, objects};
use super::cvat::CvatFile;
use super::names::Names;
use super::{labelme, yolo};
use crate::error::{Error, Result};
use crate::files::read::read;
use crate::files::write::write_bytes_atomically;
use crate::labels::{Classes, LabelMap};

/// The class list beside the label files.
const CLASS_LIST: &str = "classes.txt";

/// Whose label files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelFormat {
    /// COCO's instances: `annotations.json`.
    Coco,
    /// labelme: `NAME.json` a picture.
    Labelme,
    /// CVAT for images 1.1: `annotations.xml`.
    Cvat,
    /// YOLO segmentation: `labels/NAME.txt` a picture, and `data.yaml`.
    Yolo,
}

impl LabelFormat {
    /// The file of a picture called `stem`, from the folder of the label files.
    pub fn file_of(self, stem: &OsStr) -> PathBuf {
        let with = |end: &str| {
            let mut name = OsString::from(stem);
            name.push(end);
            name
        };
        match self {
            LabelFormat::Coco => "annotations.json".into(),
            LabelFormat::Cvat => "annotations.xml".into(),
            LabelFormat::Labelme => with(".json").into(),
            LabelFormat::Yolo => Path::new("labels").join(with(".txt")),
        }
    }

    /// The file of all pictures together, beside those of single ones, from the folder of the label files.
    pub fn common_file(self) -> Option<PathBuf> {
        match self {
            LabelFormat::Coco | LabelFormat::Cvat => Some(self.file_of(OsStr::new(""))),
            LabelFormat::Labelme => None,
            LabelFormat::Yolo => Some("data.yaml".into()),
        }
    }

    /// Whether objects have outlines, which can be simplified.
    pub fn has_outlines(self) -> bool {
        self != LabelFormat::Coco
    }
}

/// What is written, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelOptions {
    /// The format.
    pub format: LabelFormat,
    /// How far an outline may lie from a corner that is left out, in pixels; with 0 every corner stays.
    pub simplify: f64,
    /// Whether label maps may hold void, which is a label of its own then.
    pub void: bool,
}

/// A picture: where its photograph lies, and what its label files are called.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// The photograph.
    pub photograph: &'a Path,
    /// The name of its results, without an ending.
    pub stem: &'a OsStr,
}

/// Label files in a folder, while they are written. What one file holds of all pictures appears at the end, by
/// [`LabelFiles::finish`]; without that, nothing of it is left behind.
pub struct LabelFiles {
    folder: PathBuf,
    options: LabelOptions,
    names: Names,
    common: Common,
}

enum Common {
    Coco(CocoFile),
    Cvat(CvatFile),
    None,
}

impl LabelFiles {
    /// Begins the label files of `classes` in `folder`, which is made if need be.
    ///
    /// # Errors
    /// A tolerance that is no number of pixels; classes that a class list cannot hold; another class list in the folder;
    /// what the system refuses.
    pub fn begin(folder: &Path, classes: &Classes, options: LabelOptions) -> Result<Self> {
        if !(0.0..=f64::MAX).contains(&options.simplify) {
            return Err(Error::usage(format!(
                "outlines cannot lie within {} pixels of their corners",
                options.simplify
            ))
            .hint("give `simplify` a number of pixels from 0 on"));
        }
        let names = Names::of(classes, options.void)?;
        let labels = folder.join(options.format.file_of(OsStr::new("")));
        let below = labels.parent().unwrap_or(folder);
        std::fs::create_dir_all(below).map_err(|e| Error::io("make the folder", below, &e))?;
        let list = folder.join(CLASS_LIST);
        if list.exists() && read("the class list", &list)? != names.list.as_bytes() {
            return Err(Error::usage("the folder has a class list already, and it is another one")
                .at(&list)
                .hint("give another folder with `out`, or move the list away"));
        }
        let common = match options.format {
            LabelFormat::Coco => Common::Coco(CocoFile::begin(&labels, &names)?),
            LabelFormat::Cvat => Common::Cvat(CvatFile::begin(&labels, &names)?),
            LabelFormat::Labelme | LabelFormat::Yolo => Common::None,
        };
        Ok(LabelFiles { folder: folder.to_path_buf(), options, names, common })
    }

    /// Writes the labels of a picture; returns the file that holds them, or will.
    ///
    /// # Errors
    /// A label map that is none or holds an id without a class; what the system refuses.
    pub fn add(&mut self, picture: &Picture<'_>, labels: &LabelMap) -> Result<PathBuf> {
        let path = self.folder.join(self.options.format.file_of(picture.stem));
        let name = picture.photograph.file_name().unwrap_or(picture.photograph.as_os_str());
        let (name, simplify) = (name.to_string_lossy(), self.options.simplify);
        labels.ids.iter().find_map(|&id| self.names.name(id).err()).map_or(Ok(()), Err)?;
        match &mut self.common {
            Common::Coco(file) => file.add(name.into_owned(), labels.size(), &objects(labels, &self.names)?)?,
            Common::Cvat(file) => file.add(&name, labels, &self.names, simplify)?,
            Common::None if self.options.format == LabelFormat::Yolo => {
                yolo::write(&path, labels, &self.names, simplify)?;
            }
            Common::None => labelme::write(&path, picture.photograph, labels, &self.names, simplify)?,
        }
        Ok(path)
    }

    /// Writes what is common to all pictures.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn finish(self) -> Result<()> {
        write_bytes_atomically(&self.folder.join(CLASS_LIST), self.names.list.as_bytes())?;
        match self.common {
            Common::Coco(file) => file.finish(),
            Common::Cvat(file) => file.finish(),
            Common::None => match self.options.format.common_file() {
                Some(config) => write_bytes_atomically(&self.folder.join(config), yolo::config(&self.names).as_bytes()),
                None => Ok(()),
            },
        }
    }
}
