//! The page, section by section.

use std::fs;
use std::path::Path;

use super::heading::heading;
use super::history::{RunHistory, StepPoint, ValidationPoint};
use super::html::escape;
use super::layers::Pictures;
use super::{classes, svg};
use crate::error::{Error, Result};
use crate::files::write::write_bytes_atomically;
use crate::image::RgbImage;
use crate::pictures::canvas::Canvas;
use crate::pictures::chart::{Chart, Series};
use crate::pictures::heatmap::confusion_picture;
use crate::size::Size;

/// Name of the report in the run folder.
const FILE_NAME: &str = "report.html";

/// Writes `run_dir/report.html` from the files in `run_dir`, and its curves and confusion matrix as pictures too:
/// `pictures/curves.png` and `pictures/confusion_<step>.png`.
///
/// # Errors
/// What the system refuses.
pub fn write(run_dir: &Path) -> Result<()> {
    let history = RunHistory::read(&run_dir.join("metrics.jsonl"))?;
    let name = run_dir.canonicalize().unwrap_or(run_dir.to_path_buf());
    let name = name.file_name().map_or("run".into(), |n| n.to_string_lossy().into_owned());
    let html = page(&name, run_dir, &history);
    write_bytes_atomically(&run_dir.join(FILE_NAME), html.as_bytes())?;
    if history.steps.is_empty() && history.validations.is_empty() {
        return Ok(());
    }
    let folder = run_dir.join("pictures");
    fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder for pictures", &folder, &e))?;
    write_bytes_atomically(&folder.join("curves.png"), &curves_picture(&history).to_png()?)?;
    match history.validations.last() {
        Some(last) if !last.confusion.is_empty() => {
            let names: Vec<String> = last.per_class.iter().map(|c| c.name.clone()).collect();
            let picture = confusion_picture(&last.confusion, &names).to_png()?;
            write_bytes_atomically(&folder.join(format!("confusion_{}.png", last.step)), &picture)
        }
        _ => Ok(()),
    }
}

/// All charts in one picture, two a row.
fn curves_picture(history: &RunHistory) -> RgbImage {
    const CHART: Size = Size::new(560, 300);
    let charts = charts(history);
    let mut canvas = Canvas::new(Size::new(2 * CHART.width, charts.len().div_ceil(2) * CHART.height), [255; 3]);
    for (i, chart) in charts.iter().enumerate() {
        canvas.place(&chart.draw(CHART), i % 2 * CHART.width, i / 2 * CHART.height);
    }
    canvas.into_image()
}

fn page(name: &str, run_dir: &Path, log: &RunHistory) -> String {
    let last = log.validations.last();
    let mut pictures = Pictures::find(run_dir, log);
    let colours = pictures.classes(last);
    pictures.read(&colours);
    let damaged = match log.unreadable_lines {
        0 => String::new(),
        n => format!("<p class=none>{n} unreadable lines of metrics.jsonl were left out.</p>"),
    };
    format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content='width=device-width, initial-scale=1'><title>{title} - fcn</title>\
         <style>{style}</style></head><body>{heading}{damaged}{table}{crf}{pictures}\
         <h2>Curves</h2><div class=charts>{charts}</div>{confusion}{files}</body></html>\n",
        title = escape(name),
        style = include_str!("style.css"),
        heading = heading(run_dir, name, log),
        table = classes::table(&log.validations, &colours),
        crf = classes::crf(last.and_then(|v| v.pictured.as_ref()), &pictures.crf, &colours),
        pictures = pictures.section(last, &colours),
        charts = charts(log).iter().map(svg::chart).collect::<String>(),
        confusion = classes::confusion(last),
        files = files_section(run_dir),
    )
}

/// The curves of a run: loss, scores, learning rate, speed.
fn charts(log: &RunHistory) -> Vec<Chart> {
    let training = |name: &str, value: fn(&StepPoint) -> f64| Series {
        name: name.into(),
        points: log.steps.iter().map(|p| (p.step, value(p))).collect(),
    };
    let validation = |name: &str, value: fn(&ValidationPoint) -> Option<f64>| Series {
        name: name.into(),
        points: log.validations.iter().map(|v| (v.step as f64, value(v).unwrap_or(f64::NAN))).collect(),
    };
    vec![
        Chart {
            title: "Loss per valid pixel".into(),
            series: vec![training("training", |p| p.loss), validation("validation", |v| v.loss)],
            value_range: None,
        },
        Chart {
            title: "Scores on the validation set".into(),
            series: vec![
                validation("mIoU", |v| v.miou),
                validation("pixel accuracy", |v| v.pixel_accuracy),
                validation("mean accuracy", |v| v.mean_accuracy),
                validation("fwIoU", |v| v.fw_iou),
                validation("boundary IoU", |v| v.boundary_iou),
                validation("per-image mIoU", |v| v.mean_image_iou),
            ],
            value_range: Some((0.0, 1.0)),
        },
        Chart { title: "Learning rate".into(), series: vec![training("rate", |p| p.rate)], value_range: None },
        Chart {
            title: "Images per second".into(),
            series: vec![training("speed", |p| p.images_per_s)],
            value_range: None,
        },
    ]
}

