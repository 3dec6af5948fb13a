//! What the values and colours in mask files mean.

use std::collections::HashMap;
use std::fmt;

use super::classes::{Classes, VOID, voc_colour};

/// A value that a mask holds: a palette index or grey value, or a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MaskValue {
    /// Palette index or grey value.
    Index(u16),
    /// Red, green, blue.
    Colour([u8; 3]),
    /// A class id, of a mask whose file says that it holds class ids.
    Id(u8),
}

/// What counts in a mask that holds both, a palette index and its colour, or a grey value in three equal channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskValues {
    /// The palette index counts. RGB masks are read by their colours, and those of equal channels by their value where that
    /// alone has a meaning. A data set whose palettes contradict this is refused.
    #[default]
    Stored,
    /// The colour counts, in palette masks too.
    Colour,
    /// The index or the value of equal channels counts, whatever the palettes say.
    Index,
}

/// `7` or `(64, 0, 128)`.
impl fmt::Display for MaskValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaskValue::Index(v) => write!(f, "{v}"),
            MaskValue::Id(id) => write!(f, "{id}"),
            MaskValue::Colour([r, g, b]) => write!(f, "({r}, {g}, {b})"),
        }
    }
}

/// What the values and colours in mask files mean: usually value = class id and 255 = void, but a class list may say
/// that 255 is a class, or that another value is void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskCoding {
    /// The classes, ids without gaps.
    pub classes: Classes,
    /// Class id (or [`VOID`]) of each value below 256 that means anything.
    pub(super) id_by_value: Vec<Option<u8>>,
    /// Class id (or [`VOID`]) of each colour.
    pub(super) id_by_colour: HashMap<[u8; 3], u8>,
    /// Whether a colour is not that of its value in VOC's colour map: the class list was written for colours.
    pub(super) own_colours: bool,
    /// What counts in a mask that holds both.
    pub(super) mask_values: MaskValues,
    /// Whether the labels are class ids already, which a class list may name, but not translate.
    pub(super) of_ids: bool,
}

impl From<&Classes> for MaskCoding {
    /// Value = class id, the colours of the palette, and 255 or VOC's void colour = void.
    fn from(classes: &Classes) -> Self {
        let mut id_by_value: Vec<Option<u8>> =
            (0..=u8::MAX).map(|v| (usize::from(v) < classes.len()).then_some(v)).collect();
        id_by_value[usize::from(VOID)] = Some(VOID);
        let mut id_by_colour = HashMap::from([(voc_colour(VOID), VOID)]);
        id_by_colour.extend(classes.palette.iter().enumerate().map(|(id, &rgb)| (rgb, id as u8)));
        let own_colours = classes.palette.iter().enumerate().any(|(id, &rgb)| rgb != voc_colour(id as u8));
        let classes = classes.clone();
        let mask_values = MaskValues::Stored;
        MaskCoding { classes, id_by_value, id_by_colour, own_colours, mask_values, of_ids: false }
    }
}

impl MaskCoding {
    /// `classes` where a mask value is not the class id: the class id, or [`VOID`], of each value that means anything. 255 is
    /// void unless it is given.
    pub(crate) fn with_values(classes: Classes, ids: impl IntoIterator<Item = (u8, u8)>) -> Self {
        let mut coding = MaskCoding { id_by_value: vec![None; 256], own_colours: false, ..MaskCoding::from(&classes) };
        coding.id_by_value[usize::from(VOID)] = Some(VOID);
        for (value, id) in ids {
            coding.id_by_value[usize::from(value)] = Some(id);
        }
        coding
    }

    /// Labels that are class ids already, as records with an index hold them.
    pub fn of_ids(classes: &Classes) -> Self {
        MaskCoding { of_ids: true, ..Self::from(classes) }
    }

    /// Whether labels are class ids already.
    pub fn is_of_ids(&self) -> bool {
        self.of_ids
    }

    /// What `list` means for labels in this coding: it translates mask values, but only names class ids.
    pub fn renamed(&self, list: MaskCoding) -> Self {
        if self.of_ids { Self::of_ids(&list.classes) } else { list }
    }

    /// The same meaning, where `mask_values` says what counts.
    pub fn with_mask_values(self, mask_values: MaskValues) -> Self {
        MaskCoding { mask_values, ..self }
    }

    /// What counts in a mask that holds both an index and a colour.
    pub fn mask_values(&self) -> MaskValues {
        self.mask_values
    }

    /// Whether the class list names colours of its own, so that colours count wherever a mask has them.
    pub fn has_own_colours(&self) -> bool {
        self.own_colours
    }

    /// `id` where it is that of a class, or [`VOID`].
    pub fn known_id(&self, id: u8) -> Option<u8> {
        (usize::from(id) < self.classes.len() || id == VOID).then_some(id)
    }

    /// Class id or [`VOID`] of a palette index or grey value.
    pub fn id_of_value(&self, value: u16) -> Option<u8> {
        self.id_by_value.get(usize::from(value)).copied().flatten()
    }

    /// Class id or [`VOID`] of a colour.
    pub fn id_of_colour(&self, rgb: [u8; 3]) -> Option<u8> {
        self.id_by_colour.get(&rgb).copied()
    }

    /// Class id or [`VOID`] of a value or colour.
    pub fn id_of(&self, value: MaskValue) -> Option<u8> {
        match value {
            MaskValue::Index(v) => self.id_of_value(v),
            MaskValue::Colour(rgb) => self.id_of_colour(rgb),
            MaskValue::Id(id) => self.known_id(id),
        }
    }
}
