//! Pictures for people: overlays with a legend, maps of errors, sheets of photographs, confusion matrices, bars and
//! curves.
//!
//! ```text
//! LabelMap -> colours, fit -> paint -> legend -> overlay -> errors -> sheet          font -> canvas <- bars, chart, heatmap
//! ```
//!
//! Photographs, label maps and numbers come in, an [`RgbImage`](crate::image::RgbImage) goes out. Label maps that
//! programs read back are index PNGs (see [`crate::image`]); everything here is for looking at. A run needs nothing
//! but the binary to show its results: the letters are tables in it.

mod bars;
pub mod canvas;
pub(crate) mod chart;
pub(crate) mod colours;
pub(crate) mod errors;
pub(crate) mod fit;
mod font;
pub(crate) mod heatmap;
mod legend;
mod names;
pub(crate) mod overlay;
pub(crate) mod paint;
mod sheet;

pub(crate) use bars::{Bar, bar_chart};
pub(crate) use colours::bar_colour;
pub use colours::picture_colour;
pub use errors::{Judged, error_picture};
pub use fit::for_jpeg;
pub use legend::with_legend;
pub use names::{PictureKind, file_stem};
pub use overlay::{overlay, overlay_pair};
pub use paint::OVERLAY_SHARE;
pub(crate) use sheet::{PhotographTile, photograph_sheet};
pub use sheet::{SheetRow, contact_sheet};
