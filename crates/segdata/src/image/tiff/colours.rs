//! The first page as a photograph: which bands are its colours, and the colours of what is no RGB.

use super::super::format::{Format, damaged};
use super::super::jpeg::cmyk_to_rgb;
use super::super::options::ReadOptions;
use super::page::{Meaning, Numbers, Page};
use super::samples::{Samples, read_samples};
use crate::error::{Error, Result};

/// The colours of a photograph, interleaved red, green and blue.
pub(in crate::image) enum Colours {
    /// Of 8 bits.
    Eight(Vec<u8>),
    /// Of 16 bits, on the scale of the file.
    Sixteen(Vec<u16>),
}

/// Reads the first page as a photograph.
///
/// # Errors
/// As [`read_samples`]; floats; bands whose colours are not known.
pub(in crate::image) fn colours(bytes: &[u8], page: &Page, options: &ReadOptions) -> Result<Colours> {
    if page.numbers == Numbers::Floats {
        return Err(Error::data(format!("TIFF samples that are {} have no agreed range", page.samples_in_words()))
            .hint("convert it to 8 or 16 bits a channel: `gdal_translate -ot Byte -scale IN OUT.tif`"));
    }
    let bands = bands(page, options)?;
    let samples = read_samples(bytes, page, &bands, options.max_pixels)?;
    Ok(match (page.meaning, samples) {
        (Meaning::Palette, Samples::Eight(indices)) => Colours::Eight(by_palette(&indices, page)?),
        (Meaning::Cmyk, Samples::Eight(inks)) => Colours::Eight(cmyk_to_rgb(&inks)),
        (Meaning::Cmyk, Samples::Sixteen(inks)) => {
            let inks: Vec<u8> = inks.iter().map(|&ink| (ink >> 8) as u8).collect();
            Colours::Eight(cmyk_to_rgb(&inks))
        }
        (Meaning::YCbCr, Samples::Eight(values)) => Colours::Eight(ycbcr_to_rgb(&values)),
        (_, Samples::Eight(values)) => {
            // Grey of fewer bits is stretched to 8: 255 is a multiple of 1, 3 and 15.
            let stretch = 255 / (u8::MAX >> (8 - page.bits));
            Colours::Eight(three_channels(values, bands.len(), |v| v * stretch))
        }
        (_, Samples::Sixteen(values)) => Colours::Sixteen(three_channels(values, bands.len(), |v| v)),
    })
}

/// The bands that are read: those asked for, or those that the file calls its colours.
fn bands(page: &Page, options: &ReadOptions) -> Result<Vec<usize>> {
    let colours = page.colour_bands();
    let (expected, chosen) = match page.meaning {
        Meaning::Palette => (1, None),
        Meaning::YCbCr => (3, None),
        Meaning::Cmyk => (4, None),
        Meaning::Rgb => (3, options.bands),
        Meaning::WhiteIsZero | Meaning::BlackIsZero => (1, options.bands),
    };
    match chosen {
        Some(chosen) if usize::from(chosen.last()) > page.bands => {
            Err(Error::data(format!("the TIFF has {}, and band {} was asked for", in_words(page.bands), chosen.last()))
                .hint("bands are counted from 1: give others with `bands`"))
        }
        Some(chosen) => Ok(chosen.indices().to_vec()),
        None if colours.len() == expected => Ok(colours),
        None => Err(refused(page, colours.len(), expected)),
    }
}

fn refused(page: &Page, found: usize, expected: usize) -> Error {
    let what = if page.bands > 4 { "a multispectral TIFF" } else { "the TIFF" };
    let message = match page.meaning {
        Meaning::Rgb if found > expected => {
            format!("{what} has {}: red, green, blue, and others that it does not call alpha", in_words(page.bands))
        }
        Meaning::WhiteIsZero | Meaning::BlackIsZero => {
            format!("{what} has {} and does not say which are red, green and blue", in_words(page.bands))
        }
        Meaning::Rgb | Meaning::Palette | Meaning::Cmyk | Meaning::YCbCr => {
            return damaged(Format::Tiff, &format!("it has {}, expected {expected}", in_words(found)));
        }
    };
    Error::data(message).hint(
        "name the bands of red, green and blue, counted from 1, as `bands 3,2,1`, or one to be read as grey, as `bands 1`",
    )
}

fn in_words(bands: usize) -> String {
    if bands == 1 { "1 band".into() } else { format!("{bands} bands") }
}

fn three_channels<T: Copy>(values: Vec<T>, bands: usize, convert: impl Fn(T) -> T) -> Vec<T> {
    match bands {
        1 => values.iter().flat_map(|&v| [convert(v); 3]).collect(),
        _ => values.into_iter().map(convert).collect(),
    }
}

fn by_palette(indices: &[u8], page: &Page) -> Result<Vec<u8>> {
    let palette = page.palette.as_deref().unwrap_or_default();
    match indices.iter().find(|&&i| usize::from(i) >= palette.len()) {
        Some(i) => {
            Err(damaged(Format::Tiff, &format!("it holds index {i}, and its palette has {} colours", palette.len())))
        }
        None => Ok(indices.iter().flat_map(|&i| palette[usize::from(i)]).collect()),
    }
}

/// The full-range conversion of JFIF 1.02, which TIFF's default coefficients are too (TIFF 6.0, section 21).
fn ycbcr_to_rgb(values: &[u8]) -> Vec<u8> {
    let pixel = |p: &[u8]| {
        let [y, cb, cr] = [f32::from(p[0]), f32::from(p[1]) - 128.0, f32::from(p[2]) - 128.0];
        [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|v| v.round() as u8)
    };
    values.chunks_exact(3).flat_map(pixel).collect()
}
