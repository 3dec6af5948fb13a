//! The pictures of the newest validation: prediction, truth and errors over each photograph, one at a time by choice.
//!
//! They are drawn from the photographs and label maps in the run folder, so that runs of older versions show them too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::classes::swatch;
use super::history::{ImagePoint, RunHistory, ValidationPoint};
use super::html::{data_uri, escape, share};
use crate::error::Result;
use crate::image::{MaskPixels, RawMask, RgbImage, decode_rgb};
use crate::labels::{Classes, LabelMap, VOID};
use crate::metrics::Tally;
use crate::pictures::errors::error_map;
use crate::pictures::fit::{enlarged, enlarged_map, fitted, fitted_map};
use crate::pictures::overlay::magnification;
use crate::pictures::paint::painted;
use crate::pictures::{PictureKind, overlay};

/// Bytes of pictures that a report carries at most.
const MAX_PICTURE_BYTES: usize = 24 << 20;

/// Bytes of one file that is read.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Longer side of a picture in pixels; a small photograph is enlarged by a whole factor.
const SIDE: usize = 1000;

const JPEG_QUALITY: u8 = 82;

type Files = BTreeMap<PictureKind, PathBuf>;

/// The pictures of a run.
pub(super) struct Pictures {
    by_step: BTreeMap<u64, BTreeMap<String, Files>>,
    newest: u64,
    /// The newest images that could be read, the worst first.
    images: Vec<Image>,
    /// The pictured images scored without and with the CRF, those that have both.
    pub crf: [Tally; 2],
}

/// One image with what was made of it.
struct Image {
    name: String,
    photo: RgbImage,
    maps: BTreeMap<PictureKind, LabelMap>,
    miou: Option<f64>,
    refined: Option<f64>,
}

impl Pictures {
    /// Those in the folder of a run. A validation whose numbers are logged has all its pictures; a later one may be half
    /// written.
    pub fn find(run_dir: &Path, log: &RunHistory) -> Pictures {
        let mut by_step: BTreeMap<u64, BTreeMap<String, Files>> = BTreeMap::new();
        for entry in fs::read_dir(run_dir.join("pictures")).into_iter().flatten().flatten() {
            if let Some((step, name, kind)) = PictureKind::parse(&entry.file_name().to_string_lossy()) {
                by_step.entry(step).or_default().entry(name).or_default().insert(kind, entry.path());
            }
        }
        let validated = log.validations.last().map(|v| v.step).filter(|step| by_step.contains_key(step));
        let newest = validated.or(by_step.keys().next_back().copied()).unwrap_or(0);
        Pictures { by_step, newest, images: Vec::new(), crf: [Tally::new(0), Tally::new(0)] }
    }

    /// The class list: names from the log, colours from the palette of a label map in the folder.
    pub fn classes(&self, last: Option<&ValidationPoint>) -> Classes {
        let mut classes = Classes::named(last.into_iter().flat_map(|v| &v.per_class).take(255).map(|c| c.name.clone()));
        let masks = self.by_step.get(&self.newest).into_iter().flat_map(BTreeMap::values);
        let palette = masks
            .filter_map(|files| RawMask::decode(&bytes_of(files.get(&PictureKind::Prediction)?)?).ok()?.palette)
            .find(|palette| palette.len() >= classes.len());
        if let Some(palette) = palette {
            classes.palette = palette[..classes.len()].to_vec();
        }
        classes
    }

    /// Reads and scores the newest images.
    pub fn read(&mut self, classes: &Classes) {
        self.crf = [Tally::new(classes.len()), Tally::new(classes.len())];
        for (name, files) in self.by_step.get(&self.newest).into_iter().flatten() {
            let Some(mut image) = Image::read(name, files) else { continue };
            // What cannot be scored, as by labels beyond the class list, is shown all the same.
            image.miou = image.score(PictureKind::Prediction, &mut Tally::new(classes.len()));
            image.refined = image.score(PictureKind::PredictionCrf, &mut Tally::new(classes.len()));
            if image.maps.contains_key(&PictureKind::PredictionCrf) {
                image.score(PictureKind::Prediction, &mut self.crf[0]);
                image.score(PictureKind::PredictionCrf, &mut self.crf[1]);
            }
            self.images.push(image);
        }
        let rank = |image: &Image| image.miou.unwrap_or(f64::INFINITY);
        self.images.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    }

