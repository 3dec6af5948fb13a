//! Writing the samples of a data set in files.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::form::FileForm;
use super::ids;
use super::proof::{Written, proven};
use super::stage::Stage;
use crate::convert::label_files::{CocoFile, Names, Object, objects, readable};
use crate::convert::options::{ConvertOptions, Target};
use crate::convert::report::ConvertedSplit;
use crate::convert::writer::{Sample, Writer};
use crate::dataset::Split;
use crate::error::{Error, Result};
use crate::image::encode_mask_png;
use crate::labels::{Classes, VOID, voc_colour};
use crate::size::Size;

/// A data set in files on its way.
pub(in crate::convert) struct Files {
    stage: Stage,
    form: FileForm,
    replace: bool,
    classes: Classes,
    /// Names of the categories, of COCO's form.
    names: Option<Names>,
    coco: Option<CocoFile>,
    /// Ids that differ from another in the case of letters alone.
    alike: HashSet<String>,
    /// The splits that were begun.
    written: Vec<Written>,
    /// Ids of the split that was begun last, in their order.
    listed: Vec<String>,
    /// What each id stands for, and in which split it was written first.
    known: HashMap<String, (String, [u8; 32])>,
}

/// A sample whose files are written.
pub(in crate::convert) struct Ready {
    /// Its photograph, from the folder of the split's photographs.
    photograph: String,
    size: Size,
    objects: Vec<Object>,
    digest: [u8; 32],
}

impl Files {
    /// Begins a data set of `classes` in the form that the options name.
    ///
    /// # Errors
    /// Splits or classes that the form cannot hold; a place that holds something else; what the system refuses.
    pub fn begin(to: Target, options: &ConvertOptions, classes: &Classes, splits: &[Split]) -> Result<Self> {
        let form = FileForm::of(to)?;
        form.refuse_splits(splits)?;
        let names = match form {
            FileForm::Coco => Some(Names::of(classes, true)?),
            FileForm::Folder | FileForm::Voc => None,
        };
        let list = names.as_ref().map_or_else(|| classes.to_text(), |names| names.list.clone());
        readable(&list, classes)?;
        let stage = Stage::begin(&options.out, options.overwrite)?;
        let files = Files {
            stage,
            form,
            replace: options.overwrite,
            classes: classes.clone(),
            names,
            coco: None,
            alike: ids::differing_in_case_alone(splits),
            written: Vec::new(),
            listed: Vec::new(),
            known: HashMap::new(),
        };
        files.file(Path::new("classes.txt"), list.as_bytes())?;
        if let Some(list) = labelmap(classes).filter(|_| form == FileForm::Voc) {
            files.file(Path::new("labelmap.txt"), list.as_bytes())?;
        }
        Ok(files)
    }

    /// Writes a file below the folder, which does not lie at its place yet.
    fn file(&self, name: &Path, bytes: &[u8]) -> Result<()> {
        let path = self.stage.folder.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, &e))?;
        }
        std::fs::write(&path, bytes).map_err(|e| {
            Error::io("write", &path, &e)
                .hint("free space on the disk or choose another `out`; nothing half-written is left")
        })
    }

    /// Refuses an id that is no name of a file; whether its files are written already, for another split.
    fn is_written(&self, split: &str, id: &str, digest: &[u8; 32]) -> Result<bool> {
        let refused = |what: String| {
            Error::data(format!("id `{}` {what}", id.escape_debug()))
                .hint("rename the photograph and its mask, or write `to records`, which hold any id")
        };
        if let Some(fault) = ids::fault(id) {
            return Err(refused(format!("{fault}: it is no name of a file on every system")));
        }
        if self.alike.contains(id) {
            return Err(refused(
                "differs from another in the case of letters alone: some systems take the two for one file".into(),
            ));
        }
        let earlier = self.known.get(id).filter(|(first, _)| first != split);
        match (self.form, earlier) {
            (FileForm::Coco, _) | (_, None) => Ok(false),
            (FileForm::Voc, Some((_, known))) if known == digest => Ok(true),
            (FileForm::Voc, Some((first, _))) => Err(refused(format!(
                "is in split `{first}` with another photograph or mask, and both would be one file"
            ))),
            (FileForm::Folder, Some((first, _))) => {
                Err(refused(format!("is in split `{first}` too, and would be called `{split}/{id}` when it is read")))
            }
        }
    }
}

