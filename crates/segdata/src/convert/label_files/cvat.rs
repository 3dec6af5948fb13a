//! CVAT for images 1.1: one XML file with the objects of all pictures.
//!
//! Format: <https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/>. A region without holes is a polygon, one with
//! holes a mask, so that no object lies under another and `z_order` is 0 throughout.

use std::io::Write;
use std::path::Path;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::names::{Named, Names};
use crate::error::{Error, Result};
use crate::files::write::UnfinishedFile;
use crate::image::shapes::{Region, regions};
use crate::labels::LabelMap;

/// The file while it is written.
pub(super) struct CvatFile {
    writer: Writer<UnfinishedFile>,
    images: usize,
}

impl CvatFile {
    /// Begins the file at `path` with its labels.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn begin(path: &Path, names: &Names) -> Result<Self> {
        let writer = Writer::new_with_indent(UnfinishedFile::create(path)?, b' ', 2);
        let mut cvat = CvatFile { writer, images: 0 };
        let begun = cvat.head(names);
        begun.map_err(|e| Error::io("write", path, &e))?;
        Ok(cvat)
    }

    fn head(&mut self, names: &Names) -> std::io::Result<()> {
        self.writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
        self.writer.write_event(Event::Start(BytesStart::new("annotations")))?;
        text(&mut self.writer, "version", "1.1")?;
        let meta = self.writer.create_element("meta");
        meta.write_inner_content(|writer| {
            writer.create_element("task").write_inner_content(|writer| {
                text(writer, "name", "label maps")?;
                text(writer, "mode", "annotation")?;
                let labels = writer.create_element("labels");
                labels.write_inner_content(|writer| names.all().try_for_each(|named| label(writer, named)))?;
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(())
    }

    /// Writes the objects of one picture, called `file_name`: outlines simplified within `simplify` pixels.
    ///
    /// # Errors
    /// A label map that is none; a name with a control character, which XML cannot hold; what the system refuses.
    pub fn add(&mut self, file_name: &str, labels: &LabelMap, names: &Names, simplify: f64) -> Result<()> {
        if file_name.chars().any(char::is_control) {
            let shown = file_name.escape_debug();
            return Err(Error::data(format!(
                "the name `{shown}` holds a control character, which XML has no way to write"
            ))
            .hint("rename the photograph"));
        }
        let drawn = regions(labels)?.into_iter().filter(|region| Some(region.id) != names.background);
        let objects = drawn.map(|region| object(&region, names, simplify)).collect::<Result<Vec<_>>>()?;
        let numbers = [self.images, labels.width, labels.height].map(|n| n.to_string());
        let image = self.writer.create_element("image").with_attributes([
            ("id", numbers[0].as_str()),
            ("name", file_name),
            ("width", &numbers[1]),
            ("height", &numbers[2]),
        ]);
        let written = image.write_inner_content(|writer| {
            objects.into_iter().try_for_each(|object| writer.write_event(Event::Empty(object)))
        });
        self.images += 1;
        written.map(drop).map_err(|e| Error::io("write", self.writer.get_ref().path(), &e))
    }

    /// Closes the file and gives it its name.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn finish(mut self) -> Result<()> {
        let end = |writer: &mut Writer<UnfinishedFile>| {
            writer.write_event(Event::End(BytesEnd::new("annotations")))?;
            writer.get_mut().write_all(b"\n")
        };
        end(&mut self.writer).map_err(|e| Error::io("write", self.writer.get_ref().path(), &e))?;
        self.writer.into_inner().finish()
    }
}

fn text(writer: &mut Writer<UnfinishedFile>, tag: &str, content: &str) -> std::io::Result<()> {
    writer.create_element(tag).write_text_content(BytesText::new(content)).map(drop)
}

fn label(writer: &mut Writer<UnfinishedFile>, named: Named<'_>) -> std::io::Result<()> {
    let [r, g, b] = named.colour;
    let content = |writer: &mut Writer<UnfinishedFile>| {
        text(writer, "name", named.name)?;
        text(writer, "color", &format!("#{r:02x}{g:02x}{b:02x}"))?;
        text(writer, "type", "any")?;
        text(writer, "attributes", "")
    };
    writer.create_element("label").write_inner_content(content).map(drop)
}

/// The tag of a region: `<polygon>`, or `<mask>` where it has holes.
fn object<'a>(region: &Region, names: &Names, simplify: f64) -> Result<BytesStart<'a>> {
    let mut tag = BytesStart::new(if region.holes.is_empty() { "polygon" } else { "mask" });
    tag.push_attribute(("label", names.name(region.id)?));
    tag.push_attribute(("source", "auto"));
    tag.push_attribute(("occluded", "0"));
    if region.holes.is_empty() {
        let point = |[x, y]: [u32; 2]| format!("{x}.00,{y}.00");
        let points: Vec<String> = region.outline.simplified(simplify).into_iter().map(point).collect();
        tag.push_attribute(("points", points.join(";").as_str()));
    } else {
        let patch = region.patch()?;
        let counts: Vec<String> = patch.counts().iter().map(u32::to_string).collect();
        let ([left, top], size) = (patch.place(), patch.size());
        tag.push_attribute(("rle", counts.join(", ").as_str()));
        tag.push_attribute(("left", left.to_string().as_str()));
        tag.push_attribute(("top", top.to_string().as_str()));
        tag.push_attribute(("width", size.width.to_string().as_str()));
        tag.push_attribute(("height", size.height.to_string().as_str()));
    }
    tag.push_attribute(("z_order", "0"));
    Ok(tag)
}
