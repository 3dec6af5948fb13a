//! `report.html` of a run: what was trained and how well it does, curves, scores by class, confusion matrix and pictures
//! in one file that needs no network.
//!
//! ```text
//! metrics.jsonl -> history -> heading, classes, layers (with svg and html) -> page -> report.html, pictures/curves.png,
//! config.toml, environment.json, pictures/val_STEP_NAME_*  ----^                      pictures/confusion_STEP.png
//! ```
//!
//! A run folder comes in, files in it go out. The report is made from what lies in the run folder and from nothing else,
//! so it can be written at any time, while the run goes on or long after. It replaces the one before in one step. Every
//! text from outside is escaped; there is no script in it.

mod classes;
mod heading;
pub mod history;
mod html;
mod layers;
mod page;
mod svg;

pub use page::write;