/// The class list that CVAT and datumaro look for in a VOC root; `None` where a name holds what separates its fields.
fn labelmap(classes: &Classes) -> Option<String> {
    let line = |(name, [r, g, b]): (&str, [u8; 3])| (!name.contains(':')).then(|| format!("{name}:{r},{g},{b}::\n"));
    let named = classes.names.iter().map(String::as_str).zip(classes.palette.iter().copied());
    named.chain([("void", voc_colour(VOID))]).map(line).collect()
}

impl Writer for Files {
    type Ready = Ready;

    fn parts(&self, _: &Split) -> usize {
        1
    }

    fn begin(&mut self, split: &Split, _: usize) -> Result<()> {
        self.written.push((split.name().to_string(), BTreeSet::new()));
        if let (Some(names), Some(list)) = (&self.names, self.form.list(split.name())) {
            let path = self.stage.folder.join(list);
            let folder = path.parent().unwrap_or(&path);
            std::fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, &e))?;
            self.coco = Some(CocoFile::begin(&path, names)?);
        }
        Ok(())
    }

    fn ready(&self, split: &str, Sample { id, encoded, header, labels }: Sample) -> Result<Ready> {
        let photograph = format!("{id}.{}", header.format.extension());
        let mut hasher = blake3::Hasher::new();
        hasher.update(blake3::hash(&encoded).as_bytes()).update(&labels.ids);
        let digest = hasher.finalize().into();
        let written = self.is_written(split, &id, &digest)?;
        let objects = self.names.as_ref().map_or(Ok(Vec::new()), |names| objects(&labels, names))?;
        if !written {
            self.file(&self.form.images(split).join(&photograph), &encoded)?;
            if let Some(masks) = self.form.masks(split) {
                self.file(&masks.join(format!("{id}.png")), &encode_mask_png(&labels, &self.classes)?)?;
            }
        }
        Ok(Ready { photograph, size: labels.size(), objects, digest })
    }

    fn write(&mut self, id: String, ready: Ready) -> Result<()> {
        if let Some(coco) = &mut self.coco {
            coco.add(ready.photograph, ready.size, &ready.objects)?;
        }
        if let Some((split, ids)) = self.written.last_mut() {
            ids.insert(id.clone());
            self.known.entry(id.clone()).or_insert_with(|| (split.clone(), ready.digest));
        }
        self.listed.push(id);
        Ok(())
    }

    fn end(&mut self) -> Result<Vec<PathBuf>> {
        let Some((split, _)) = self.written.last() else { return Ok(Vec::new()) };
        let ids = std::mem::take(&mut self.listed);
        match (self.coco.take(), self.form.list(split)) {
            (Some(coco), _) => coco.finish()?,
            (None, Some(list)) => {
                self.file(&list, ids.iter().map(|id| format!("{id}\n")).collect::<String>().as_bytes())?
            }
            (None, None) => {}
        }
        let parts = [self.form.list(split), Some(self.form.images(split)), self.form.masks(split)];
        Ok(parts.into_iter().flatten().map(|part| self.stage.place.join(part)).collect())
    }

    fn finish(self, classes: &Classes, _: &[ConvertedSplit]) -> Result<String> {
        let layout = self.form.layout();
        let fingerprint = proven(&self.stage.folder, layout, classes, &self.written)?;
        self.stage.publish(&layout.to_string(), &fingerprint, self.replace)?;
        Ok(fingerprint)
    }
}
