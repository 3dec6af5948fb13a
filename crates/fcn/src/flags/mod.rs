//! Flags that several subcommands have, each set in a file of its own.
//!
//! A set is a `clap::Args` that a subcommand takes in with `#[command(flatten)]`, and the one place where its words are
//! turned into the options of a library. Flags of one subcommand alone are in its file, in [`crate::commands`].

pub mod choice;
pub mod crf;
pub mod data;
pub mod global;
pub mod inference;
pub mod mask_values;
pub mod reading;
pub mod size;
