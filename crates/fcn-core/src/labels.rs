//! Classes, their colours, and the label map: the only copy.
//!
//! A label map holds one class id a pixel; [`VOID`] marks pixels that count neither in the loss nor in any metric.

/// The id of pixels without a label, in masks on disk and in memory.
pub const VOID: u8 = 255;

/// The 21 classes of PASCAL VOC, in the order of their ids.
pub const VOC_NAMES: [&str; 21] = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// The colour of class `id` in PASCAL VOC's colour map: the bits of the id, three at a time, become the high bits of
/// red, green and blue (VOC development kit, `VOClabelcolormap.m`). `voc_colour(255)` is the void colour.
pub const fn voc_colour(id: u8) -> [u8; 3] {
    let mut rgb = [0u8; 3];
    let mut rest = id;
    let mut shift = 7;
    while rest > 0 {
        rgb[0] |= (rest & 1) << shift;
        rgb[1] |= ((rest >> 1) & 1) << shift;
        rgb[2] |= ((rest >> 2) & 1) << shift;
        rest >>= 3;
        shift -= 1;
    }
    rgb
}

/// A class list: names and colours by id. Ids are `0..len()`; at most 255 classes, since 255 is [`VOID`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Classes {
    /// Name of each class, by id.
    pub names: Vec<String>,
    /// Colour of each class, by id: red, green, blue.
    pub palette: Vec<[u8; 3]>,
}

impl Classes {
    /// The 21 classes of PASCAL VOC with its colours.
    pub fn voc() -> Self {
        Self::named(VOC_NAMES)
    }

    /// Classes with the colours of VOC's colour map.
    pub fn named<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let palette = (0..names.len()).map(|id| voc_colour(id as u8)).collect();
        Classes { names, palette }
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no class at all.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// One class id a pixel, row-major, at the size of the photograph it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width` class ids, row-major; [`VOID`] where there is no label.
    pub ids: Vec<u8>,
}

impl LabelMap {
    /// A map of one id everywhere.
    pub fn filled(width: usize, height: usize, id: u8) -> Self {
        LabelMap { width, height, ids: vec![id; width * height] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_is_vocs_formula() {
        let cases: [(u8, [u8; 3]); 6] = [
            (0, [0, 0, 0]),
            (1, [128, 0, 0]),
            (8, [64, 0, 0]),
            (15, [192, 128, 128]),
            (20, [0, 64, 128]),
            (VOID, [224, 224, 192]),
        ];
        for (id, rgb) in cases {
            assert_eq!(voc_colour(id), rgb, "class {id}");
        }
    }
}
