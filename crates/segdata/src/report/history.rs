//! What a run has written so far, read back from `metrics.jsonl`.
//!
//! The file may be growing while it is read: a last line without its end is left for the next time. A run that was
//! resumed may have logged steps twice: a line with a step that is not later than the one before takes the place of
//! everything from that step on.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::error::{Error, Result};

/// One training step, or the mean of neighbouring ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepPoint {
    /// Step.
    pub step: f64,
    /// Loss a valid pixel.
    pub loss: f64,
    /// Learning rate.
    pub rate: f64,
    /// Images a second.
    pub images_per_s: f64,
}

/// A score of one class at a validation.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct ClassPoint {
    /// Class id.
    pub id: usize,
    /// Class name.
    pub name: String,
    /// IoU, if the class is present.
    pub iou: Option<f64>,
    /// Accuracy, if the class is in the truth.
    pub accuracy: Option<f64>,
    /// IoU of the bands along its contours, if there are any.
    pub boundary_iou: Option<f64>,
    /// Its pixels in the truth.
    pub pixels: u64,
}

/// The scores of the pictured images.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct ShortPoint {
    /// Mean IoU.
    pub miou: Option<f64>,
    /// Share of the pixels that are right.
    pub pixel_accuracy: Option<f64>,
    /// IoU of the bands along contours.
    pub boundary_iou: Option<f64>,
}

/// What the CRF does to the pictured images.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct CrfPoint {
    /// Images.
    pub images: u64,
    /// Without it.
    pub raw: ShortPoint,
    /// With it.
    pub crf: ShortPoint,
    /// Share of the pixels that it changed, 0 to 1.
    pub changed: f64,
}

/// One image and its own score.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct ImagePoint {
    /// Sample id.
    pub id: String,
    /// Its own mIoU.
    pub miou: Option<f64>,
}

/// One validation.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct ValidationPoint {
    /// Step.
    pub step: u64,
    /// Validation loss a valid pixel.
    pub loss: Option<f64>,
    /// Share of the pixels that are right.
    pub pixel_accuracy: Option<f64>,
    /// Mean over classes.
    pub mean_accuracy: Option<f64>,
    /// Mean IoU.
    pub miou: Option<f64>,
    /// Frequency-weighted IoU.
    pub fw_iou: Option<f64>,
    /// IoU of the bands along contours.
    pub boundary_iou: Option<f64>,
    /// Mean of the images' own mIoU.
    pub mean_image_iou: Option<f64>,
    /// The pictured images, where they went through the CRF.
    pub pictured: Option<CrfPoint>,
    /// The images that score worst, the worst first; none in logs of older versions.
    pub worst: Vec<ImagePoint>,
    /// Images scored.
    pub images: u64,
    /// Scores by class.
    pub per_class: Vec<ClassPoint>,
    /// Rows truth, columns prediction.
    pub confusion: Vec<Vec<u64>>,
}

impl ValidationPoint {
    /// The first of those with the highest mean IoU; `None` where none has one.
    pub fn best(validations: &[ValidationPoint]) -> Option<&ValidationPoint> {
        validations.iter().filter(|v| v.miou.is_some()).reduce(|best, v| if v.miou > best.miou { v } else { best })
    }
}

/// Everything read.
#[derive(Clone, Debug, Default)]
pub struct RunHistory {
    /// Training steps, thinned to at most [`MAX_STEP_POINTS`] by averaging neighbours.
    pub steps: Vec<StepPoint>,
    /// The last step logged, as it was logged.
    pub last_step: Option<StepPoint>,
    /// Validations, in order; only the last keeps its confusion matrix.
    pub validations: Vec<ValidationPoint>,
    /// When the first and the last line were written, in seconds since 1970.
    pub times: Option<(f64, f64)>,
    /// Lines that could not be read, a half-written last one not counted.
    pub unreadable_lines: u64,
    stride: u32,
    pending: (StepPoint, u32),
}

/// Points of a curve: more than a screen can show.
pub const MAX_STEP_POINTS: usize = 4096;

#[derive(serde::Deserialize)]
struct Kind {
    kind: String,
    time: Option<f64>,
}

#[derive(serde::Deserialize)]
struct StepLine {
    step: u64,
    loss: Option<f64>,
    rate: Option<f64>,
    images_per_s: Option<f64>,
}

