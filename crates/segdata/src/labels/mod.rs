//! Classes, their colours, and the label map: the only copy.
//!
//! A label map holds one class id a pixel; [`VOID`] marks pixels that count neither in the loss nor in any metric. A
//! class list (`classes.txt`) comes in as text and becomes a [`MaskCoding`]: which class each value or colour of a mask
//! file means. Scores of a network come in as `[classes, pixels]` floats and become ids by [`most_likely`].
//!
//! ```text
//! class_file, names -> class_line -> class_list (text in) -> coding -> classes        map (scores in, ids out)
//! ```
//!
//! Ids, void and colours are those of PASCAL VOC (Everingham et al., "The PASCAL visual object classes challenge: A
//! retrospective", IJCV 2015; `VOClabelcolormap.m` of its development kit).

pub(crate) mod class_file;
mod class_line;
mod class_list;
mod classes;
mod coding;
mod map;
mod names;

pub use classes::{Classes, VOC_NAMES, VOID, voc_colour};
pub use coding::{MaskCoding, MaskValue, MaskValues};
pub use map::{LabelMap, most_likely};

pub(crate) use names::{LABELME_VOID, is_background_name, is_void_name};
