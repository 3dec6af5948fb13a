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
}

/// `7` or `(64, 0, 128)`.
impl fmt::Display for MaskValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaskValue::Index(v) => write!(f, "{v}"),
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
}

impl From<&Classes> for MaskCoding {
    /// Value = class id, the colours of the palette, and 255 or VOC's void colour = void.
    fn from(classes: &Classes) -> Self {
        let mut id_by_value: Vec<Option<u8>> =
            (0..=u8::MAX).map(|v| (usize::from(v) < classes.len()).then_some(v)).collect();
        id_by_value[usize::from(VOID)] = Some(VOID);
        let mut id_by_colour = HashMap::from([(voc_colour(VOID), VOID)]);
        id_by_colour.extend(classes.palette.iter().enumerate().map(|(id, &rgb)| (rgb, id as u8)));
        MaskCoding { classes: classes.clone(), id_by_value, id_by_colour }
    }
}

impl MaskCoding {
    /// `classes` where a mask value is not the class id: the class id, or [`VOID`], of each value that means anything, which
    /// holds for grey masks in colour files too. 255 is void unless it is given.
    pub(crate) fn with_values(classes: Classes, ids: impl IntoIterator<Item = (u8, u8)>) -> Self {
        let mut coding = MaskCoding { id_by_value: vec![None; 256], ..MaskCoding::from(&classes) };
        coding.id_by_value[usize::from(VOID)] = Some(VOID);
        for (value, id) in ids {
            coding.id_by_value[usize::from(value)] = Some(id);
            coding.id_by_colour.insert([value; 3], id);
        }
        coding
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
        }
    }
}
