//! The data-set linter: everything that would end in a wrong or undefined score, found before training.
//!
//! ```text
//! path -> inspect (each file, in parallel) -> rules (all of them together) -> problems  \
//!                                          -> count (by class and size)    -> splits    -> Report, and pictures (show)
//! ```
//!
//! [`CheckOptions`] come in, a [`Report`] goes out. One pass in parallel looks at every file; what it found is then
//! checked as a whole, in a fixed order, so that the report does not depend on the number of threads. Nothing stops at
//! the first problem. The codes of problems are stable: scripts may rely on them.

mod count;
mod inspect;
mod problem;
mod rules;
mod run;
mod show;

pub use count::{ClassCount, SixteenBits, SizeCount, SplitReport};
pub use problem::{Problem, Severity};
pub use run::{CheckOptions, Report, check};
pub use show::CheckPictures;

#[cfg(test)]
mod masks_tests;
#[cfg(test)]
mod tests;
