//! The colours of classes.

use super::canvas::Rgb;
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap, VOID, voc_colour};

/// The colour of an id: that of its class, VOC's void colour for everything that is no class.
pub fn colour_of(id: u8, classes: &Classes) -> Rgb {
    classes.palette.get(usize::from(id)).copied().unwrap_or(voc_colour(VOID))
}

/// The label map in the colours of its classes.
pub fn colourise(map: &LabelMap, classes: &Classes) -> RgbImage {
    let table: Vec<Rgb> = (0..=255).map(|id| colour_of(id, classes)).collect();
    let rgb_hwc = map.ids.iter().flat_map(|&id| table[usize::from(id)]).collect();
    RgbImage { width: map.width, height: map.height, rgb_hwc }
}