    /// The section of the page: the worst images named, each picture with its layers, and the worst one over the run.
    pub fn section(&self, last: Option<&ValidationPoint>, classes: &Classes) -> String {
        let Some(newest) = self.by_step.get(&self.newest) else { return String::new() };
        let mut budget = MAX_PICTURE_BYTES;
        let mut left_out = 0;
        let mut out = format!(
            "<h2>Pictures at step {}</h2>{}<p class=none>The worst first; a click enlarges. Among errors, what is right is dim, what is \
             wrong has the colour of the class that was predicted, or is white where that is the background.</p>",
            self.newest,
            worst(last)
        );
        for (number, image) in self.images.iter().enumerate() {
            match image.layers(number, classes, &mut budget) {
                Ok(Some(layers)) => out += &layers,
                Ok(None) | Err(_) => left_out += 1,
            }
        }
        let read = |name: &String| self.images.iter().any(|image| image.name == *name);
        for (name, files) in newest.iter().filter(|(name, _)| !read(name)) {
            out += &as_they_are(name, files, &mut budget);
        }
        if left_out > 0 {
            out += &format!("<p class=none>{left_out} more images are in the folder pictures/.</p>");
        }
        out + &self.over_the_run(classes, &mut budget)
    }

    /// How the prediction of the worst image changed: at most ten steps, evenly chosen.
    fn over_the_run(&self, classes: &Classes, budget: &mut usize) -> String {
        const SHOWN: usize = 10;
        let Some(image) = self.images.first() else { return String::new() };
        let steps: Vec<(u64, &PathBuf)> = (self.by_step.range(..=self.newest))
            .filter_map(|(step, names)| Some((*step, names.get(&image.name)?.get(&PictureKind::Prediction)?)))
            .collect();
        if steps.len() < 2 {
            return String::new();
        }
        let n = steps.len().min(SHOWN);
        let photo = fitted(&image.photo, SIDE / 3);
        let drawn = |path: &Path| {
            let map = label_map(path).filter(|map| map.size() == image.photo.size())?;
            overlay(&photo, &fitted_map(&map, SIDE / 3), classes).ok()?.to_jpeg(JPEG_QUALITY).ok()
        };
        let figures: String = (0..n)
            .map(|i| steps[i * (steps.len() - 1) / (n - 1)])
            .filter_map(|(step, path)| {
                let uri = within(budget, data_uri("jpg", &drawn(path)?))?;
                Some(format!("<figure><img alt='' src='{uri}'><figcaption>step {step}</figcaption></figure>"))
            })
            .collect();
        format!("<h3>{} over the run</h3><div class=pictures>{figures}</div>", escape(&image.name))
    }
}

impl Image {
    /// `None` where the photograph is missing or cannot be read, or no label map of its size is there.
    fn read(name: &str, files: &Files) -> Option<Image> {
        let photo = decode_rgb(&bytes_of(files.get(&PictureKind::Photo)?)?).ok()?;
        let maps: BTreeMap<PictureKind, LabelMap> = (files.iter())
            .filter(|(kind, _)| kind.is_mask())
            .filter_map(|(kind, path)| Some((*kind, label_map(path).filter(|map| map.size() == photo.size())?)))
            .collect();
        (!maps.is_empty()).then(|| Image { name: name.into(), photo, maps, miou: None, refined: None })
    }

    /// The image's own mIoU, counted into `tally` as well.
    fn score(&self, kind: PictureKind, tally: &mut Tally) -> Option<f64> {
        tally.add(self.maps.get(&PictureKind::Annotation)?, self.maps.get(&kind)?).ok()?
    }

    /// Colour and name of each class in truth or prediction, in the order of their ids.
    fn legend(&self, classes: &Classes) -> String {
        let occurs: BTreeSet<u8> = self.maps.values().flat_map(|map| map.ids.iter().copied()).collect();
        let name = |id: u8| match classes.names.get(usize::from(id)) {
            Some(name) => escape(name),
            None if id == VOID => "void".into(),
            None => format!("id {id}"),
        };
        occurs
            .iter()
            .map(|&id| format!("<span class=name>{}{}</span> ", swatch(id.into(), classes), name(id)))
            .collect()
    }

