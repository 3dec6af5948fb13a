//! Reading CVAT's XML, a tag at a time.

use std::path::Path;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::class_names::{Label, hex_colour};
use super::document::read_bytes;
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::shapes::{Area, Patch, Polygon};
use crate::size::Size;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct CvatFile {
    /// Labels of `<meta>`, in their order.
    pub labels: Vec<Label>,
    pub images: Vec<CvatImage>,
}

/// A picture.
#[derive(Debug)]
pub(super) struct CvatImage {
    pub name: String,
    pub subset: Option<String>,
    pub size: Size,
    /// Its shapes in the order of the file, or the line of the first that cannot be drawn, and why.
    pub shapes: std::result::Result<Vec<CvatShape>, (usize, String)>,
}

/// An object.
#[derive(Debug)]
pub(super) struct CvatShape {
    pub label: String,
    pub area: Area,
    pub z_order: i64,
    pub line: usize,
}

/// Shapes without an area.
const WITHOUT_AREA: [&str; 4] = ["polyline", "points", "cuboid", "skeleton"];

/// Reads a file.
///
/// # Errors
/// What is no XML; a video's tracks; an image without name or size. The line is named.
pub(super) fn read_cvat(tree: &Tree, path: &Path) -> Result<CvatFile> {
    let bytes = read_bytes("the CVAT file", tree, path)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        Error::data(format!("the CVAT file is not UTF-8: {e}")).at(path).hint("export it again from CVAT")
    })?;
    let mut parser = Parser { text, ..Parser::default() };
    let mut reader = Reader::from_str(text);
    let wrong = |at: u64, what: &str| {
        let line = line_at(text, at);
        Error::data(format!("line {line} of the CVAT file: {what}"))
            .at(path)
            .hint("export it again from CVAT, as `CVAT for images 1.1`")
    };
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|e| wrong(reader.error_position(), &e.to_string()))?;
        let step = match event {
            Event::Start(tag) => parser.open(&tag, at, false),
            Event::Empty(tag) => parser.open(&tag, at, true),
            Event::End(_) => {
                parser.close();
                Ok(())
            }
            Event::Text(text) => {
                parser.word.push_str(&text.decode().unwrap_or_default());
                Ok(())
            }
            Event::GeneralRef(entity) => {
                let character = entity.resolve_char_ref().ok().flatten().map(String::from);
                let named =
                    || entity.decode().ok().and_then(|name| resolve_predefined_entity(&name).map(str::to_string));
                parser.word.push_str(&character.or_else(named).unwrap_or_default());
                Ok(())
            }
            Event::Eof => break,
            _ => Ok(()),
        };
        step.map_err(|what| wrong(at, &what))?;
    }
    if !parser.path.is_empty() {
        return Err(wrong(text.len() as u64, "the file is cut off"));
    }
    Ok(parser.file)
}

/// The line of a byte. It counts from the start: only what is refused asks for it, and shapes by steps.
fn line_at(text: &str, at: u64) -> usize {
    1 + text.as_bytes().iter().take(at as usize).filter(|byte| **byte == b'\n').count()
}

#[derive(Default)]
struct Parser<'a> {
    text: &'a str,
    file: CvatFile,
    /// Names of the open tags.
    path: Vec<String>,
    /// Text since the last tag.
    word: String,
    /// Lines are counted from here on.
    counted: (u64, usize),
}

/// Tags within tags: CVAT has seven.
const MAX_DEPTH: usize = 64;

impl Parser<'_> {
    fn open(&mut self, tag: &BytesStart<'_>, at: u64, empty: bool) -> std::result::Result<(), String> {
        let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
        let in_image = self.path.last().is_some_and(|last| last == "image");
        match name.as_str() {
            "track" => return Err("it holds the tracks of a video, not images".into()),
            "label" if self.path.last().is_some_and(|last| last == "labels") => {
                self.file.labels.push(Label { name: String::new(), colour: None });
            }
            "image" => self.file.images.push(image(tag)?),
            _ if in_image => self.shape(&name, tag, at),
            _ => {}
        }
        self.word.clear();
        if !empty {
            self.path.push(name);
        }
        if self.path.len() > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} tags within each other"));
        }
        Ok(())
    }

    fn close(&mut self) {
        let closed = self.path.pop();
        let in_label = self.path.last().is_some_and(|last| last == "label");
        if let (true, Some(label)) = (in_label, self.file.labels.last_mut()) {
            match closed.as_deref() {
                Some("name") => label.name = self.word.trim().to_string(),
                Some("color") => label.colour = hex_colour(self.word.trim()),
                _ => {}
            }
        }
        self.word.clear();
    }

    fn shape(&mut self, kind: &str, tag: &BytesStart<'_>, at: u64) {
        let line = self.line(at);
        let Some(image) = self.file.images.last_mut() else { return };
        let Ok(shapes) = &mut image.shapes else { return };
        match shape(kind, tag, line) {
            Ok(Some(shape)) => shapes.push(shape),
            Ok(None) => {}
            Err(wrong) => image.shapes = Err((line, wrong)),
        }
    }

    /// The line of a byte behind the last one that was asked for.
    fn line(&mut self, at: u64) -> usize {
        let (from, line) = self.counted;
        let passed = self.text.as_bytes().get(from as usize..at as usize).unwrap_or_default();
        self.counted = (at, line + passed.iter().filter(|byte| **byte == b'\n').count());
        self.counted.1 + 1
    }
}