/// The run's configuration and environment, as they are.
fn files_section(run_dir: &Path) -> String {
    const MAX_BYTES: usize = 64 << 10;
    [("Configuration", "config.toml"), ("Environment", "environment.json")]
        .into_iter()
        .filter_map(|(title, file)| {
            let bytes = fs::read(run_dir.join(file)).ok()?;
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]).into_owned();
            Some(format!("<h2>{title}</h2><details><summary>{file}</summary><pre>{}</pre></details>", escape(&text)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::html::data_uri;
    use super::*;
    use crate::image::{RgbImage, encode_mask_png};
    use crate::labels::{Classes, LabelMap, VOID};
    use crate::pictures::{PictureKind, picture_colour};

    /// A folder of its own under the system's temporary folder, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("fcn-report-{}-{name}", std::process::id()));
            fs::create_dir_all(path.join("pictures")).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_empty_run_folder_gives_a_report_and_a_missing_one_an_error() {
        let folder = Folder::new("empty");
        write(&folder.0).unwrap();
        let html = fs::read_to_string(folder.0.join(FILE_NAME)).unwrap();
        assert!(html.contains("nothing logged yet") && html.ends_with("</html>\n"));
        assert!(write(&folder.0.join("absent")).is_err());
    }

    #[test]
    fn everything_is_in_one_file_and_hostile_names_are_escaped() {
        let folder = Folder::new("<script>alert(1)<%2Fscript>");
        let line = |step: u64| {
            format!(
                "{{\"kind\":\"validation\",\"step\":{step},\"miou\":0.5,\"per_class\":[{{\"id\":0,\"name\":\"<img src=x>\",\"iou\":0.5,\
                 \"accuracy\":null,\"pixels\":7}},{{\"id\":1,\"name\":\"b\",\"iou\":null,\"accuracy\":null,\"pixels\":0}}],\
                 \"confusion\":[[7,0],[0,0]]}}\n"
            )
        };
        let steps = "{\"kind\":\"step\",\"step\":200,\"loss\":1.5,\"rate\":0.001,\"images_per_s\":3.0}\n";
        fs::write(folder.0.join("metrics.jsonl"), [steps, &line(100), &line(200), "{\"kind\":\"st"].concat()).unwrap();
        fs::write(folder.0.join("config.toml"), "steps = 3 # </pre><script>").unwrap();
        for step in [100, 200, 300] {
            for file in ["img.jpg", "prediction.png", "overlay.jpg"] {
                fs::write(folder.0.join(format!("pictures/val_{step}_a&b_{file}")), file).unwrap();
            }
        }
        write(&folder.0).unwrap();
        let html = fs::read_to_string(folder.0.join(FILE_NAME)).unwrap();
        assert!(!html.contains("<script") && !html.contains("<img src=x") && !html.contains("http"), "{html}");
        assert!(html.contains("Pictures at step 200"), "the validation that is complete, not the newest file");
        assert!(html.contains(&data_uri("jpg", b"overlay.jpg")) && html.contains("a&amp;b"), "as they are");
        assert!(html.contains("<details><summary>1 class occurs neither"));
        for picture in ["curves.png", "confusion_200.png"] {
            assert!(folder.0.join("pictures").join(picture).is_file(), "{picture}");
        }
        let left: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|n| !n.to_string_lossy().contains("tmp")), "{left:?}");
    }
    /// A run of VOC's classes with two pictured images, drawn here: `good` is right throughout, `bad` wrong by half.
    fn run(folder: &Folder) -> Classes {
        let classes = Classes::voc();
        let per_class: Vec<String> = (classes.names.iter().enumerate())
            .map(|(id, name)| {
                let iou = if [0, 8, 12].contains(&id) { "0.5" } else { "null" };
                format!(
                    "{{\"id\":{id},\"name\":\"{name}\",\"iou\":{iou},\"accuracy\":{iou},\"boundary_iou\":{iou},\"pixels\":9}}"
                )
            })
            .collect();
        let crf = "{\"images\":2,\"raw\":{\"miou\":0.25},\"crf\":{\"miou\":0.375},\"changed\":0.03}";
        let line = |step: u64| {
            format!(
                "{{\"kind\":\"validation\",\"step\":{step},\"time\":{},\"images\":40,\"miou\":0.731,\"pictured\":{crf},\
                 \"worst\":[{{\"id\":\"worst <one>\",\"miou\":0.012}}],\"per_class\":[{}]}}\n",
                1_795_946_219 + 100 * step,
                per_class.join(",")
            )
        };
        fs::write(folder.0.join("metrics.jsonl"), line(1) + &line(2)).unwrap();
        let photo = RgbImage::filled(Size::new(640, 4), [90, 120, 60]).to_jpeg(90).unwrap();
        let mut truth = LabelMap::filled(Size::new(640, 4), 0);
        truth.ids[..640].fill(8);
        truth.ids[640..700].fill(VOID);
        let mut half = truth.clone();
        half.ids[..320].fill(12);
        for (step, name, prediction) in [(1, "bad", &half), (2, "bad", &half), (2, "a good", &truth)] {
            let put = |kind: PictureKind, bytes: Vec<u8>| {
                fs::write(folder.0.join("pictures").join(kind.file_name(step, name)), bytes).unwrap();
            };
            put(PictureKind::Photo, photo.clone());
            put(PictureKind::Annotation, encode_mask_png(&truth, &classes).unwrap());
            put(PictureKind::Prediction, encode_mask_png(prediction, &classes).unwrap());
            put(PictureKind::PredictionCrf, encode_mask_png(&truth, &classes).unwrap());
        }
        classes
    }

    #[test]
    fn the_page_says_first_how_well_what_and_when() {
        let folder = Folder::new("facts");
        run(&folder);
        fs::write(
            folder.0.join("config.toml"),
            "model = \"fcn\"\nvariant = \"8s\"\nbackbone = \"vgg16\"\nwidth = 0.5\n",
        )
        .unwrap();
        let environment =
            "{\"version\":\"9.8\",\"command\":[\"fcn\",\"train\",\"a & b\"],\"data\":\"/d/<voc>\",\"device\":\"cpu\"}";
        fs::write(folder.0.join("environment.json"), environment).unwrap();
        write(&folder.0).unwrap();
        let html = fs::read_to_string(folder.0.join(FILE_NAME)).unwrap();
        let score = html.find("<b>0.731</b><span>mIoU of 40 images at step 2").unwrap();
        assert!(score < html.find("<h1>").unwrap(), "the mIoU comes first");
        for part in [
            "<dd>FCN-8s on vgg16, width 0.5</dd>",
            "<dd>/d/&lt;voc&gt;</dd>",
            "<dd>fcn train &#39;a &amp; b&#39;</dd>",
            "<dd>2026-11-29 09:58 to 2026-11-29 10:00 UTC</dd>",
            "1 min 40 s",
            "worst &lt;one&gt; <b>0.012</b>",
        ] {
            assert!(html.contains(part), "{part}");
        }
    }

    #[test]
    fn classes_have_the_colours_of_the_pictures_and_absent_ones_are_folded_away() {
        let folder = Folder::new("classes");
        let classes = run(&folder);
        write(&folder.0).unwrap();
        let html = fs::read_to_string(folder.0.join(FILE_NAME)).unwrap();
        let (table, folded) = (html.find("<h2>Classes").unwrap(), html.find("18 classes occur neither").unwrap());
        for (id, name) in classes.names.iter().enumerate().skip(1) {
            let [r, g, b] = picture_colour(id as u8);
            let cell = format!("<i class=swatch style='background:#{r:02x}{g:02x}{b:02x}'></i>{name}<");
            let at = html.find(&cell).unwrap_or_else(|| panic!("no {cell}"));
            assert_eq!((table..folded).contains(&at), [8, 12].contains(&id), "{name}");
        }
        assert!(html.contains("<i class='swatch bare'></i>background"));
        assert!(html.contains("<th>boundary IoU</th>"));
        assert!(html.contains("<td>mIoU</td><td>0.250</td><td>0.375</td><td>+0.125</td>"), "the CRF as logged");
        assert!(html.contains("</i>IoU of cat</td><td>0.750</td><td>1.000</td><td>+0.250</td>"), "the CRF by class");
    }

    #[test]
    fn layers_are_switched_without_a_script_and_the_worst_image_comes_first() {
        let folder = Folder::new("layers");
        run(&folder);
        write(&folder.0).unwrap();
        let html = fs::read_to_string(folder.0.join(FILE_NAME)).unwrap();
        assert!(["<script", "onclick", "javascript:"].iter().all(|part| !html.contains(part)));
        assert_eq!(html.matches("<section class=views>").count(), 2);
        assert_eq!((html.matches("<input type=radio").count(), html.matches("<input type=checkbox").count()), (12, 12));
        assert_eq!(html.matches(" checked>").count(), 2, "one layer of each image is shown");
        for title in ["prediction", "after the CRF", "truth", "errors", "errors after the CRF", "photograph"] {
            assert_eq!(html.matches(&format!("alt='{title}'")).count(), 2, "{title}");
        }
        let hatched = html.match_indices("<i class='swatch hatched'></i>void").count();
        assert_eq!(hatched, 2, "void in the legend of each image");
        assert!(html.find("<h3>bad ").unwrap() < html.find("<h3>a good ").unwrap());
        assert!(html.contains("<h3>bad over the run</h3>"));
    }
}
