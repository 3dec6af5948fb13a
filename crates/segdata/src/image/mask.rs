//! Masks: one class id a pixel, from palette, grey or RGB files.
//!
//! Reading is in two steps, so that the data-set linter can explain a mask that training must refuse: [`RawMask`] is
//! what the file says, and [`RawMask::labels`] is what it means under a [`MaskCoding`].

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use super::decode::{DEFAULT_MAX_PIXELS, check_size, decode_dynamic};
use super::format::{Format, damaged};
use super::header::read_header;
use crate::error::{Error, Result};
use crate::files::write::write_bytes_atomically;
use crate::labels::{Classes, LabelMap, MaskCoding, MaskValue, VOID, voc_colour};
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
}

/// The pixels of a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaskPixels {
    /// Palette indices, or grey of 1 to 8 bits, as stored: a 1-bit mask holds 0 and 1.
    Index8(Vec<u8>),
    /// 16-bit grey.
    Index16(Vec<u16>),
    /// Interleaved red, green, blue.
    Rgb(Vec<u8>),
}

/// Decodes a mask under `classes`: palette index = class id, grey value = class id, or RGB in the class colours.
/// Sizes up to [`DEFAULT_MAX_PIXELS`].
pub fn decode_mask(bytes: &[u8], classes: &Classes) -> Result<LabelMap> {
    RawMask::decode(bytes)?.labels(&MaskCoding::from(classes))
}

impl RawMask {
    /// Reads a mask file: PNG (palette, or grey or RGB of any depth, interlaced or not), BMP, TIFF, WebP or GIF.
    ///
    /// A GIF has no grey of its own, and no program keeps the order of its palette: its colours are read, and grey ones
    /// are values.
    ///
    /// JPEG is refused: its compression invents values at every border. Alpha is accepted where it is opaque
    /// throughout.
    pub fn decode(bytes: &[u8]) -> Result<RawMask> {
        let header = read_header(bytes)?;
        check_size(header.size, DEFAULT_MAX_PIXELS)?;
        match header.format {
            Format::Png => read_png(bytes),
            Format::Jpeg => Err(Error::data("the mask is a JPEG, whose compression changes values at every border")
                .hint("save masks as PNG; a mask that went through JPEG cannot be repaired")),
            _ => {
                let decoded = decode_dynamic(bytes, &header)?;
                let pixels = match decoded {
                    image::DynamicImage::ImageLuma8(grey) => MaskPixels::Index8(grey.into_raw()),
                    image::DynamicImage::ImageLuma16(grey) => MaskPixels::Index16(grey.into_raw()),
                    image::DynamicImage::ImageRgb8(rgb) => MaskPixels::Rgb(rgb.into_raw()),
                    image::DynamicImage::ImageRgba8(rgba) if header.format == Format::Gif => {
                        grey_or_rgb(rgba.as_raw())?
                    }
                    other => {
                        return Err(Error::data(format!("a {:?} mask is not supported", other.color()))
                            .hint("save masks as palette or grey PNG"));
                    }
                };
                Ok(RawMask { width: header.size.width, height: header.size.height, pixels, palette: None })
            }
        }
    }

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
                counts.extend(present.map(|(v, &n)| (MaskValue::Index(v as u16), n)));
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

