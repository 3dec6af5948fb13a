//! What a run writes as it goes: `metrics.jsonl`, one JSON object a line, and TensorBoard event files.
//!
//! The metrics file is the record: a fault there ends the run. TensorBoard is a convenience: if it cannot be written, the
//! run says so once and goes on.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tfio::events::{EventError, EventWriter, Hyperparameter};

use crate::{Error, Result};

/// Name of the metrics file in a run folder.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// One logged training step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepLog {
    /// Updates done.
    pub step: u64,
    /// Loss of this step's own images, per valid pixel, in nats.
    pub loss: f64,
    /// Learning rate of this step.
    pub rate: f64,
    /// Length of this step's gradient before clipping.
    pub gradient_norm: f64,
    /// Training images a second since the last line, without validation and saving.
    pub images_per_s: f64,
    /// Share of that time spent waiting for data, 0 to 1.
    pub data_wait: f64,
    /// Seconds the rest will take at this speed.
    pub eta_secs: f64,
    /// Most memory the process has had, in bytes.
    pub peak_rss_bytes: u64,
    /// Seconds since 1970.
    pub time: f64,
}

/// The open files of a run.
pub struct RunLog {
    path: PathBuf,
    metrics: File,
    events: Option<EventWriter>,
    /// A fault of TensorBoard's file that has not been told yet.
    fault: Option<String>,
}

impl RunLog {
    /// Opens the log of `run`, which goes on after `step`: lines beyond it, from a part of the run that is repeated now,
    /// are dropped.
    ///
    /// # Errors
    /// A metrics file that cannot be read or written.
    pub fn open(run: &Path, step: u64) -> Result<Self> {
        let path = run.join(METRICS_FILE);
        if path.exists() {
            keep_lines_until(&path, step)?;
        }
        let metrics = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|e| Error::io("open the metrics file", &path, &e))?;
        let (events, fault) = match open_events(run, step) {
            Ok(events) => (Some(events), None),
            Err(fault) => (None, Some(fault.to_string())),
        };
        Ok(RunLog { path, metrics, events, fault })
    }

    /// A remark on TensorBoard's file that the user should see, once.
    pub fn take_fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    /// Shows the configuration of a run that begins, a TOML document, in TensorBoard: as text, and as hyperparameters.
    pub fn configuration(&mut self, config: &str) {
        let settings: toml::Table = toml::from_str(config).unwrap_or_default();
        let setting = |value: &toml::Value| match value {
            toml::Value::Integer(number) => Some(Hyperparameter::Number(*number as f64)),
            toml::Value::Float(number) => Some(Hyperparameter::Number(*number)),
            toml::Value::Boolean(yes) => Some(Hyperparameter::Bool(*yes)),
            toml::Value::String(text) => Some(Hyperparameter::Text(text.clone())),
            _ => None,
        };
        let settings: Vec<_> =
            settings.iter().filter_map(|(key, value)| Some((key.clone(), setting(value)?))).collect();
        self.events(|events| {
            events.text(0, "config", &format!("```toml\n{config}```"))?;
            events.hyperparameters(settings)
        });
    }

    /// Appends a training step.
    ///
    /// # Errors
    /// A metrics file that cannot be written.
    pub fn step(&mut self, log: &StepLog) -> Result<()> {
        self.append("step", log)?;
        let step = log.step as i64;
        self.events(|events| {
            events.scalar(step, "train/loss", log.loss as f32)?;
            events.scalar(step, "train/rate", log.rate as f32)?;
            events.scalar(step, "train/gradient_norm", log.gradient_norm as f32)?;
            events.scalar(step, "train/images_per_s", log.images_per_s as f32)
        });
        Ok(())
    }

    /// Appends a validation: `report` as it is, and `scalars` as curves by their tags below `validation/`.
    ///
    /// # Errors
    /// A metrics file that cannot be written.
    pub fn validation(&mut self, step: u64, report: &impl Serialize, scalars: &[(String, Option<f64>)]) -> Result<()> {
        #[derive(Serialize)]
        struct Line<'a, R> {
            step: u64,
            time: f64,
            #[serde(flatten)]
            report: &'a R,
        }
        self.append("validation", &Line { step, time: now_secs(), report })?;
        self.events(|events| {
            for (tag, value) in scalars {
                if let Some(value) = value {
                    events.scalar(step as i64, &format!("validation/{tag}"), *value as f32)?;
                }
            }
            Ok(())
        });
        Ok(())
    }

    /// Adds a picture to TensorBoard.
    pub fn picture(&mut self, step: u64, tag: &str, width: usize, height: usize, png: &[u8]) {
        self.events(|events| events.image_png(step as i64, tag, width as u32, height as u32, png));
    }

    fn append(&mut self, kind: &str, line: &impl Serialize) -> Result<()> {
        #[derive(Serialize)]
        struct Tagged<'a, L> {
            kind: &'a str,
            #[serde(flatten)]
            line: &'a L,
        }
        let mut text = serde_json::to_vec(&Tagged { kind, line })
            .map_err(|e| Error::internal(format!("cannot write a metrics line: {e}")))?;
        text.push(b'\n');
        self.metrics.write_all(&text).map_err(|e| Error::io("append to the metrics file", &self.path, &e))
    }

    fn events(&mut self, write: impl FnOnce(&mut EventWriter) -> std::result::Result<(), EventError>) {
        if let Some(events) = &mut self.events
            && let Err(fault) = write(events).and_then(|()| events.flush())
        {
            self.fault = Some(fault.to_string());
            self.events = None;
        }
    }
}

