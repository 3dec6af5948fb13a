//! The lines of a training on stderr: on a terminal one line that follows every step, elsewhere a line now and then.

use std::io::IsTerminal;
use std::time::Duration;

use fcn_core::train::{CheckpointRoom, Live, OptimizerKind, StepLog, TrainConfig};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::flags::global::Global;
use crate::report;

/// Where the lines go. Cheap to clone; any thread may write.
#[derive(Clone)]
pub struct Screen {
    bar: ProgressBar,
    live: bool,
    quiet: bool,
}

impl Screen {
    pub fn new(global: &Global) -> Self {
        let live = std::io::stderr().is_terminal() && !global.quiet;
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Screen { bar, live, quiet: global.quiet }
    }

    /// Writes a line that stays, whatever the user wants to hear.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| report::note(text));
    }

    /// Writes a line that stays, unless it is to be quiet.
    pub fn tell(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// What is done before the first step.
    pub fn phase(&self, what: &str) {
        match self.live {
            true => {
                self.bar.enable_steady_tick(Duration::from_millis(200));
                self.bar.set_message(format!("{what} .."));
            }
            false => self.tell(what),
        }
    }

    /// Any step: `first` of those that this process does.
    pub fn step(&self, live: &Live, first: bool) {
        match self.live {
            true => self.bar.set_message(live_line(live)),
            false if first => self.tell(&live_line(live)),
            false => {}
        }
    }

    /// A step that is due for logging, in this epoch.
    pub fn logged(&self, log: &StepLog, epoch: f64) {
        if !self.live {
            self.tell(&format!(
                "step {:>6}  epoch {epoch:>5.1}  loss {:.4}  rate {:.2e}  {:>6.2} images/s  data wait {:>3.0} %  ETA {:>6}  peak {}",
                log.step,
                log.loss,
                log.rate,
                log.images_per_s,
                log.data_wait * 100.0,
                report::duration(log.eta_secs),
                report::bytes(log.peak_rss_bytes)
            ));
        }
    }

    /// How far a validation is; elsewhere than on a terminal the result says it.
    pub fn validating(&self, done: usize, total: usize) {
        if self.live {
            self.bar.set_message(format!("validating {done}/{total}"));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Where a run stands, in one line of less than 100 columns.
fn live_line(live: &Live) -> String {
    let Live { step, steps, epoch, epochs, loss, mean_loss, rate, images_per_s, eta_secs, peak_rss_bytes } = *live;
    format!(
        "step {step}/{steps}  epoch {epoch:.1}/{epochs:.1}  loss {loss:.4} (mean {mean_loss:.4})  rate {rate:.1e}  \
         {images_per_s:.1} images/s  ETA {}  {}",
        report::duration(eta_secs),
        report::bytes(peak_rss_bytes)
    )
}

/// What a run is about to do.
pub fn start_lines(
    config: &TrainConfig,
    parameters: usize,
    [training, validation]: [usize; 2],
    room: CheckpointRoom,
    step: u64,
) -> String {
    let other = config.rate_for_the_other_reduction();
    let equivalent = match (config.loss, config.optimizer) {
        (_, OptimizerKind::Adam | OptimizerKind::AdamW) => String::new(),
        (fcn_core::loss::Reduction::Mean, _) => format!(" (on the summed loss: {other:.2e})"),
        (fcn_core::loss::Reduction::Sum, _) => format!(" (on the mean loss: {other:.2e})"),
    };
    let epochs = |steps: u64| (steps * config.images_per_step() as u64) as f64 / training.max(1) as f64;
    let free = room.free.map_or(String::new(), |free| format!("; {} are free", report::bytes(free)));
    format!(
        "{parameters} trainable parameters; {training} training and {validation} validation images\n\
         from step {step} to {}, epoch {:.1} to {:.1}, {} images a step, crop {}, rate {:.2e}{equivalent}\n\
         checkpoints take {} each, up to {} in all{free}",
        config.steps,
        epochs(step),
        epochs(config.steps),
        config.images_per_step(),
        config.crop,
        config.lr,
        report::bytes(room.each),
        report::bytes(room.most),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_live_line_fits_a_terminal() {
        let live = Live {
            step: 123_456,
            steps: 200_000,
            epoch: 1234.56,
            epochs: 2000.0,
            loss: 0.123456,
            mean_loss: 0.2345,
            rate: 1e-4,
            images_per_s: 123.4,
            eta_secs: 36_000.0,
            peak_rss_bytes: 12 << 30,
        };
        let line = live_line(&live);
        assert!(line.len() <= 130 && line.contains("epoch 1234.6/2000.0") && line.contains("ETA 10h00m"), "{line}");
    }
}
