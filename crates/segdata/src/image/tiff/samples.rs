//! The samples of the first page, strip by strip or tile by tile.

use std::borrow::Cow;
use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::{ColorType, TiffError};

use super::super::format::{Format, damaged, unsupported};
use super::super::mask_png::unpack;
use super::page::{Meaning, Numbers, Page, check_bytes};
use crate::error::{Error, Result};

/// Samples of the bands asked for, interleaved, row-major.
#[derive(Debug)]
pub(in crate::image) enum Samples {
    /// Of 8 bits or fewer, as stored.
    Eight(Vec<u8>),
    /// Of more: whole numbers from 0 to 65535.
    Sixteen(Vec<u16>),
}

/// Tables that the decoder may read, beside pixels.
const TABLE_BYTES: usize = 64 << 20;

/// Reads the bands `keep`, counted from 0, of the page at the beginning of `bytes`.
///
/// # Errors
/// More memory than `max_pixels` allows; damage; a kind that is not read; a sample that is negative, a fraction, or
/// above 65535, by its value.
pub(in crate::image) fn read_samples(bytes: &[u8], page: &Page, keep: &[usize], max_pixels: u64) -> Result<Samples> {
    let size = check_bytes(page, max_pixels)?;
    let limit = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(TABLE_BYTES);
    let mut limits = Limits::unlimited();
    (limits.decoding_buffer_size, limits.intermediate_buffer_size) = (limit, limit.max(bytes.len()));
    limits.ifd_value_size = TABLE_BYTES;
    let bytes = as_plain_bands(bytes, page);
    let mut decoder = Decoder::new(Cursor::new(bytes.as_ref())).map_err(refused)?.with_limits(limits);
    refuse_otherwise_read(&mut decoder, page)?;
    let mut chunks = Chunks { decoder, page, keep };
    if page.bits > 8 {
        let white = if page.meaning == Meaning::WhiteIsZero { u16::MAX } else { 0 };
        return chunks.read(|chunk, place| whole_numbers(chunk, page, place)).map(|mut values| {
            values.iter_mut().for_each(|v| *v ^= white);
            Samples::Sixteen(values)
        });
    }
    let mut values = chunks.read(|chunk, place| small_numbers(chunk, page, place))?;
    if page.meaning == Meaning::WhiteIsZero {
        let white = u8::MAX >> (8 - page.bits);
        values.iter_mut().for_each(|v| *v = white - *v);
    }
    Ok(Samples::Eight(values))
}

/// The file with its bands called grey: the decoder then gives the samples as they are stored, where it would give up
/// on palettes and leave out bands behind the colours.
fn as_plain_bands<'a>(bytes: &'a [u8], page: &Page) -> Cow<'a, [u8]> {
    const BLACK_IS_ZERO: u8 = 1;
    match page.meaning_at {
        Some(at) if bytes.get(at).is_some_and(|&meaning| meaning != BLACK_IS_ZERO) => {
            let mut bytes = bytes.to_vec();
            bytes[at] = BLACK_IS_ZERO;
            Cow::Owned(bytes)
        }
        _ => Cow::Borrowed(bytes),
    }
}

/// Refuses a file that has a tag twice, of which the decoder believes the other one.
fn refuse_otherwise_read(decoder: &mut Decoder<Cursor<&[u8]>>, page: &Page) -> Result<()> {
    let (width, height) = decoder.dimensions().map_err(refused)?;
    let found = match decoder.colortype().map_err(refused)? {
        ColorType::Gray(bits) => (bits, 1),
        ColorType::Multiband { bit_depth, num_samples } => (bit_depth, usize::from(num_samples)),
        _ => (0, 0),
    };
    match (width as usize, height as usize) == (page.size.width, page.size.height) && found == (page.bits, page.bands) {
        true => Ok(()),
        false => Err(damaged(Format::Tiff, "it gives two sizes or two kinds of samples")),
    }
}

/// The strips or tiles of a page.
struct Chunks<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    page: &'a Page,
    keep: &'a [usize],
}

/// Where the samples of a strip or tile go.
struct Place<'a, T> {
    out: &'a mut [T],
    /// Samples in a row of the chunk, and bands in a pixel of it.
    chunk_row: usize,
    chunk_bands: usize,
    /// Bands of the chunk's pixel, with the bands of the output's that they become.
    bands: &'a [(usize, usize)],
    /// Bands in a pixel of the output, and pixels in a row of it.
    out_bands: usize,
    out_row: usize,
    /// Column and row of its first pixel, and its width and height as far as they lie in the image.
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl<T: Copy> Place<'_, T> {
    /// Puts the samples of the chunk where they go; `None` where it has too few.
    fn fill<S: Copy>(&mut self, chunk: &[S], mut convert: impl FnMut(S) -> Result<T>) -> Result<Option<()>> {
        for row in 0..self.height {
            let Some(samples) = chunk.get(row * self.chunk_row..(row + 1) * self.chunk_row) else { return Ok(None) };
            let start = ((self.y + row) * self.out_row + self.x) * self.out_bands;
            let out = &mut self.out[start..start + self.width * self.out_bands];
            for (pixel, target) in samples.chunks_exact(self.chunk_bands).zip(out.chunks_exact_mut(self.out_bands)) {
                for &(from, to) in self.bands {
                    target[to] = convert(pixel[from])?;
                }
            }
        }
        Ok(Some(()))
    }
}

