//! What passes between the loop and whoever started it: events one way, a wish to stop the other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ErrorKind;
use crate::train::config::TrainConfig;
use crate::train::memory::CheckpointRoom;
use crate::train::pace::Live;
use crate::train::run_log::StepLog;
use crate::train::scores::Validation;
use segdata::dataset::Form;

/// Set from a signal handler: the number of the signal that asks the run to stop, 0 for none.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(pub Arc<AtomicUsize>);

impl StopSignal {
    /// The fault to end with, if a signal came.
    pub fn requested(&self) -> Option<ErrorKind> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            2 => Some(ErrorKind::Interrupted),
            _ => Some(ErrorKind::Terminated),
        }
    }
}

/// What the loop reports while it runs.
pub enum Event<'a> {
    /// The run is about to begin or to go on.
    Start {
        /// The effective configuration.
        config: &'a TrainConfig,
        /// The run folder.
        run: &'a Path,
        /// How the data set lies on disk.
        layout: Form,
        /// Files beside the photographs and masks that are neither, counted, in a sentence.
        left_out: Option<&'a str>,
        /// Numbers that are learnt.
        parameters: usize,
        /// Images of the training and the validation split.
        images: [usize; 2],
        /// What checkpoints take on the disk.
        room: CheckpointRoom,
        /// Updates done before.
        step: u64,
    },
    /// What is done before the first step, in words.
    Phase(String),
    /// Any step.
    Live(&'a Live),
    /// A step that is due for logging.
    Step(&'a StepLog),
    /// Validation has reached so many of so many images.
    Validating(usize, usize),
    /// A validation is done.
    Validation(&'a Validation),
    /// A checkpoint is safe in this folder.
    Saved(&'a Path),
    /// Something worth a line.
    Remark(String),
}
