//! What the masks of a data set say together, before any of them is believed.
//!
//! ```text
//! splits -> samples -> survey (headers of all masks; pixels where they leave a doubt) -> contradictions -> refused
//!                   -> explain (values and what they probably mean)
//! ```
//!
//! A mask alone is always readable: whether its index still is the class, only the other masks and their palettes show.
//! Splits come in; an [`Error`](crate::error::Error) with its remedy goes out, or nothing.

mod contradictions;
pub(crate) mod explain;
mod one_class;
mod samples;
mod survey;

pub(crate) use contradictions::{MaskFacts, contradictions, named_like_void};
pub(crate) use one_class::{only_one_class, refuse_one_class};
pub(crate) use samples::samples;
pub(crate) use survey::{refuse_contradicting_records, refuse_contradictions};
