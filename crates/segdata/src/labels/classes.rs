//! The classes of a data set: names and colours by id, and the id that means "no label".

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

    /// The class list as a `classes.txt`: `id name r g b` a line, void last.
    /// [`MaskCoding::parse`](super::MaskCoding::parse) reads it back.
    pub fn to_text(&self) -> String {
        let mut text = self.lines(0);
        match self.palette.contains(&voc_colour(VOID)) {
            true => text.push_str(&format!("{VOID} void\n")), // its colour is that of a class
            false => text.push_str(&line(VOID.into(), "void", voc_colour(VOID))),
        }
        text
    }

    /// The class list where what has no label is void, as it is among shapes without a class for the rest: `0 void`, then
    /// the classes.
    pub(crate) fn to_text_after_void(&self) -> String {
        format!("0 void\n{}", self.lines(1))
    }

    /// A line for each class, with values from `first` on.
    fn lines(&self, first: usize) -> String {
        let classes = self.names.iter().zip(&self.palette).enumerate();
        classes.map(|(id, (name, &rgb))| line(first + id, name, rgb)).collect()
    }
}

fn line(value: usize, name: &str, [r, g, b]: [u8; 3]) -> String {
    format!("{value} {name} {r} {g} {b}\n")
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