/// The value of an attribute, if it is there.
fn attribute(tag: &BytesStart<'_>, name: &str) -> std::result::Result<Option<String>, String> {
    let found = tag.try_get_attribute(name).map_err(|e| e.to_string())?;
    found
        .map(|a| a.normalized_value(XmlVersion::Explicit1_0).map(|v| v.into_owned()).map_err(|e| e.to_string()))
        .transpose()
}

fn needed(tag: &BytesStart<'_>, name: &str) -> std::result::Result<String, String> {
    let tag_name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
    attribute(tag, name)?.ok_or_else(|| format!("<{tag_name}> has no `{name}`"))
}

fn number<T: std::str::FromStr>(tag: &BytesStart<'_>, name: &str) -> std::result::Result<T, String> {
    let text = needed(tag, name)?;
    text.trim().parse().map_err(|_| format!("`{name}` is \"{text}\", expected a number"))
}

fn image(tag: &BytesStart<'_>) -> std::result::Result<CvatImage, String> {
    let name = needed(tag, "name")?;
    let size = Size::new(number::<u32>(tag, "width")? as usize, number::<u32>(tag, "height")? as usize);
    Ok(CvatImage { name, subset: attribute(tag, "subset")?, size, shapes: Ok(Vec::new()) })
}

/// The shape of a tag within an image; `None` where the tag is none, such as `<tag>`.
fn shape(kind: &str, tag: &BytesStart<'_>, line: usize) -> std::result::Result<Option<CvatShape>, String> {
    let turned = || match attribute(tag, "rotation")? {
        Some(_) => number::<f64>(tag, "rotation"),
        None => Ok(0.0),
    };
    let pair = |x: &str, y: &str| Ok::<_, String>([number::<f64>(tag, x)?, number::<f64>(tag, y)?]);
    let area = match kind {
        "polygon" => Polygon::new(points(&needed(tag, "points")?)?).map(Area::outline),
        "box" => Polygon::rectangle(pair("xtl", "ytl")?, pair("xbr", "ybr")?, turned()?).map(Area::outline),
        "ellipse" => Polygon::ellipse(pair("cx", "cy")?, pair("rx", "ry")?, turned()?).map(Area::outline),
        "mask" => {
            let counts = needed(tag, "rle")?;
            let counts =
                counts.split(',').map(|n| n.trim().parse::<u32>().map_err(|_| format!("\"{n}\" in `rle` is no count")));
            let size = Size::new(number::<u32>(tag, "width")? as usize, number::<u32>(tag, "height")? as usize);
            let counts = counts.collect::<std::result::Result<_, String>>()?;
            Patch::new(number(tag, "left")?, number(tag, "top")?, size, counts).map(Area::Patch)
        }
        _ if WITHOUT_AREA.contains(&kind) => return Err(format!("a {kind} has no area: draw a polygon, or remove it")),
        _ => return Ok(None),
    };
    let area = area.map_err(|e| e.message)?;
    let z_order = if attribute(tag, "z_order")?.is_some() { number(tag, "z_order")? } else { 0 };
    Ok(Some(CvatShape { label: needed(tag, "label")?, area, z_order, line }))
}

/// `x,y;x,y;...`.
fn points(text: &str) -> std::result::Result<Vec<[f64; 2]>, String> {
    let point = |pair: &str| {
        let (x, y) = pair.split_once(',')?;
        Some([x.trim().parse().ok()?, y.trim().parse().ok()?])
    };
    let pairs = text.split(';').filter(|pair| !pair.trim().is_empty());
    pairs.map(|pair| point(pair).ok_or_else(|| format!("\"{pair}\" is no point, expected `x,y`"))).collect()
}