    /// The layers of image `number`, the one that is chosen shown; `None` beyond the budget.
    fn layers(&self, number: usize, classes: &Classes, budget: &mut usize) -> Result<Option<String>> {
        let photo = fitted(&self.photo, SIDE);
        let times = magnification(photo.size());
        let photo = enlarged(&photo, times);
        let large = |kind| self.maps.get(&kind).map(|map| enlarged_map(&fitted_map(map, SIDE), times));
        let [truth, prediction, refined] =
            [PictureKind::Annotation, PictureKind::Prediction, PictureKind::PredictionCrf].map(large);
        let mut drawn = Vec::new();
        for (title, map) in [("prediction", &prediction), ("after the CRF", &refined), ("truth", &truth)] {
            if let Some(map) = map {
                drawn.push((title, painted(&photo, map, classes)?));
            }
        }
        for (title, map) in [("errors", &prediction), ("errors after the CRF", &refined)] {
            if let (Some(truth), Some(map)) = (&truth, map) {
                drawn.push((title, error_map(&photo, truth, map, classes)?));
            }
        }
        drawn.push(("photograph", photo));
        let (mut choices, mut layers) = (String::new(), String::new());
        for (i, (title, picture)) in drawn.iter().enumerate() {
            let Some(uri) = within(budget, data_uri("jpg", &picture.to_jpeg(JPEG_QUALITY)?)) else { return Ok(None) };
            let checked = if i == 0 { " checked" } else { "" };
            choices += &format!(
                "<input type=radio name=v{number} id=v{number}-{i}{checked}><label for=v{number}-{i}>{title}</label>"
            );
            layers += &format!(
                "<label class=layer><input type=checkbox aria-label='larger'><img alt='{title}' src='{uri}'></label>"
            );
        }
        let refined = self.refined.map_or(String::new(), |miou| format!(", after the CRF {miou:.3}"));
        Ok(Some(format!(
            "<section class=views><h3>{} <span class=sub>mIoU {}{refined}</span></h3>{choices}<div class=layers>{layers}</div>\
             <p>{}</p></section>",
            escape(&self.name),
            share(self.miou),
            self.legend(classes)
        )))
    }
}

/// The images of the whole split that score worst.
fn worst(last: Option<&ValidationPoint>) -> String {
    let Some(last) = last.filter(|v| !v.worst.is_empty()) else { return String::new() };
    let name =
        |image: &ImagePoint| format!("<span class=name>{} <b>{}</b></span> ", escape(&image.id), share(image.miou));
    format!(
        "<p><span class=sub>The images with the lowest mIoU of their own:</span> {}</p>",
        last.worst.iter().map(name).collect::<String>()
    )
}

/// Files that cannot be drawn anew, as they lie in the folder.
fn as_they_are(name: &str, files: &Files, budget: &mut usize) -> String {
    let figures: String = (files.iter())
        .filter_map(|(kind, path)| {
            let uri = within(budget, data_uri(path.extension()?.to_str()?, &bytes_of(path)?))?;
            let caption = kind.caption();
            Some(format!("<figure><img alt='' src='{uri}'><figcaption>{caption}</figcaption></figure>"))
        })
        .collect();
    format!("<h3>{}</h3><div class=pictures>{figures}</div>", escape(name))
}

fn within(budget: &mut usize, uri: String) -> Option<String> {
    *budget = budget.checked_sub(uri.len())?;
    Some(uri)
}

fn bytes_of(path: &Path) -> Option<Vec<u8>> {
    fs::metadata(path).ok().filter(|meta| meta.is_file() && meta.len() <= MAX_FILE_BYTES)?;
    fs::read(path).ok()
}

/// The ids of an index PNG.
fn label_map(path: &Path) -> Option<LabelMap> {
    let mask = RawMask::decode(&bytes_of(path)?).ok()?;
    match mask.pixels {
        MaskPixels::Index8(ids) => Some(LabelMap { width: mask.width, height: mask.height, ids }),
        _ => None,
    }
}
