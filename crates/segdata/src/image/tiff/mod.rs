//! TIFF 6.0 and BigTIFF: what the first page says, and its samples by band.
//!
//! ```text
//! bytes -> directory (the tags of a page) -> page (is it read, and what are its bands?)
//!                                         -> samples (the bands asked for) -> colours (RGB, 8 or 16 bits)
//! ```
//!
//! A file's bytes come in; a `Page` or `Samples` go out. The `tiff` crate decompresses, one strip or tile at a time;
//! tags are read here first, because what a file is must be known where that crate gives up: a palette, bands without
//! colours, a camera's raw file. What is damaged is told from what is whole and not read.

mod colours;
mod directory;
mod page;
mod samples;

pub(super) use colours::{Colours, colours};
pub(super) use page::{Meaning, Page, count_pages};
pub(super) use samples::{Samples, read_samples};

#[cfg(test)]
mod tests;
