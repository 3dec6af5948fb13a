//! Layouts whose labels are shapes in text files: one file a layout.
//!
//! A mask is drawn when a sample is read, by [`shapes`](crate::image::shapes): every format by the same rule. Of overlapping
//! shapes the later one in the file covers the earlier; pixels without a shape are background, which is class 0 unless a
//! class list says otherwise. A class list that the user gives decides ids by the names of labels; labels called
//! `__ignore__`, `void` or `ignore` are void.
//!
//! ```text
//! document (JSON with limits) -> coco, labelme, cvat, yolo, supervisely -> class_names, samples -> Layout
//! ```
//!
//! A file that cannot be read at all is an error that names line and column. What is wrong with the shapes of one picture
//! is a fault of its list, which names the shape.

mod class_names;
mod coco;
mod coco_file;
mod cvat;
mod cvat_file;
mod document;
pub(in crate::dataset) mod labelme;
mod samples;
mod supervisely;
mod yolo;
mod yolo_config;

pub(super) use coco::Coco;
pub(super) use cvat::Cvat;
pub(super) use labelme::Labelme;
pub(super) use supervisely::Supervisely;
pub(super) use yolo::Yolo;

#[cfg(test)]
mod tests;
