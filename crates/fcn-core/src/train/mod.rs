//! Training: data, a configuration and perhaps weights to start from in; a run folder with checkpoints, logs and pictures
//! out.
//!
//! ```text
//! config        -> run: the loop, from top to bottom -> checkpoint (what a run goes on from)
//! memory           | loader (segdata) -> network -> loss    run_log (lines, TensorBoard)
//! starting_weights | optim, schedule                        validation (scores, pictures) -> events
//! ```
//!
//! [`run`] is one run; [`stages`] are several, each from the best of the one before. The step's number decides everything
//! that happens at a step, so that a run that was stopped goes on with the same bits. [`events`] are the only way out while
//! it runs: nothing here prints.
//!
//! Long, Shelhamer & Darrell 2015 for the stages; the optimisers name their papers.

pub mod checkpoint;
pub mod config;
pub mod events;
pub mod memory;
pub mod optim;
pub mod run;
pub mod run_log;
pub mod schedule;
pub mod scores;
pub mod stages;
pub mod starting_weights;
pub mod validation;