impl RunHistory {
    /// Reads a log; a file that does not exist (yet) is an empty log.
    pub fn read(path: &Path) -> Result<RunHistory> {
        match File::open(path) {
            Ok(file) => Self::parse(BufReader::new(file)).map_err(|e| Error::io("read the metrics", path, &e)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(RunHistory::default()),
            Err(e) => Err(Error::io("read the metrics", path, &e)),
        }
    }

    fn parse(mut from: impl BufRead) -> std::io::Result<RunHistory> {
        let mut log = RunHistory { stride: 1, ..RunHistory::default() };
        let mut line = Vec::new();
        loop {
            line.clear();
            if from.read_until(b'\n', &mut line)? == 0 || line.last() != Some(&b'\n') {
                break;
            }
            let known = serde_json::from_slice::<Kind>(&line).and_then(|Kind { kind, time }| {
                log.at(time);
                match kind.as_str() {
                    "step" => serde_json::from_slice(&line).map(|step| log.add_step(step)),
                    "validation" => serde_json::from_slice(&line).map(|point| log.add_validation(point)),
                    _ => Ok(()),
                }
            });
            if known.is_err() && !line.trim_ascii().is_empty() {
                log.unreadable_lines += 1;
            }
        }
        log.flush();
        Ok(log)
    }

    fn at(&mut self, time: Option<f64>) {
        let Some(time) = time.filter(|time| time.is_finite()) else { return };
        self.times = Some((self.times.map_or(time, |(first, _)| first), time));
    }

    fn add_step(&mut self, line: StepLine) {
        let or_gap = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let point = StepPoint {
            step: line.step as f64,
            loss: or_gap(line.loss),
            rate: or_gap(line.rate),
            images_per_s: or_gap(line.images_per_s),
        };
        if self.last_step.is_some_and(|last| point.step <= last.step) {
            self.flush();
            self.steps.retain(|p| p.step < point.step);
        }
        self.last_step = Some(point);
        let (sum, n) = &mut self.pending;
        *sum = match n {
            0 => point,
            _ => StepPoint {
                step: sum.step + point.step,
                loss: sum.loss + point.loss,
                rate: sum.rate + point.rate,
                images_per_s: sum.images_per_s + point.images_per_s,
            },
        };
        *n += 1;
        if *n == self.stride {
            self.flush();
        }
    }

    /// Ends the running mean; halves the points when there are too many.
    fn flush(&mut self) {
        let (sum, n) = std::mem::take(&mut self.pending);
        if n > 0 {
            self.steps.push(scaled(sum, 1.0 / f64::from(n)));
        }
        if self.steps.len() > MAX_STEP_POINTS {
            self.steps = self.steps.chunks(2).map(mean_point).collect();
            self.stride = self.stride.saturating_mul(2);
        }
    }

    fn add_validation(&mut self, point: ValidationPoint) {
        self.validations.retain(|p| p.step < point.step);
        if let Some(before) = self.validations.last_mut() {
            before.confusion = Vec::new();
        }
        self.validations.push(point);
    }
}

fn scaled(p: StepPoint, factor: f64) -> StepPoint {
    StepPoint {
        step: p.step * factor,
        loss: p.loss * factor,
        rate: p.rate * factor,
        images_per_s: p.images_per_s * factor,
    }
}

fn mean_point(points: &[StepPoint]) -> StepPoint {
    let sum = points.iter().fold(StepPoint::default(), |a, b| StepPoint {
        step: a.step + b.step,
        loss: a.loss + b.loss,
        rate: a.rate + b.rate,
        images_per_s: a.images_per_s + b.images_per_s,
    });
    scaled(sum, 1.0 / points.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> RunHistory {
        RunHistory::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn reads_steps_and_validations_and_skips_what_it_does_not_know() {
        let log = parse(
            "{\"kind\":\"step\",\"step\":10,\"loss\":3.0,\"rate\":0.1,\"images_per_s\":5.0,\"data_wait\":0.0,\"time\":100.5}\n\
             {\"kind\":\"note\",\"text\":\"x\"}\n\
             not json\n\n\
             {\"kind\":\"step\",\"step\":20,\"loss\":null,\"rate\":0.1,\"images_per_s\":5.0}\n\
             {\"kind\":\"validation\",\"step\":20,\"time\":160.5,\"miou\":0.5,\"worst\":[{\"id\":\"x\",\"miou\":0.1}],\"per_class\":[{\"id\":0,\"name\":\"a\",\"iou\":null}],\
             \"confusion\":[[1]]}\n\
             {\"kind\":\"step\",\"step\":30,\"lo",
        );
        assert_eq!(log.steps.len(), 2);
        assert!(log.steps[1].loss.is_nan());
        assert_eq!(log.validations[0].miou, Some(0.5));
        assert_eq!(log.validations[0].per_class[0].iou, None);
        assert_eq!(log.unreadable_lines, 1);
        assert_eq!(log.times, Some((100.5, 160.5)));
        assert_eq!(log.validations[0].worst[0].id, "x");
        assert_eq!(log.last_step.map(|p| p.step), Some(20.0));
    }

    #[test]
    fn a_resumed_run_replaces_what_it_repeats() {
        let line = |step: u64, loss: f64| format!("{{\"kind\":\"step\",\"step\":{step},\"loss\":{loss}}}\n");
        let log = parse(&[line(10, 3.0), line(20, 2.0), line(30, 9.0), line(20, 1.0)].concat());
        let found: Vec<(f64, f64)> = log.steps.iter().map(|p| (p.step, p.loss)).collect();
        assert_eq!(found, [(10.0, 3.0), (20.0, 1.0)]);
    }

    #[test]
    fn long_runs_are_thinned_to_means() {
        let n = 20_000u64;
        let text: String = (1..=n).map(|s| format!("{{\"kind\":\"step\",\"step\":{s},\"loss\":{s}}}\n")).collect();
        let log = parse(&text);
        assert!(log.steps.len() <= MAX_STEP_POINTS && log.steps.len() > MAX_STEP_POINTS / 4, "{}", log.steps.len());
        assert!(log.steps.windows(2).all(|w| w[0].step < w[1].step));
        assert!(log.steps.iter().all(|p| (p.loss - p.step).abs() < 1e-9));
        assert_eq!(log.last_step.map(|p| p.step), Some(n as f64));
    }

    #[test]
    fn a_missing_file_is_an_empty_log() {
        let log = RunHistory::read(Path::new("/nonexistent/metrics.jsonl")).unwrap();
        assert!(log.steps.is_empty() && log.validations.is_empty());
    }
}
