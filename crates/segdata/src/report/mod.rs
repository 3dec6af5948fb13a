//! `report.html` of a run: curves, scores by class, confusion matrix and pictures in one file that needs no network.
//!
//! ```text
//! metrics.jsonl -> history -> page (with svg and html) -> report.html, pictures/curves.png, pictures/confusion_N.png
//! ```
//!
//! A run folder comes in, files in it go out. The report is made from what lies in the run folder and from nothing else,
//! so it can be written at any time, while the run goes on or long after. It replaces the one before in one step. Every
//! text from outside is escaped; there is no script in it.

pub mod history;
mod html;
mod page;
mod svg;

pub use page::write;