fn open_events(run: &Path, step: u64) -> std::result::Result<EventWriter, EventError> {
    let mut events = EventWriter::create(run, now_secs(), "")?;
    if step > 0 {
        events.resume_at(step as i64 + 1)?;
    }
    events.flush()?;
    Ok(events)
}

/// Seconds since 1970; 0 on a clock before that.
pub fn now_secs() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Rewrites the file without lines beyond `step` and without a half-written last one.
fn keep_lines_until(path: &Path, step: u64) -> Result<()> {
    let text = fs::read_to_string(path).map_err(|e| Error::io("read the metrics file", path, &e))?;
    let within = |line: &&str| {
        serde_json::from_str::<serde_json::Value>(line)
            .is_ok_and(|value| value["step"].as_u64().is_some_and(|found| found <= step))
    };
    let kept: String = text.lines().filter(within).flat_map(|line| [line, "\n"]).collect();
    let temporary = path.with_extension("jsonl.tmp");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(kept.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|e| Error::io("rewrite the metrics file", path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(step: u64) -> StepLog {
        StepLog {
            step,
            loss: 1.5,
            rate: 1e-4,
            gradient_norm: 2.0,
            images_per_s: 3.0,
            data_wait: 0.0,
            eta_secs: 1.0,
            peak_rss_bytes: 7,
            time: 0.0,
        }
    }

    #[test]
    fn a_resumed_log_has_each_step_once_and_no_torn_line() {
        let run = tempfile::tempdir().unwrap();
        let mut first = RunLog::open(run.path(), 0).unwrap();
        for step in [10, 20, 30] {
            first.step(&log(step)).unwrap();
        }
        drop(first);
        let path = run.path().join(METRICS_FILE);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"kind\":\"st").unwrap();
        let mut second = RunLog::open(run.path(), 20).unwrap();
        second.step(&log(30)).unwrap();
        second.validation(30, &serde_json::json!({"miou": 0.5}), &[("miou".into(), Some(0.5))]).unwrap();
        assert_eq!(second.take_fault(), None);
        let lines: Vec<serde_json::Value> =
            fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let seen: Vec<_> = lines.iter().map(|l| (l["kind"].as_str().unwrap(), l["step"].as_u64().unwrap())).collect();
        assert_eq!(seen, [("step", 10), ("step", 20), ("step", 30), ("validation", 30)]);
    }

    #[test]
    fn the_formats_page_explains_every_key_of_a_line() {
        use crate::evaluate::{Evaluation, Skipped};
        use crate::train::scores::{ImageScore, PicturedScores, ShortScores, Validation};
        use segdata::metrics::Tally;

        let page = include_str!("../../../../docs/formats.md");
        let run = tempfile::tempdir().unwrap();
        let mut lines = RunLog::open(run.path(), 0).unwrap();
        lines.step(&log(10)).unwrap();
        let tally = Tally::new(1);
        let short = ShortScores::from(&tally);
        let skipped = vec![Skipped { id: String::new(), reason: String::new() }];
        let report = Validation {
            step: 10,
            evaluation: Evaluation { scores: tally.scores(&[]), loss: None, skipped },
            pictured: Some(PicturedScores { images: 0, raw: short, crf: short, changed: 0.0, seconds: 0.0 }),
            worst: vec![ImageScore { id: String::new(), miou: 0.0 }],
        };
        lines.validation(10, &report, &[]).unwrap();

        let mut rest: Vec<serde_json::Value> = fs::read_to_string(run.path().join(METRICS_FILE))
            .unwrap()
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        let mut keys = std::collections::BTreeSet::new();
        while let Some(value) = rest.pop() {
            match value {
                serde_json::Value::Object(object) => object.into_iter().for_each(|(key, value)| {
                    keys.insert(key);
                    rest.push(value);
                }),
                serde_json::Value::Array(values) => rest.extend(values),
                _ => {}
            }
        }
        let missing: Vec<_> = keys.iter().filter(|key| !page.contains(&format!("`{key}`"))).collect();
        assert!(keys.len() > 30 && missing.is_empty(), "docs/formats.md lacks {missing:?} of {} keys", keys.len());
    }
}
