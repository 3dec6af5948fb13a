//! Shapes that are drawn into masks: polygons, run lengths, and small masks with a place.
//!
//! ```text
//! run_length <- polygon <- figure
//!            \- patch    \
//!                         drawing: the shapes of one picture, each with a class id -> LabelMap
//! ```
//!
//! Points in pixels from the upper left corner of the picture come in, the pixels of an object or a
//! [`LabelMap`](crate::labels::LabelMap) go out. One rule decides which pixels an outline covers, whatever format it came
//! from: that of COCO's tools, to the pixel. Of overlapping shapes the later covers the earlier.

mod drawing;
mod figure;
mod patch;
mod polygon;
mod run_length;

pub use drawing::{Area, Drawing, Shape};
pub use patch::Patch;
pub use polygon::Polygon;
pub use run_length::RunLength;