impl Chunks<'_> {
    /// Reads all chunks that hold a band to keep.
    fn read<T: Copy + Default>(
        &mut self,
        mut put: impl FnMut(DecodingResult, &mut Place<'_, T>) -> Result<Option<()>>,
    ) -> Result<Vec<T>> {
        let (page, keep) = (self.page, self.keep);
        let (width, height) = (page.size.width, page.size.height);
        let (chunk_width, chunk_height) = self.decoder.chunk_dimensions();
        let (chunk_width, chunk_height) = (chunk_width as usize, chunk_height as usize);
        let (across, down) = (width.div_ceil(chunk_width), height.div_ceil(chunk_height));
        let planes = if page.planar { page.bands } else { 1 };
        let mut out = vec![T::default(); page.size.pixels() * keep.len()];
        for plane in 0..planes {
            let targets = keep.iter().enumerate();
            let bands: Vec<(usize, usize)> = match page.planar {
                true => targets.filter(|(_, band)| **band == plane).map(|(to, _)| (0, to)).collect(),
                false => targets.map(|(to, &from)| (from, to)).collect(),
            };
            if bands.is_empty() {
                continue;
            }
            for chunk in 0..across * down {
                let index =
                    u32::try_from(plane * across * down + chunk).map_err(|_| refused(TiffError::LimitsExceeded))?;
                let samples = self.decoder.read_chunk(index).map_err(refused)?;
                let (x, y) = (chunk % across * chunk_width, chunk / across * chunk_height);
                let chunk_bands = page.bands / planes;
                let mut place = Place {
                    out: &mut out,
                    chunk_row: self.decoder.chunk_data_dimensions(index).0 as usize * chunk_bands,
                    chunk_bands,
                    bands: &bands,
                    out_bands: keep.len(),
                    out_row: width,
                    x,
                    y,
                    width: chunk_width.min(width - x),
                    height: chunk_height.min(height - y),
                };
                put(samples, &mut place)?.ok_or_else(|| damaged(Format::Tiff, "a strip or tile of it is too short"))?;
            }
        }
        Ok(out)
    }
}

/// Samples of at most 8 bits.
fn small_numbers(chunk: DecodingResult, page: &Page, place: &mut Place<'_, u8>) -> Result<Option<()>> {
    match chunk {
        DecodingResult::U8(packed) if page.bits < 8 => {
            let width = place.chunk_row;
            let unpacked = unpack(&packed, width, width.div_ceil(usize::from(8 / page.bits)), page.bits);
            place.fill(&unpacked, Ok)
        }
        DecodingResult::U8(values) => place.fill(&values, Ok),
        DecodingResult::I8(values) => place.fill(&values, |v| u8::try_from(v).map_err(|_| out_of_range(v, page))),
        _ => Err(unlike(page)),
    }
}

/// Samples of more than 8 bits.
fn whole_numbers(chunk: DecodingResult, page: &Page, place: &mut Place<'_, u16>) -> Result<Option<()>> {
    /// A whole number of a type of its own.
    fn whole<S: Copy + std::fmt::Display + TryInto<u16>>(page: &Page) -> impl Fn(S) -> Result<u16> {
        move |v| v.try_into().map_err(|_| out_of_range(v, page))
    }
    let float = |v: f64| {
        let fits = v.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&v);
        if fits { Ok(v as u16) } else { Err(out_of_range(v, page)) }
    };
    match chunk {
        DecodingResult::U16(values) => place.fill(&values, Ok),
        DecodingResult::U32(values) => place.fill(&values, whole(page)),
        DecodingResult::U64(values) => place.fill(&values, whole(page)),
        DecodingResult::I16(values) => place.fill(&values, whole(page)),
        DecodingResult::I32(values) => place.fill(&values, whole(page)),
        DecodingResult::I64(values) => place.fill(&values, whole(page)),
        DecodingResult::F16(values) => place.fill(&values, |v| float(f64::from(v))),
        DecodingResult::F32(values) => place.fill(&values, |v| float(f64::from(v))),
        DecodingResult::F64(values) => place.fill(&values, float),
        _ => Err(unlike(page)),
    }
}

fn out_of_range(value: impl std::fmt::Display, page: &Page) -> Error {
    let range = match (page.bits, page.numbers) {
        (8, _) => "from 0 to 127 are read",
        (_, Numbers::Floats) => "that are whole and from 0 to 65535 are read",
        _ => "from 0 to 65535 are read",
    };
    Error::data(format!("it holds the value {value} ({}); values {range}", page.samples_in_words()))
        .hint("in a mask, write 255 where there is no label; of a photograph, `gdal_translate -ot Byte -scale IN OUT.tif` makes one that is read")
}

fn unlike(page: &Page) -> Error {
    damaged(Format::Tiff, &format!("its samples are not what it says they are, {}", page.samples_in_words()))
}

/// What the decoder says: damage, or a kind that it does not know.
fn refused(error: TiffError) -> Error {
    match error {
        TiffError::UnsupportedError(what) => unsupported(
            &format!("a TIFF of a rare kind ({what})"),
            "write it anew: `gdal_translate IN OUT.tif`, or make a PNG of it",
        ),
        TiffError::LimitsExceeded => Error::data("a strip, a tile or a table of the TIFF is larger than the image")
            .hint("write it anew: `gdal_translate IN OUT.tif`"),
        other => damaged(Format::Tiff, &other.to_string()),
    }
}
