//! A mask as its file holds it, and what it means under a class list.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::labels::{LabelMap, MaskCoding, MaskValue, MaskValues, VOID};
use crate::size::Size;

/// A mask as its file holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMask {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Row-major.
    pub pixels: MaskPixels,
    /// The colours of the file's palette, if it has one.
    pub palette: Option<Vec<[u8; 3]>>,
    /// Bits of a sample as stored: 1, 2, 4, 8, 16, 32 or 64.
    pub bits: u8,
    /// Whether the file says that its values are class ids, as [`encode_mask_png`](super::encode_mask_png) writes them.
    pub class_ids: bool,
}

/// The pixels of a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaskPixels {
    /// Palette indices, or grey of 1 to 8 bits, as stored: a 1-bit mask holds 0 and 1.
    Index8(Vec<u8>),
    /// Grey of more than 8 bits.
    Index16(Vec<u16>),
    /// Interleaved red, green, blue.
    Rgb(Vec<u8>),
}

impl RawMask {
    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }

    /// Pixels by value, in the order of the values.
    pub fn histogram(&self) -> BTreeMap<MaskValue, u64> {
        let mut counts = BTreeMap::new();
        match &self.pixels {
            MaskPixels::Index8(values) => {
                let mut by_value = [0u64; 256];
                values.iter().for_each(|&v| by_value[usize::from(v)] += 1);
                let present = by_value.iter().enumerate().filter(|(_, n)| **n > 0);
                counts.extend(present.map(|(v, &n)| (self.value(v as u8), n)));
            }
            MaskPixels::Index16(values) => {
                values.iter().for_each(|&v| *counts.entry(MaskValue::Index(v)).or_default() += 1);
            }
            MaskPixels::Rgb(rgb) => {
                // Runs of one colour are long: one map operation a run.
                let mut pixels = rgb.chunks_exact(3);
                let mut run: Option<([u8; 3], u64)> = None;
                let mut add = |run: Option<([u8; 3], u64)>| {
                    if let Some((colour, n)) = run {
                        *counts.entry(MaskValue::Colour(colour)).or_default() += n;
                    }
                };
                for p in &mut pixels {
                    run = match run {
                        Some((colour, n)) if colour == [p[0], p[1], p[2]] => Some((colour, n + 1)),
                        other => {
                            add(other);
                            Some(([p[0], p[1], p[2]], 1))
                        }
                    };
                }
                add(run);
            }
        }
        counts
    }

    /// The mask as `coding` reads it: a palette mask becomes one of its colours where these count, an RGB mask of equal
    /// channels one of values where these alone have a meaning.
    ///
    /// # Errors
    /// A mask of equal channels that means one thing by its colours and another by its values.
    pub fn under(&self, coding: &MaskCoding) -> Result<Cow<'_, RawMask>> {
        let RawMask { width, height, bits, class_ids, .. } = *self;
        let with = |pixels| Cow::Owned(RawMask { width, height, pixels, palette: None, bits, class_ids });
        match (&self.pixels, &self.palette, coding.mask_values()) {
            (MaskPixels::Index8(values), Some(palette), MaskValues::Colour) if !self.class_ids => {
                match values.iter().find(|&&v| usize::from(v) >= palette.len()) {
                    Some(v) => {
                        Err(Error::data(format!("the mask holds index {v}, its palette has {} colours", palette.len()))
                            .hint("save the mask again with a whole palette, or read it with `mask_values` = index"))
                    }
                    None => {
                        let rgb = values.iter().flat_map(|&v| palette.get(usize::from(v)).copied().unwrap_or_default());
                        Ok(with(MaskPixels::Rgb(rgb.collect())))
                    }
                }
            }
            // Grey in the colours of the class list, such as an RGB mask that was stored as grey.
            (MaskPixels::Index8(values), None, MaskValues::Colour)
                if !self.class_ids && values.iter().all(|&v| coding.id_of_colour([v; 3]).is_some()) =>
            {
                Ok(with(MaskPixels::Rgb(values.iter().flat_map(|&v| [v; 3]).collect())))
            }
            (MaskPixels::Rgb(rgb), _, _) if equal_channels_are_values(rgb, coding)? => {
                Ok(with(MaskPixels::Index8(rgb.chunks_exact(3).map(|p| p[0]).collect())))
            }
            _ => Ok(Cow::Borrowed(self)),
        }
    }

    /// Class ids under `coding`. The error lists every value without a class, with its count of pixels.
    pub fn labels(&self, coding: &MaskCoding) -> Result<LabelMap> {
        let mask = self.under(coding)?;
        match mask.ids(coding) {
            Some(ids) => Ok(LabelMap { width: self.width, height: self.height, ids }),
            None => Err(mask.unknown_values(coding)),
        }
    }

    /// Class ids under `coding`, and void for every value that means no class: a prediction may hold anything.
    ///
    /// # Errors
    /// As [`under`](Self::under).
    pub fn labels_or_void(&self, coding: &MaskCoding) -> Result<LabelMap> {
        let mask = self.under(coding)?;
        let id = |value| coding.id_of(value).unwrap_or(VOID);
        let ids = match &mask.pixels {
            MaskPixels::Index8(values) => {
                let table: Vec<u8> = (0..=u8::MAX).map(|v| id(mask.value(v))).collect();
                values.iter().map(|&v| table[usize::from(v)]).collect()
            }
            MaskPixels::Index16(values) => values.iter().map(|&v| id(MaskValue::Index(v))).collect(),
            MaskPixels::Rgb(rgb) => rgb.chunks_exact(3).map(|p| id(MaskValue::Colour([p[0], p[1], p[2]]))).collect(),
        };
        Ok(LabelMap { width: self.width, height: self.height, ids })
    }

    /// What a sample of 8 bits or less is.
    fn value(&self, sample: u8) -> MaskValue {
        if self.class_ids { MaskValue::Id(sample) } else { MaskValue::Index(sample.into()) }
    }

    fn ids(&self, coding: &MaskCoding) -> Option<Vec<u8>> {
        match &self.pixels {
            MaskPixels::Index8(values) => {
                // By table: 255 where a value has no class, but then the value must not occur.
                let table: Vec<Option<u8>> = (0..=u8::MAX).map(|v| coding.id_of(self.value(v))).collect();
                let mut occurs = [false; 256];
                values.iter().for_each(|&v| occurs[usize::from(v)] = true);
                let known = table.iter().zip(occurs).all(|(id, occurs)| id.is_some() || !occurs);
                let ids: Vec<u8> = table.iter().map(|id| id.unwrap_or(VOID)).collect();
                known.then(|| values.iter().map(|&v| ids[usize::from(v)]).collect())
            }
            MaskPixels::Index16(values) => values.iter().map(|&v| coding.id_of_value(v)).collect(),
            MaskPixels::Rgb(rgb) => {
                let mut last = ([0; 3], coding.id_of_colour([0; 3]));
                rgb.chunks_exact(3)
                    .map(|p| {
                        let colour = [p[0], p[1], p[2]];
                        if colour != last.0 {
                            last = (colour, coding.id_of_colour(colour));
                        }
                        last.1
                    })
                    .collect()
            }
        }
    }

    fn has_equal_channels(&self) -> bool {
        matches!(&self.pixels, MaskPixels::Rgb(rgb) if channels_are_equal(rgb))
    }

    fn unknown_values(&self, coding: &MaskCoding) -> Error {
        let mut unknown: Vec<(MaskValue, u64)> =
            self.histogram().into_iter().filter(|(value, _)| coding.id_of(*value).is_none()).collect();
        unknown.sort_by_key(|&(value, n)| (std::cmp::Reverse(n), value));
        let total = self.size().pixels() as u64;
        let listed = unknown.iter().take(8).map(|(value, n)| format!("{value}: {n} px")).collect::<Vec<_>>().join(", ");
        let more = if unknown.len() > 8 { format!(" and {} more", unknown.len() - 8) } else { String::new() };
        let wrong: u64 = unknown.iter().map(|(_, n)| n).sum();
        let what = if matches!(self.pixels, MaskPixels::Rgb(_)) { "colours" } else { "values" };
        Error::data(format!(
            "the mask holds {} {what} without a class in {:.1} % of its pixels ({listed}{more}); the class list has {} classes",
            unknown.len(),
            100.0 * wrong as f64 / total.max(1) as f64,
            coding.classes.len()
        ))
        .hint(format!(
            "255 means void; name the classes and their colours in a classes.txt, or correct the mask; `check` explains \
             more{}",
            if self.has_equal_channels() { "; `mask_values index` reads equal channels as values" } else { "" }
        ))
    }
}

