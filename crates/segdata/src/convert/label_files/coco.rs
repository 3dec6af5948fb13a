//! COCO's instances: every region as run lengths, exact to the pixel.
//!
//! Format: <https://cocodataset.org/#format-data>. The id of a category is that of its class plus 1, that of void the
//! number of classes plus 1. Annotations are written as they come, the pictures after them: the order of the keys is free, and only the
//! names of the pictures are held. Void is a category where it occurs.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::names::{Named, Names};
use crate::error::{Error, Result};
use crate::files::write::UnfinishedFile;
use crate::image::shapes::regions;
use crate::labels::{LabelMap, VOID};
use crate::size::Size;

#[derive(Serialize)]
struct Info {
    description: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Category<'a> {
    id: usize,
    name: &'a str,
    supercategory: &'static str,
    /// As in COCO's panoptic files; other readers pass it over.
    color: [u8; 3],
}

#[derive(Serialize)]
struct Image {
    id: usize,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Serialize)]
struct Annotation<'a> {
    id: usize,
    image_id: usize,
    category_id: usize,
    segmentation: Segmentation<'a>,
    area: u64,
    /// Left, top, width, height.
    bbox: [u32; 4],
    iscrowd: u8,
}

#[derive(Serialize)]
struct Segmentation<'a> {
    /// Height, width.
    size: [usize; 2],
    counts: &'a str,
}

/// A region as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::convert) struct Object {
    /// Class id, or void.
    id: u8,
    /// Run lengths as text.
    counts: String,
    area: u64,
    bbox: [u32; 4],
}

/// The objects of a label map: its regions but those of the background.
///
/// # Errors
/// Those of [`regions`].
pub(in crate::convert) fn objects(labels: &LabelMap, names: &Names) -> Result<Vec<Object>> {
    let drawn = regions(labels)?.into_iter().filter(|region| Some(region.id) != names.background);
    let object = |region: crate::image::shapes::Region| {
        let (runs, [[left, top], [right, bottom]]) = (region.runs(labels.size()), region.bounds());
        let bbox = [left, top, right - left, bottom - top];
        Object { id: region.id, counts: runs.to_text(), area: runs.area(), bbox }
    };
    Ok(drawn.map(object).collect())
}

/// The file while it is written.
pub(in crate::convert) struct CocoFile {
    file: UnfinishedFile,
    names: Names,
    /// Whether a pixel is void.
    void: bool,
    images: Vec<Image>,
    annotations: usize,
}

impl CocoFile {
    /// Begins the file at `path`.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn begin(path: &Path, names: &Names) -> Result<Self> {
        let (file, names) = (UnfinishedFile::create(path)?, names.clone());
        let mut coco = CocoFile { file, names, void: false, images: Vec::new(), annotations: 0 };
        let description = "regions of label maps; the id of a category is the class id plus 1";
        coco.text("{\"info\": ")?;
        coco.json(&Info { description, version: env!("CARGO_PKG_VERSION") })?;
        coco.text(",\n\"licenses\": [],\n\"annotations\": [")?;
        Ok(coco)
    }

    /// Writes the objects of one picture, called `file_name` and of `size`.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn add(&mut self, file_name: String, size: Size, objects: &[Object]) -> Result<()> {
        let image_id = self.images.len() + 1;
        for Object { id, counts, area, bbox } in objects {
            self.text(if self.annotations == 0 { "\n" } else { ",\n" })?;
            self.annotations += 1;
            self.void |= *id == VOID;
            let annotation = Annotation {
                id: self.annotations,
                image_id,
                category_id: self.category(*id),
                segmentation: Segmentation { size: [size.height, size.width], counts },
                area: *area,
                bbox: *bbox,
                iscrowd: 0,
            };
            self.json(&annotation)?;
        }
        self.images.push(Image { id: image_id, file_name, width: size.width, height: size.height });
        Ok(())
    }

    /// Writes the lists of categories and pictures and gives the file its name.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn finish(mut self) -> Result<()> {
        let (names, images) = (self.names.clone(), std::mem::take(&mut self.images));
        let used = names.all().filter(|named| named.id != VOID || self.void);
        let category =
            |Named { id, name, colour }| Category { id: self.category(id), name, supercategory: "", color: colour };
        let categories: Vec<Category<'_>> = used.map(category).collect();
        self.text("],\n\"categories\": ")?;
        self.json(&categories)?;
        self.text(",\n\"images\": ")?;
        self.json(&images)?;
        self.text("}\n")?;
        self.file.finish()
    }

    fn category(&self, id: u8) -> usize {
        1 + if id == VOID { self.names.len() } else { id.into() }
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).map_err(|e| Error::io("write", self.file.path(), &e))
    }

    fn json<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let text = serde_json::to_string(value).map_err(|e| Error::internal(format!("no JSON of an object: {e}")))?;
        self.text(&text)
    }
}
