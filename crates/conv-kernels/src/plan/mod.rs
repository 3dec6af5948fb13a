//! Which way a layer goes: one table, with the reason of each line.
//!
//! ```text
//! options -> layer -> table -> choice
//! ```
//!
//! In go the sizes of a layer, the pass and what the caller asked for ([`Algorithm`], [`Purpose`], [`Precision`]); out comes what
//! is multiplied, in which order and in which precision ([`forward`], [`weight_gradient`]), or the same for people to read
//! ([`Plan`]). Nothing is computed here: that is for `direct` and `winograd`.
//!
//! * `layer`: what a choice may look at. Sizes and options only, and of the processor only the width of its vectors: neither
//!   the number of threads nor anything that was measured at run time, so that results are the same from run to run.
//! * `table`: a list of lines for each question. The first line that fits is taken, and the last one always does.
//! * `choice`: the questions in their order.
//!
//! What a task takes at a time is no part of it; that is cut where the work is done.
//!
//! [`Precision`]: crate::Precision

mod choice;
mod layer;
mod line;
mod options;
mod table;

pub(crate) use choice::{Forward, WeightGradient, forward, gains_from_preparing, plan, weight_gradient};
pub use layer::Pass;
pub(crate) use layer::{Arithmetic, Layer};
pub use line::{Plan, PlanLine};
pub use options::{Algorithm, Purpose};

#[cfg(test)]
mod tests;
