//! Data sets: photographs with one class id a pixel, from folders or records.
//!
//! ```text
//! path -> layouts (which layout is it?) -> Layout: lists of entries, with their faults
//!      -> open    (what do mask values mean, and do the masks agree?) -> Dataset -> Split
//!      -> Split::load(i) -> Sample -> augment -> loader -> Batch
//! ```
//!
//! [`Dataset::open`] lists what is there without decoding a pixel; [`Split::load`] reads one sample, from any thread.
//! What a list names but the folder lacks, ids that would leave the folder, and duplicates are found at opening:
//! [`Dataset::split`] refuses them all at once, [`Dataset::split_as_listed`] passes them on to be reported or skipped.
//!
//! How each data set lies on disk is described in [`layouts`]; scaling, cropping and mirroring follow Long, Shelhamer &
//! Darrell, "Fully convolutional networks for semantic segmentation" (CVPR 2015), section 4.3, and are in [`augment`].

pub mod augment;
mod entry;
mod layout;
pub mod layouts;
mod listing;
pub mod loader;
pub(crate) mod masks;
pub(crate) mod names;
mod open;
mod sample;
mod split;

pub use entry::Fault;
pub use layout::{Form, OpenOptions};
pub use open::Dataset;
pub use sample::{EncodedSample, Sample};
pub use split::Split;

pub(crate) use layout::Layout;
pub(crate) use sample::check_sizes;

#[cfg(test)]
pub(crate) mod drawn;
#[cfg(test)]
mod tests;
