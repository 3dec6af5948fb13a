//! The page, section by section.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::history::{ClassPoint, RunHistory, StepPoint, ValidationPoint};
use super::html::{base64, escape};
use super::svg;
use crate::error::{Error, Result};
use crate::files::write::write_bytes_atomically;
use crate::image::RgbImage;
use crate::pictures::PictureKind;
use crate::pictures::canvas::Canvas;
use crate::pictures::chart::{Chart, Series};
use crate::pictures::heatmap::confusion_picture;
use crate::size::Size;

/// Name of the report in the run folder.
const FILE_NAME: &str = "report.html";

/// Bytes of pictures that a report carries at most; the newest validation comes first.
const MAX_PICTURE_BYTES: u64 = 24 << 20;

/// Classes that the heat map shows at most; a larger matrix is in the run's picture of it.
const MAX_HEATMAP_CLASSES: usize = 64;

/// Writes `run_dir/report.html` from the files in `run_dir`, and its curves and confusion matrix as pictures too:
/// `pictures/curves.png` and `pictures/confusion_<step>.png`.
///
/// # Errors
/// What the system refuses.
pub fn write(run_dir: &Path) -> Result<()> {
    let history = RunHistory::read(&run_dir.join("metrics.jsonl"))?;
    let name = run_dir.canonicalize().unwrap_or(run_dir.to_path_buf());
    let name = name.file_name().map_or("run".into(), |n| n.to_string_lossy().into_owned());
    let html = page(&name, &history, &pictures_section(run_dir, &history), &files_section(run_dir));
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

fn page(name: &str, log: &RunHistory, pictures: &str, files: &str) -> String {
    let state = match (log.last_step, log.validations.last()) {
        (Some(step), Some(v)) => format!("trained to step {:.0}, last validated at step {}", step.step, v.step),
        (Some(step), None) => format!("trained to step {:.0}, not validated yet", step.step),
        (None, Some(v)) => format!("validated at step {}", v.step),
        (None, None) => "nothing logged yet".into(),
    };
    let damaged = match log.unreadable_lines {
        0 => String::new(),
        n => format!("<p class=none>{n} unreadable lines of metrics.jsonl were left out.</p>"),
    };
    format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>{name} - fcn</title><style>{style}</style></head><body>\
         <header><h1>{name}</h1><div class=sub>{state}</div></header>{damaged}{cards}\
         <h2>Curves</h2><div class=charts>{charts}</div>{classes}{confusion}{pictures}{files}</body></html>\n",
        name = escape(name),
        style = include_str!("style.css"),
        cards = cards(log),
        charts = charts(log).iter().map(svg::chart).collect::<String>(),
        classes = classes_section(&log.validations),
        confusion = confusion_section(log.validations.last()),
    )
}

