//! What SIGINT and SIGTERM do to a training: the first saves and ends, one more ends at once and says what is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fcn_core::train::StopSignal;
use fcn_core::{Error, Result};

use super::screen::Screen;

/// How far the run is, for whoever has to say what an abort loses.
#[derive(Clone, Default)]
pub struct Standing(Arc<[AtomicU64; 2]>);

impl Standing {
    /// Updates done.
    pub fn at(&self, step: u64) {
        self.0[0].store(step, Ordering::Relaxed);
    }

    /// A checkpoint of the step where the run is has been written, or was there at the beginning.
    pub fn saved(&self, step: u64) {
        self.0[1].store(step, Ordering::Relaxed);
    }

    /// The step where the run is.
    pub fn step(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    fn loss(&self) -> String {
        let saved = self.0[1].load(Ordering::Relaxed);
        let lost = self.step().saturating_sub(saved);
        let steps = if lost == 1 { "1 step is".to_string() } else { format!("{lost} steps are") };
        match (lost, saved) {
            (0, 0) => "aborted; no step had been done".into(),
            (_, 0) => format!("aborted; {steps} lost: none had been saved yet"),
            (0, _) => format!("aborted; nothing is lost: step {saved} is saved, and --resume goes on from it"),
            _ => format!("aborted; {steps} lost, those since step {saved}; --resume goes on from there"),
        }
    }
}

/// Sets the stop signal from now on, answers on the screen, and ends the process at one more signal that comes a second
/// later or more: terminals, `timeout` and schedulers send two at once.
///
/// # Errors
/// A system that lets no signal be caught.
#[cfg(unix)]
pub fn catch(screen: &Screen, standing: &Standing) -> Result<StopSignal> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let refused = |e: std::io::Error| Error::internal(format!("cannot catch signals: {e}"));
    let stop = StopSignal::default();
    // The flag is set in the handler itself: words may come late where all cores are busy, the wish must not.
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(signal, stop.0.clone(), signal as usize).map_err(refused)?;
    }
    // A closed terminal is no reason to stop training.
    signal_hook::flag::register(SIGHUP, Arc::default()).map_err(refused)?;
    let signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
    let (screen, standing) = (screen.clone(), standing.clone());
    let answer = move || answer(signals, &screen, &standing);
    // Without a thread the run stops as well; it says so when it has.
    std::thread::Builder::new().name("signals".into()).spawn(answer).ok();
    Ok(stop)
}

/// Answers signals until the process ends.
#[cfg(unix)]
fn answer(mut signals: signal_hook::iterator::Signals, screen: &Screen, standing: &Standing) {
    use std::time::{Duration, Instant};
    const ONE_WISH: Duration = Duration::from_secs(1);
    let mut last: Option<Instant> = None;
    for signal in &mut signals {
        match last.map(|last| last.elapsed()) {
            None => screen.say("stopping after this step, saving; once more to abort without saving"),
            Some(since) if since < ONE_WISH => {}
            Some(_) => {
                screen.say(&standing.loss());
                std::process::exit(128 + signal);
            }
        }
        last = Some(Instant::now());
    }
}

/// No signals are caught here.
#[cfg(not(unix))]
pub fn catch(_: &Screen, _: &Standing) -> Result<StopSignal> {
    Ok(StopSignal::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_says_what_is_lost() {
        let standing = Standing::default();
        assert!(standing.loss().contains("no step had been done"));
        standing.at(1);
        assert!(standing.loss().contains("1 step is lost"));
        standing.at(7);
        assert!(standing.loss().contains("7 steps are lost"));
        standing.saved(7);
        assert!(standing.loss().contains("nothing is lost"));
        standing.at(9);
        assert!(standing.loss().contains("2 steps are lost, those since step 7"));
    }
}
