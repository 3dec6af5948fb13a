//! Label maps as the label files of other programs: COCO, labelme, CVAT and YOLO.
//!
//! ```text
//! LabelMap -> image::shapes::regions -> coco (run lengths) | labelme, yolo (outlines) | cvat (outlines, masks) -> files
//! names: which class has which name and number, and which one is the rest that no shape covers
//! ```
//!
//! A label map and the name of its photograph come in, files go out: one for all pictures (COCO, CVAT), or one a picture
//! (labelme, YOLO). An object is a connected region of one class ([`regions`](crate::image::shapes::regions)). What no
//! object covers is the first class that is called background; a class list without one has an object for every region.
//! Run lengths and masks are exact to the pixel. Outlines run on the edges of pixels and may be simplified; where every
//! corner is kept, [`Dataset`](crate::dataset::Dataset) reads the same label map from the files, void too.
//!
//! | format | an object is | a hole is |
//! | --- | --- | --- |
//! | COCO | run lengths | not in the run lengths |
//! | labelme | an outline, the outer before those within | drawn over by what lies in it, background too |
//! | CVAT | an outline | the object is a mask then |
//! | YOLO | an outline | cut into the outline along a line of no width |
//!
//! Beside the label files lies the class list that gives them their ids, `classes.txt`.

mod coco;
mod cvat;
mod files;
mod labelme;
mod names;
mod yolo;

pub use files::{LabelFiles, LabelFormat, LabelOptions, Picture};

pub(super) use coco::{CocoFile, Object, objects};
pub(super) use names::{Names, readable};

#[cfg(test)]
mod tests;
