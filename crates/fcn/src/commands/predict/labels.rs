//! What is written of each photograph: a mask, or the label files of another program.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use fcn_core::{Error, Result};
use segdata::convert::label_files::{LabelFiles, LabelFormat, LabelOptions};
use segdata::labels::Classes;

use super::inputs::Input;

/// How far outlines may lie from the corners that are left out, in pixels: the steps of slanting borders disappear, and
/// nothing that is larger than they are.
const DEFAULT_SIMPLIFY: f64 = 1.0;

/// Forms of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// DIR/<name>.png: class ids with the palette
    Png,
    /// DIR/annotations.json: COCO's run lengths, exact to the pixel
    Coco,
    /// DIR/<name>.json: outlines for labelme
    Labelme,
    /// DIR/annotations.xml: outlines, and masks where there are holes, for CVAT
    Cvat,
    /// DIR/labels/<name>.txt and DIR/data.yaml: outlines for YOLO
    Yolo,
}

impl Format {
    /// The label files that it means; `None` of masks.
    fn label_format(self) -> Option<LabelFormat> {
        match self {
            Format::Png => None,
            Format::Coco => Some(LabelFormat::Coco),
            Format::Labelme => Some(LabelFormat::Labelme),
            Format::Cvat => Some(LabelFormat::Cvat),
            Format::Yolo => Some(LabelFormat::Yolo),
        }
    }
}

/// The flags about what is written.
#[derive(clap::Args)]
pub struct LabelFlags {
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Png)]
    format: Format,
    /// How far outlines may lie from the corners that are left out, in pixels; 0 keeps every corner [default: 1]
    #[arg(long, value_name = "PIXELS")]
    simplify: Option<f64>,
    /// Replace label files that are there already
    #[arg(long)]
    force: bool,
}

impl LabelFlags {
    /// Whether masks are written, and no label files.
    pub fn writes_masks(&self) -> bool {
        self.format.label_format().is_none()
    }

    /// How the names of results of one photograph end.
    pub fn ends(&self) -> &'static [&'static str] {
        match self.format {
            Format::Png => &[".png", "_overlay.jpg", ".npy"],
            _ => &["_overlay.jpg", ".npy"],
        }
    }

    /// Refuses, before any work, label files that are there already: somebody may have corrected them. And outlines within
    /// a tolerance where there are none.
    pub fn refuse_what_cannot_be(&self, inputs: &[Input], out: &Path) -> Result<()> {
        let outlines = self.format.label_format().is_some_and(LabelFormat::has_outlines);
        if self.simplify.is_some() && !outlines {
            let word = self.format.to_possible_value().map_or(String::new(), |value| value.get_name().to_string());
            return Err(Error::usage(format!("--simplify is about outlines, and --format {word} has none"))
                .hint("leave --simplify out, or choose --format labelme, cvat or yolo"));
        }
        let Some(format) = self.format.label_format().filter(|_| !self.force) else { return Ok(()) };
        let stems = inputs.iter().map(|input| format.file_of(&input.output_name("")));
        let there: Vec<PathBuf> =
            stems.chain(format.common_file()).map(|name| out.join(name)).filter(|path| path.exists()).collect();
        match there.first() {
            None => Ok(()),
            Some(first) => Err(Error::usage("this label file is there already, and may have been corrected by hand")
                .at(first)
                .hint("choose another folder with --out, or replace it with --force")),
        }
    }

    /// The label files, begun; `None` where masks are written.
    pub fn begin(&self, out: &Path, classes: &Classes) -> Result<Option<LabelFiles>> {
        let begin = |format| {
            let simplify = self.simplify.unwrap_or(DEFAULT_SIMPLIFY);
            LabelFiles::begin(out, classes, LabelOptions { format, simplify, void: false })
        };
        self.format.label_format().map(begin).transpose()
    }
}
