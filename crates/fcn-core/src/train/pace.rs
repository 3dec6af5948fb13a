//! How fast a run goes and where it stands, from step to step: the lines of its log, and what is shown while it runs.

use std::collections::VecDeque;
use std::time::Instant;

use crate::environment::peak_rss_bytes;
use crate::train::run_log::{StepLog, now_secs};

/// Steps whose time the live figures are the mean of.
const RECENT_STEPS: usize = 20;

/// How much of the running mean of the loss a step leaves as it was.
const LOSS_KEPT: f64 = 0.98;

/// Where a run stands, at any step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Live {
    /// Updates done, and in all.
    pub step: u64,
    /// Updates in all.
    pub steps: u64,
    /// Times the training split was seen, with the part of the one under way.
    pub epoch: f64,
    /// The same when all updates are done.
    pub epochs: f64,
    /// Loss of this step's own images, per valid pixel, in nats.
    pub loss: f64,
    /// Running mean of the loss since the process began, over about the last fifty steps.
    pub mean_loss: f64,
    /// Learning rate of this step.
    pub rate: f64,
    /// Training images a second over the last steps.
    pub images_per_s: f64,
    /// Seconds the rest will take at this speed, without validation and saving.
    pub eta_secs: f64,
    /// Most memory the process has had, in bytes.
    pub peak_rss_bytes: u64,
}

/// What a step did.
#[derive(Clone, Copy)]
pub(super) struct Done {
    pub step: u64,
    pub loss: f64,
    pub rate: f64,
    pub gradient_norm: f64,
}

/// Time spent training, since the last log line and over the last steps.
pub(super) struct Pace {
    images_per_step: usize,
    images: usize,
    steps: u64,
    since_line: u64,
    secs: f64,
    waited_secs: f64,
    recent_secs: VecDeque<f64>,
    /// Weighted sum of losses and sum of the weights.
    mean_loss: [f64; 2],
}

impl Pace {
    /// Of a run of `steps` updates on a split of `images`.
    pub fn new(images_per_step: usize, images: usize, steps: u64) -> Self {
        Pace {
            images_per_step,
            images,
            steps,
            since_line: 0,
            secs: 0.0,
            waited_secs: 0.0,
            recent_secs: VecDeque::new(),
            mean_loss: [0.0; 2],
        }
    }

    /// Counts time that went into waiting for data.
    pub fn waited(&mut self, since: Instant) {
        self.waited_secs += since.elapsed().as_secs_f64();
    }

    /// Counts a step that began at `started`, and says where the run stands.
    pub fn step(&mut self, started: Instant, done: Done) -> Live {
        let secs = started.elapsed().as_secs_f64();
        self.since_line += 1;
        self.secs += secs;
        self.recent_secs.push_back(secs);
        if self.recent_secs.len() > RECENT_STEPS {
            self.recent_secs.pop_front();
        }
        let [sum, weight] = self.mean_loss;
        self.mean_loss = [LOSS_KEPT * sum + done.loss, LOSS_KEPT * weight + 1.0];
        let secs_per_step = (self.recent_secs.iter().sum::<f64>() / self.recent_secs.len() as f64).max(1e-9);
        let epochs = |steps: u64| (steps * self.images_per_step as u64) as f64 / self.images.max(1) as f64;
        Live {
            step: done.step,
            steps: self.steps,
            epoch: epochs(done.step),
            epochs: epochs(self.steps),
            loss: done.loss,
            mean_loss: self.mean_loss[0] / self.mean_loss[1],
            rate: done.rate,
            images_per_s: self.images_per_step as f64 / secs_per_step,
            eta_secs: (self.steps - done.step) as f64 * secs_per_step,
            peak_rss_bytes: peak_rss_bytes(),
        }
    }

    /// The log line of a step; the count starts anew.
    pub fn line(&mut self, done: Done) -> StepLog {
        let Done { step, loss, rate, gradient_norm } = done;
        let secs = self.secs.max(1e-9);
        let line = StepLog {
            step,
            loss,
            rate,
            gradient_norm,
            images_per_s: (self.since_line * self.images_per_step as u64) as f64 / secs,
            data_wait: (self.waited_secs / secs).min(1.0),
            eta_secs: (self.steps - step) as f64 * secs / self.since_line.max(1) as f64,
            peak_rss_bytes: peak_rss_bytes(),
            time: now_secs(),
        };
        (self.since_line, self.secs, self.waited_secs) = (0, 0.0, 0.0);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_means_and_lines_follow_the_steps() {
        let mut pace = Pace::new(4, 10, 100);
        let done = |step: u64, loss: f64| Done { step, loss, rate: 0.1, gradient_norm: 1.0 };
        let first = pace.step(Instant::now(), done(1, 2.0));
        assert_eq!((first.epoch, first.epochs, first.mean_loss), (0.4, 40.0, 2.0));
        let second = pace.step(Instant::now(), done(2, 1.0));
        assert!((second.mean_loss - (0.98 * 2.0 + 1.0) / 1.98).abs() < 1e-12);
        assert!(second.images_per_s > 0.0 && second.eta_secs >= 0.0);
        let line = pace.line(done(2, 1.0));
        assert_eq!((line.step, line.loss, pace.since_line), (2, 1.0, 0));
    }
}
