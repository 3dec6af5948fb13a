//! Training: data, a configuration and perhaps weights to start from in; a run folder with checkpoints, logs and pictures
//! out.
//!
//! ```text
//! config        -> run: the loop, from top to bottom -> checkpoint (what a run goes on from)
//! memory (and disk)| loader (segdata) -> network -> loss    pace, run_log (lines, TensorBoard)
//! starting_weights | optim, schedule                        validation (scores, pictures) -> events
//! ```
//!
//! [`run`] is one run; [`stages`] are several, each from the best of the one before. The step's number decides everything
//! that happens at a step, so that a run that was stopped goes on with the same bits. [`events`] are the only way out while
//! it runs: nothing here prints.
//!
//! Long, Shelhamer & Darrell 2015 for the stages; the optimisers name their papers.

pub(crate) mod checkpoint;
pub(crate) mod config;
pub(crate) mod events;
mod memory;
pub(crate) mod optim;
pub(crate) mod pace;
pub(crate) mod run;
pub(crate) mod run_log;
pub(crate) mod schedule;
pub(crate) mod scores;
pub(crate) mod stages;
pub(crate) mod starting_weights;
mod validation;

pub use checkpoint::{Best, State, verify_checkpoint};
pub use config::{Model, RunPaths, TrainConfig};
pub use events::{Event, StopSignal};
pub use memory::CheckpointRoom;
pub use optim::{Optimizer, OptimizerKind, OptimizerOptions, add_gradients, gradient_norm};
pub use pace::Live;
pub use run::{TrainOptions, TrainReport, train};
pub use run_log::{METRICS_FILE, StepLog};
pub use schedule::ScheduleKind;
pub use scores::{PicturedScores, ShortScores, Validation};
pub use stages::train_stages;
pub use starting_weights::{Adopted, StartingWeights};
