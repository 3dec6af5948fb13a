//! Masks that contradict each other or the class list: palettes that a program reordered, grey values that it rescaled.
//!
//! An optimiser of PNG files may sort a palette, drop unused entries, and store grey of 0 and 255 in one bit (oxipng's and
//! zopfli's reductions; PNG 1.2, 4.1.2 and 12.1). The picture stays the same, the numbers do not, and the numbers are the labels.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::{MaskHeader, MaskPixels, RawMask};
use crate::labels::{MaskCoding, MaskValue, MaskValues, VOID};

/// What a mask says beside its pixels, and which values it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MaskFacts {
    /// The sample.
    pub id: String,
    /// The palette, if there is one.
    pub palette: Option<Vec<[u8; 3]>>,
    /// Bits of a sample as stored.
    pub bits: u8,
    /// Whether it is grey.
    pub grey: bool,
    /// Whether its pixels are colours.
    pub rgb: bool,
    /// Values that occur; of a header alone, those that might.
    pub values: BTreeSet<u16>,
}

impl MaskFacts {
    /// Of a whole mask; `None` where its numbers cannot be mistaken: class ids that the file calls so.
    pub fn of_mask(id: &str, mask: &RawMask) -> Option<MaskFacts> {
        if mask.class_ids {
            return None;
        }
        let (id, rgb) = (id.to_string(), matches!(mask.pixels, MaskPixels::Rgb(_)));
        if rgb {
            return Some(MaskFacts { id, rgb, ..MaskFacts::default() });
        }
        let index = |value| if let MaskValue::Index(index) = value { Some(index) } else { None };
        Some(MaskFacts {
            id,
            grey: mask.palette.is_none(),
            rgb,
            palette: mask.palette.clone(),
            bits: mask.bits,
            values: mask.histogram().into_keys().filter_map(index).collect(),
        })
    }

    /// Of a header, as if every value occurred.
    pub fn of_header(id: &str, header: MaskHeader) -> Option<MaskFacts> {
        if header.class_ids {
            return None;
        }
        let highest = header.palette.as_ref().map_or(0, |palette| palette.len() as u16);
        let MaskHeader { palette, bits, grey, .. } = header;
        let rgb = palette.is_none() && !grey;
        Some(MaskFacts { id: id.to_string(), palette, bits, grey, rgb, values: (0..highest).collect() })
    }

    /// The values that occur with their colours in the palette.
    fn colours(&self) -> impl Iterator<Item = (u16, [u8; 3])> {
        let palette = self.palette.as_deref().unwrap_or_default();
        self.values.iter().filter_map(|&value| Some((value, *palette.get(usize::from(value))?)))
    }

    /// Whether index 0 is white and 1 is black, and nothing else occurs.
    fn begins_white(&self) -> bool {
        let known = [(0, [255; 3]), (1, [0; 3])];
        let palette = self.palette.as_deref().unwrap_or_default();
        palette.starts_with(&[[255; 3], [0; 3]]) && self.colours().all(|found| known.contains(&found))
    }

    /// Whether two values that occur have one colour: then the palette does not say which is which.
    fn repeats_a_colour(&self) -> bool {
        let colours: BTreeSet<[u8; 3]> = self.colours().map(|(_, rgb)| rgb).collect();
        colours.len() < self.colours().count()
    }
}

/// One contradiction, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// A stable name: `palettes_differ`, `palette_order`, `bit_depths_differ`, `kinds_differ`.
    pub code: &'static str,
    pub message: String,
    pub hint: String,
}

/// Whether masks with these headers might contradict each other or `coding`, whatever their pixels are.
pub(super) fn possible(headers: &[MaskFacts], coding: &MaskCoding) -> bool {
    let depths: BTreeSet<bool> = headers.iter().filter(|mask| mask.grey).map(|mask| mask.bits < 8).collect();
    let moved = |mask: &MaskFacts| mask.colours().any(|(index, rgb)| is_moved(index, rgb, coding));
    let kinds = coding.has_own_colours() && headers.iter().any(|m| m.rgb) && headers.iter().any(|m| m.grey);
    let inverted = || headers.iter().any(MaskFacts::begins_white);
    kinds || depths.len() > 1 || differing(headers).is_some() || headers.iter().any(moved) || inverted()
}