    /// Class ids under `coding`. The error lists every value without a class, with its count of pixels.
    pub fn labels(&self, coding: &MaskCoding) -> Result<LabelMap> {
        let ids: Option<Vec<u8>> = match &self.pixels {
            MaskPixels::Index8(values) => {
                // By table: 255 where a value has no class, but then the value must not occur.
                let table: Vec<Option<u8>> = (0..=255u16).map(|v| coding.id_of_value(v)).collect();
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
        };
        match ids {
            Some(ids) => Ok(LabelMap { width: self.width, height: self.height, ids }),
            None => Err(self.unknown_values(coding)),
        }
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
        .hint("255 means void; name the classes and their colours in a classes.txt, or correct the mask; `check` explains more")
    }
}

fn read_png(bytes: &[u8]) -> Result<RawMask> {
    let bad = |e: png::DecodingError| damaged(Format::Png, &e.to_string());
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::IDENTITY); // palette indices must survive
    let mut reader = decoder.read_info().map_err(bad)?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    let (colour_type, depth) = (info.color_type, info.bit_depth);
    let palette = info.palette.as_ref().map(|p| p.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect());
    let size = reader.output_buffer_size().ok_or_else(|| damaged(Format::Png, "its size overflows"))?;
    let mut buffer = vec![0; size];
    let frame = reader.next_frame(&mut buffer).map_err(bad)?;
    buffer.truncate(frame.buffer_size());
    let pixels = match (colour_type, depth) {
        (png::ColorType::Indexed | png::ColorType::Grayscale, png::BitDepth::Eight) => MaskPixels::Index8(buffer),
        (png::ColorType::Indexed | png::ColorType::Grayscale, png::BitDepth::Sixteen) => {
            MaskPixels::Index16(buffer.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect())
        }
        (png::ColorType::Indexed | png::ColorType::Grayscale, depth) => {
            MaskPixels::Index8(unpack(&buffer, width, frame.line_size, depth as u8))
        }
        (png::ColorType::Rgb, png::BitDepth::Eight) => MaskPixels::Rgb(buffer),
        (png::ColorType::Rgba, png::BitDepth::Eight) => MaskPixels::Rgb(without_alpha(&buffer, 4)?),
        (png::ColorType::GrayscaleAlpha, png::BitDepth::Eight) => MaskPixels::Index8(without_alpha(&buffer, 2)?),
        (other, depth) => {
            return Err(Error::data(format!("a {other:?} mask of {} bits a channel is not supported", depth as u8))
                .hint("save masks as palette or grey PNG, or as 8-bit RGB"));
        }
    };
    Ok(RawMask { width, height, pixels, palette })
}

/// The pixels of a GIF: values where all colours are grey.
fn grey_or_rgb(rgba: &[u8]) -> Result<MaskPixels> {
    let rgb = without_alpha(rgba, 4)?;
    let grey = rgb.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]);
    Ok(if grey { MaskPixels::Index8(rgb.chunks_exact(3).map(|p| p[0]).collect()) } else { MaskPixels::Rgb(rgb) })
}

/// Samples of 1, 2 or 4 bits, most significant first, each row starting at a byte.
fn unpack(packed: &[u8], width: usize, line_size: usize, depth: u8) -> Vec<u8> {
    let per_byte = usize::from(8 / depth);
    let sample = (1u8 << depth) - 1;
    let unpack_row = |row: &[u8]| -> Vec<u8> {
        (0..width).map(|x| row[x / per_byte] >> (8 - depth * (1 + (x % per_byte) as u8)) & sample).collect()
    };
    packed.chunks_exact(line_size).flat_map(unpack_row).collect()
}

/// Drops the last of `channels` channels, which must be opaque throughout.
fn without_alpha(samples: &[u8], channels: usize) -> Result<Vec<u8>> {
    let transparent = samples.chunks_exact(channels).filter(|p| p[channels - 1] != 255).count();
    if transparent > 0 {
        return Err(Error::data(format!("the mask has {transparent} transparent pixels, which have no class"))
            .hint("save the mask without an alpha channel; use 255 for pixels without a label"));
    }
    Ok(samples.chunks_exact(channels).flat_map(|p| p[..channels - 1].iter().copied()).collect())
}

impl LabelMap {
    /// Writes the map as an index PNG ([`encode_mask_png`]): all of it or nothing.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn save(&self, path: impl AsRef<Path>, classes: &Classes) -> Result<()> {
        write_bytes_atomically(path.as_ref(), &encode_mask_png(self, classes)?)
    }
}

/// Encodes class ids as an 8-bit palette PNG: the index is the id, the palette is that of `classes`; indices without
/// a class, void among them, get the colour of VOC's colour map.
pub fn encode_mask_png(labels: &LabelMap, classes: &Classes) -> Result<Vec<u8>> {
    let palette: Vec<u8> =
        (0..=u8::MAX).flat_map(|id| classes.palette.get(usize::from(id)).copied().unwrap_or(voc_colour(id))).collect();
    let refused =
        |e: png::EncodingError| Error::internal(format!("a mask of {} cannot be written: {e}", labels.size()));
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, labels.width as u32, labels.height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    let mut writer = encoder.write_header().map_err(refused)?;
    writer.write_image_data(&labels.ids).map_err(refused)?;
    writer.finish().map_err(refused)?;
    Ok(out)
}
