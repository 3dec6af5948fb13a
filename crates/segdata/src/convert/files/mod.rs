//! Data sets in files: photographs as they were stored beside masks, or beside COCO's JSON.
//!
//! ```text
//! ids (which ids are names of files everywhere) -> form (where what lies) -> write -> stage (a folder beside the place)
//!                                                                              -> proof (opened and compared) -> its place
//! ```
//!
//! Samples come in, a folder goes out that [`Dataset::open`](crate::dataset::Dataset::open) reads as the same data set: the
//! same splits, ids, classes and labels. What a form cannot hold is refused with a sentence: some names of splits before any
//! work, some ids as bad samples. Everything is written into a hidden folder beside the place where it will lie. There it is
//! opened as any data set and compared, and then it is renamed, so that it is whole or not there. `conversion.json` in it says
//! what was written, so that a later conversion may replace it and nothing else.

mod form;
mod ids;
mod proof;
mod stage;
mod write;

pub(super) use write::Files;

#[cfg(test)]
mod tests;