fn cards(log: &RunHistory) -> String {
    let card = |title: &str, value: String| format!("<div class=card><span>{title}</span><b>{value}</b></div>");
    let mut out = String::new();
    if let Some(last) = log.validations.last() {
        for (title, value) in [
            ("mIoU", last.miou),
            ("pixel accuracy", last.pixel_accuracy),
            ("mean accuracy", last.mean_accuracy),
            ("frequency-weighted IoU", last.fw_iou),
            ("boundary IoU", last.boundary_iou),
            ("mean of per-image mIoU", last.mean_image_iou),
            ("validation loss", last.loss),
        ] {
            out += &card(title, share(value));
        }
    }
    let best = log
        .validations
        .iter()
        .filter(|v| v.miou.is_some())
        .max_by(|a, b| a.miou.partial_cmp(&b.miou).unwrap_or(std::cmp::Ordering::Equal));
    if let Some(best) = best {
        out += &card(&format!("best mIoU, at step {}", best.step), share(best.miou));
    }
    if let Some(step) = log.last_step {
        out += &card("training loss", share(Some(step.loss).filter(|l| l.is_finite())));
        if step.images_per_s.is_finite() {
            out += &card("images / s", format!("{:.1}", step.images_per_s));
        }
    }
    format!("<div class=cards>{out}</div>")
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

fn classes_section(validations: &[ValidationPoint]) -> String {
    let Some(last) = validations.last().filter(|v| !v.per_class.is_empty()) else { return String::new() };
    let total: u64 = last.per_class.iter().map(|c| c.pixels).sum();
    let absent = last.per_class.iter().filter(|c| c.iou.is_none()).count();
    let row = |class: &ClassPoint| {
        let iou_of = |v: &ValidationPoint| v.per_class.iter().find(|c| c.id == class.id).and_then(|c| c.iou);
        let history: Vec<Option<f64>> = validations.iter().map(iou_of).collect();
        format!(
            "<tr><td>{}</td><td>{}</td><td class=bar><div style='width:{:.1}%'></div></td><td>{}</td><td>{:.2} %</td><td>{}</td></tr>",
            escape(&class.name),
            share(class.iou),
            class.iou.unwrap_or(0.0).clamp(0.0, 1.0) * 100.0,
            share(class.accuracy),
            100.0 * class.pixels as f64 / total.max(1) as f64,
            svg::sparkline(&history),
        )
    };
    let note = match absent {
        0 => String::new(),
        n => format!(
            "<p class=none>{n} classes occur neither in the truth nor in the predictions: no IoU, not in the mean.</p>"
        ),
    };
    format!(
        "<h2>Classes at step {}</h2><div class=scroll><table><tr><th>class</th><th>IoU</th><th></th><th>accuracy</th>\
         <th>share of pixels</th><th>IoU over the run</th></tr>{}</table></div>{note}",
        last.step,
        last.per_class.iter().map(row).collect::<String>()
    )
}

fn confusion_section(last: Option<&ValidationPoint>) -> String {
    let Some(last) = last.filter(|v| !v.confusion.is_empty()) else { return String::new() };
    let heading = format!("<h2>Confusion at step {}</h2>", last.step);
    if last.confusion.len() > MAX_HEATMAP_CLASSES {
        return format!(
            "{heading}<p class=none>{} classes: see the picture in the run folder.</p>",
            last.confusion.len()
        );
    }
    let names: Vec<String> = last.per_class.iter().map(|c| c.name.clone()).collect();
    let map = svg::heatmap(&last.confusion, &names);
    format!(
        "{heading}<p class=none>Rows truth, columns prediction; share of the row in percent.</p><div class=scroll>{map}</div>"
    )
}

/// The pictures of the newest validation, a row an image; then the first image's prediction over the run.
fn pictures_section(run_dir: &Path, log: &RunHistory) -> String {
    let mut by_step = PicturesByStep::new();
    for entry in fs::read_dir(run_dir.join("pictures")).into_iter().flatten().flatten() {
        if let Some((step, name, kind)) = PictureKind::parse(&entry.file_name().to_string_lossy()) {
            by_step.entry(step).or_default().entry(name).or_default().insert(kind, entry.path());
        }
    }
    // A validation whose numbers are logged has all its pictures; a later one may be half written.
    let validated = log.validations.last().map(|v| v.step).filter(|step| by_step.contains_key(step));
    let Some(newest) = validated.or(by_step.keys().next_back().copied()) else { return String::new() };
    let mut budget = MAX_PICTURE_BYTES;
    let mut left_out = 0;
    let mut out = format!("<h2>Pictures at step {newest}</h2>");
    for (name, kinds) in by_step.get(&newest).into_iter().flatten() {
        let figures: String = (kinds.iter())
            .filter_map(|(kind, path)| {
                let shown = embedded(path, &mut budget);
                left_out += usize::from(shown.is_none());
                shown.map(|uri| figure(&uri, kind.caption(), *kind))
            })
            .collect();
        if !figures.is_empty() {
            out += &format!("<h3>{}</h3><div class=pictures>{figures}</div>", escape(name));
        }
    }
    if left_out > 0 {
        out += &format!("<p class=none>{left_out} more pictures are in the folder pictures/.</p>");
    }
    out + &progress_strip(&by_step, newest, &mut budget)
}

type PicturesByStep = BTreeMap<u64, BTreeMap<String, BTreeMap<PictureKind, PathBuf>>>;

/// How the prediction of the first picture changed: at most ten steps, evenly chosen.
fn progress_strip(by_step: &PicturesByStep, newest: u64, budget: &mut u64) -> String {
    const SHOWN: usize = 10;
    let Some(name) = by_step.get(&newest).and_then(|names| names.keys().next()) else { return String::new() };
    let paths: Vec<(u64, &PathBuf)> = (by_step.range(..=newest))
        .filter_map(|(step, names)| Some((*step, names.get(name)?.get(&PictureKind::Prediction)?)))
        .collect();
    if paths.len() < 2 {
        return String::new();
    }
    let n = paths.len().min(SHOWN);
    let figures: String = (0..n)
        .map(|i| paths[i * (paths.len() - 1) / (n - 1)])
        .filter_map(|(step, path)| {
            embedded(path, budget).map(|uri| figure(&uri, &format!("step {step}"), PictureKind::Prediction))
        })
        .collect();
    format!("<h3>{} over the run</h3><div class=pictures>{figures}</div>", escape(name))
}

fn figure(uri: &str, caption: &str, kind: PictureKind) -> String {
    let class = if kind.is_mask() { "mask" } else { "photo" };
    format!("<figure><img class={class} alt='' src='{uri}'><figcaption>{}</figcaption></figure>", escape(caption))
}

/// The file as a data URI, unless it is gone, of another kind, or beyond the budget.
fn embedded(path: &Path, budget: &mut u64) -> Option<String> {
    let kind = match path.extension()?.to_str()? {
        "png" => "png",
        "jpg" => "jpeg",
        _ => return None,
    };
    let size = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len();
    *budget = budget.checked_sub(size)?;
    Some(format!("data:image/{kind};base64,{}", base64(&fs::read(path).ok()?)))
}

/// The run's configuration and environment, as they are.
fn files_section(run_dir: &Path) -> String {
    const MAX_BYTES: usize = 64 << 10;
    [("Configuration", "config.toml"), ("Environment", "environment.json")]
        .into_iter()
        .filter_map(|(title, file)| {
            let bytes = fs::read(run_dir.join(file)).ok()?;
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]).into_owned();
            Some(format!(
                "<h2>{title}</h2><details open><summary>{file}</summary><pre>{}</pre></details>",
                escape(&text)
            ))
        })
        .collect()
}

/// A score with three places, or `n/a`.
fn share(value: Option<f64>) -> String {
    value.map_or("n/a".into(), |v| format!("{v:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(html.contains(&base64(b"overlay.jpg")) && html.contains("a&amp;b over the run"));
        assert!(html.contains("1 classes occur neither"));
        for picture in ["curves.png", "confusion_200.png"] {
            assert!(folder.0.join("pictures").join(picture).is_file(), "{picture}");
        }
        let left: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|n| !n.to_string_lossy().contains("tmp")), "{left:?}");
    }
}