/// Everything in which the masks contradict each other or `coding`. Nothing where the caller has said what counts.
pub(crate) fn contradictions(masks: &[MaskFacts], coding: &MaskCoding) -> Vec<Contradiction> {
    let palettes = || {
        let reordered = || reordered_palettes(masks, coding).or_else(|| inverted_palettes(masks, coding));
        differing_palettes(masks, coding).or_else(reordered)
    };
    match coding.mask_values() {
        MaskValues::Stored => {
            palettes().into_iter().chain(differing_depths(masks)).chain(differing_kinds(masks, coding)).collect()
        }
        MaskValues::Colour => differing_depths(masks).into_iter().collect(),
        MaskValues::Index => Vec::new(),
    }
}

/// Whether the colour of an index is that of another class than the index means.
pub(super) fn is_moved(index: u16, rgb: [u8; 3], coding: &MaskCoding) -> bool {
    let by_colour = coding.id_of_colour(rgb);
    by_colour.is_some() && by_colour != coding.id_of_value(index)
}

/// A colour and the mask that has it.
type Seen<'a> = ([u8; 3], &'a str);

/// The first index that has two colours, with a mask for each.
fn differing(masks: &[MaskFacts]) -> Option<(u16, [Seen<'_>; 2])> {
    let mut first: BTreeMap<u16, Seen<'_>> = BTreeMap::new();
    for mask in masks {
        for (index, rgb) in mask.colours() {
            let &mut (known, id) = first.entry(index).or_insert((rgb, &mask.id));
            if known != rgb {
                return Some((index, [(known, id), (rgb, &mask.id)]));
            }
        }
    }
    None
}

fn differing_palettes(masks: &[MaskFacts], coding: &MaskCoding) -> Option<Contradiction> {
    let (index, [(a, in_a), (b, in_b)]) = differing(masks)?;
    let mut colours: BTreeMap<u16, BTreeSet<[u8; 3]>> = BTreeMap::new();
    for (index, rgb) in masks.iter().flat_map(MaskFacts::colours) {
        colours.entry(index).or_default().insert(rgb);
    }
    let indices = colours.values().filter(|colours| colours.len() > 1).count();
    let (a, b) = (MaskValue::Colour(a), MaskValue::Colour(b));
    Some(Contradiction {
        code: "palettes_differ",
        message: format!(
            "palettes differ between the masks: index {index} is {a} in {in_a} and {b} in {in_b}, so an index does not mean \
             one class ({indices} of {} indices that occur have several colours)",
            colours.len()
        ),
        hint: remedy(colours.values().flatten().all(|&rgb| coding.id_of_colour(rgb).is_some())),
    })
}

/// Colours that occur are those of classes, but not at the indices of these. Where the class list names no colours of its
/// own, one of them alone may be chance.
fn reordered_palettes(masks: &[MaskFacts], coding: &MaskCoding) -> Option<Contradiction> {
    let distinct = || masks.iter().filter(|mask| mask.palette.is_some() && !mask.repeats_a_colour());
    let occur: BTreeSet<(u16, [u8; 3])> = distinct().flat_map(MaskFacts::colours).collect();
    let known = occur.iter().filter(|(_, rgb)| coding.id_of_colour(*rgb).is_some()).count();
    let moved: BTreeSet<&(u16, [u8; 3])> = occur.iter().filter(|&&(index, rgb)| is_moved(index, rgb, coding)).collect();
    let all_known = known == occur.len();
    if !all_known && !coding.has_own_colours() && (moved.len() < 2 || 2 * moved.len() < known) {
        return None;
    }
    let (index, rgb) = moved.first()?;
    let masks = distinct().filter(|mask| mask.colours().any(|(index, rgb)| is_moved(index, rgb, coding)));
    Some(Contradiction {
        code: "palette_order",
        message: format!(
            "the palettes are not in the order of the classes: index {index} has the colour {} of {}; {} colours that occur \
             are those of classes, but not at their indices ({} indices, {} masks)",
            MaskValue::Colour(*rgb),
            class_of(*rgb, coding),
            if all_known { "all" } else { "most" },
            moved.len(),
            masks.count()
        ),
        hint: remedy(all_known),
    })
}

/// Palettes of white and black, in this order, under a class list without colours: what quantisers make of a mask of 0 and
/// 255 with a white object, so that the object has index 0.
fn inverted_palettes(masks: &[MaskFacts], coding: &MaskCoding) -> Option<Contradiction> {
    let palettes = || masks.iter().filter(|mask| mask.palette.is_some());
    let first = palettes().next()?;
    if coding.has_own_colours() || !palettes().all(MaskFacts::begins_white) {
        return None;
    }
    Some(Contradiction {
        code: "palette_order",
        message: format!(
            "in {} index 0 is white and index 1 is black, as programs number them that make a palette of a mask of 0 and 255: \
             an object drawn in white would be class 0",
            first.id
        ),
        hint: remedy(false),
    })
}

/// Grey masks beside RGB ones under a class list with colours, where a grey is the colour of one class and the value of
/// another: a program that makes files smaller stores an RGB mask of greys as grey.
fn differing_kinds(masks: &[MaskFacts], coding: &MaskCoding) -> Option<Contradiction> {
    let rgb = masks.iter().find(|mask| mask.rgb)?;
    let by_colour = |value: u16| u8::try_from(value).ok().and_then(|grey| coding.id_of_colour([grey; 3]));
    let other = |&&value: &&u16| by_colour(value) != coding.id_of_value(value);
    let grey = || masks.iter().filter(|mask| mask.grey && coding.has_own_colours());
    if !grey().flat_map(|mask| &mask.values).all(|&value| by_colour(value).is_some()) {
        return None; // values
    }
    let (mask, value) = grey().find_map(|mask| Some((mask, mask.values.iter().find(other)?)))?;
    Some(Contradiction {
        code: "kinds_differ",
        message: format!(
            "{} is a grey mask and holds {value}, {} is one of colours: by its value that is another class than by its colour \
             ({})",
            mask.id,
            rgb.id,
            class_of([*value as u8; 3], coding)
        ),
        hint: "if the colours are right, read the masks by them with `mask_values colour`; if the values are right, say so with \
               `mask_values index`"
            .into(),
    })
}

fn class_of(rgb: [u8; 3], coding: &MaskCoding) -> String {
    let id = coding.id_of_colour(rgb).unwrap_or(VOID);
    coding.classes.names.get(usize::from(id)).map_or("void".into(), |name| format!("class `{name}`"))
}

fn remedy(all_known: bool) -> String {
    let colours = match all_known {
        true => "if the colours are right, read the masks by them with `mask_values colour`",
        false => "if the colours are right, name them in a classes.txt (`id name r g b`) and use `mask_values colour`",
    };
    format!("{colours}; if the indices are right, say so with `mask_values index`")
}

/// Grey of fewer than 8 bits beside grey of 8 bits that holds what its values would be there: value `v` of `b` bits is the
/// grey `v * 255 / (2^b - 1)` (PNG 1.2, 12.1), so 1 of a 1-bit mask may be 1 or 255 of the others.
fn differing_depths(masks: &[MaskFacts]) -> Option<Contradiction> {
    for shallow in masks.iter().filter(|mask| mask.grey && mask.bits < 8) {
        let scale = 255 / ((1u16 << shallow.bits) - 1);
        for &value in shallow.values.iter().filter(|&&value| value > 0) {
            let scaled = value * scale;
            let deep = masks.iter().find(|mask| mask.grey && mask.bits == 8 && mask.values.contains(&scaled));
            if let Some(deep) = deep {
                let (bits, id) = (shallow.bits, &shallow.id);
                return Some(Contradiction {
                    code: "bit_depths_differ",
                    message: format!(
                        "{id} is a grey mask of {bits} bit{} and holds {value}, {} is one of 8 bits and holds {scaled}: a \
                         program that saves {scaled} in {bits} bit{} writes {value}",
                        if bits == 1 { "" } else { "s" },
                        deep.id,
                        if bits == 1 { "" } else { "s" },
                    ),
                    hint: "save all masks with 8 bits a pixel; if the stored values are right, say so with `mask_values index`"
                        .into(),
                });
            }
        }
    }
    None
}

/// The class that value 255 means, where its name says that it is none.
pub(crate) fn named_like_void(coding: &MaskCoding) -> Option<&str> {
    let id = coding.id_of_value(VOID.into()).filter(|&id| id != VOID)?;
    let name = coding.classes.names.get(usize::from(id))?;
    let plain: String = name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    let starts =
        ["void", "ignore", "unlabel", "unannotated", "unknown", "undefined", "dontcare", "nolabel", "notlabel"];
    let whole =
        ["border", "boundary", "edge", "contour", "outline", "none", "ambiguous", "difficult", "mask", "padding"];
    (starts.iter().any(|start| plain.starts_with(start)) || whole.contains(&plain.as_str())).then_some(name)
}