fn channels_are_equal(rgb: &[u8]) -> bool {
    rgb.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2])
}

/// Whether an RGB mask holds values in three equal channels: in a class list without colours of its own every mask of
/// equal channels does whose colours alone do not mean classes.
fn equal_channels_are_values(rgb: &[u8], coding: &MaskCoding) -> Result<bool> {
    let asked = coding.mask_values() == MaskValues::Index;
    let never = coding.mask_values() == MaskValues::Colour || (coding.has_own_colours() && !asked);
    if never || !channels_are_equal(rgb) {
        return Ok(false);
    }
    let mut occurs = [false; 256];
    rgb.chunks_exact(3).for_each(|p| occurs[usize::from(p[0])] = true);
    let greys = || (0..=u8::MAX).filter(|&grey| occurs[usize::from(grey)]);
    if asked {
        return Ok(true);
    }
    let by_value = |grey: u8| coding.id_of_value(grey.into());
    let by_colour = |grey: u8| coding.id_of_colour([grey; 3]);
    let (values, colours) = (greys().all(|grey| by_value(grey).is_some()), greys().all(|g| by_colour(g).is_some()));
    match greys().find(|&grey| by_value(grey) != by_colour(grey)) {
        Some(grey) if values && colours => Err(Error::data(format!(
            "the mask holds {}, which is the colour of one class and the value of another",
            MaskValue::Colour([grey; 3])
        ))
        .hint("say what counts with `mask_values` = colour or index")),
        _ => Ok(values),
    }
}
