//! Shapes that are drawn into masks: polygons, run lengths, and small masks with a place; and masks taken apart into shapes.
//!
//! ```text
//! run_length <- polygon <- figure
//!            \- patch    \
//!                         drawing: the shapes of one picture, each with a class id -> LabelMap
//! LabelMap -> trace: its connected regions, each with its outline and its holes
//! ```
//!
//! Points in pixels from the upper left corner of the picture come in, the pixels of an object or a
//! [`LabelMap`](crate::labels::LabelMap) go out. One rule decides which pixels an outline covers, whatever format it came
//! from: that of COCO's tools, to the pixel. Of overlapping shapes the later covers the earlier.

mod drawing;
mod figure;
mod outline;
mod patch;
mod polygon;
mod run_length;
mod trace;

pub use drawing::{Area, Drawing, Shape};
pub use outline::Outline;
pub use patch::Patch;
pub use polygon::Polygon;
pub use run_length::RunLength;
pub use trace::{Region, regions};
