//! What a page is: its size, its bands, and whether it is of a kind that is read.

use super::super::format::{Format, damaged, unsupported};
use super::directory::{Directory, tag};
use crate::error::{Error, Result};
use crate::files::kinds::RAW_REMEDY;
use crate::size::Size;

/// Pages that are counted at most.
const MOST_PAGES: usize = 10_000;

/// Bands that a page may have: a hyperspectral camera has some hundreds.
const MOST_BANDS: usize = 4096;

const TO_PNG: &str = "make a PNG of it: `magick IN OUT.png`";

/// Makes any TIFF one that is read.
const TO_DEFLATE: &str = "`gdal_translate -co COMPRESS=DEFLATE IN OUT.tif`, or save it as PNG";

/// The first page of a file.
#[derive(Clone, Debug)]
pub(in crate::image) struct Page {
    pub size: Size,
    /// EXIF orientation, 1 to 8.
    pub orientation: u8,
    /// Bits of a sample.
    pub bits: u8,
    pub numbers: Numbers,
    /// Samples a pixel.
    pub bands: usize,
    /// Which of the bands are alpha, or alpha times colour.
    pub alpha: Vec<usize>,
    pub meaning: Meaning,
    /// The colours of the indices where `meaning` is a palette.
    pub palette: Option<Vec<[u8; 3]>>,
    /// Whether each band lies by itself.
    pub planar: bool,
    /// Where the byte lies by which the decoder tells a palette from grey.
    pub(super) meaning_at: Option<usize>,
}

/// How samples are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::image) enum Numbers {
    Unsigned,
    Signed,
    Floats,
}

/// What the bands are (PhotometricInterpretation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::image) enum Meaning {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
}

impl Page {
    /// Reads the tags of the first page; no pixel is decoded.
    ///
    /// # Errors
    /// Damage; a kind of TIFF that is not read, by its name.
    pub fn read(bytes: &[u8]) -> Result<Page> {
        let bad = |what: &str| damaged(Format::Tiff, what);
        let directory = Directory::first(bytes).ok_or_else(|| {
            bad(&format!("it is cut off: the description of its first page lies behind its {} bytes", bytes.len()))
        })?;
        refuse_raw(bytes, &directory)?;
        let side = |tag| {
            directory.number(tag).and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=u32::MAX as usize).contains(n))
        };
        let (Some(width), Some(height)) = (side(tag::WIDTH), side(tag::HEIGHT)) else {
            return Err(bad("it gives no size"));
        };
        let bands = directory.number(tag::SAMPLES).map_or(Some(1), |n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        if !(1..=MOST_BANDS).contains(&bands) {
            return Err(bad(&format!("it gives {bands} samples a pixel, expected 1 to {MOST_BANDS}")));
        }
        let meaning = meaning(&directory)?;
        let (bits, numbers) = samples(&directory, bands)?;
        if meaning == Meaning::WhiteIsZero && (bits > 16 || numbers != Numbers::Unsigned) {
            return Err(unsupported(&format!("a TIFF of {bits}-bit samples in which 0 is white"), TO_DEFLATE));
        }
        let page = Page {
            size: Size::new(width, height),
            orientation: directory.number(tag::ORIENTATION).filter(|n| (1..=8).contains(n)).unwrap_or(1) as u8,
            bits,
            numbers,
            bands,
            alpha: alpha(&directory, bands),
            meaning,
            palette: (meaning == Meaning::Palette).then(|| palette(&directory, bits)).transpose()?,
            planar: directory.number(tag::PLANAR) == Some(2),
            meaning_at: directory.low_byte(tag::PHOTOMETRIC),
        };
        refuse_compression(&directory, &page)?;
        Ok(page)
    }

    /// Bands without alpha.
    pub fn colour_bands(&self) -> Vec<usize> {
        (0..self.bands).filter(|band| !self.alpha.contains(band)).collect()
    }

    /// A sample in words: `16-bit signed integers`.
    pub fn samples_in_words(&self) -> String {
        let numbers = match self.numbers {
            Numbers::Unsigned => "integers",
            Numbers::Signed => "signed integers",
            Numbers::Floats => "floats",
        };
        format!("{}-bit {numbers}", self.bits)
    }
}

/// Pages of a file that are pictures of their own: neither overviews nor transparency of others.
pub(in crate::image) fn count_pages(bytes: &[u8]) -> usize {
    let pages = std::iter::successors(Directory::first(bytes), Directory::next).take(MOST_PAGES);
    // NewSubfileType: bit 0 is a smaller version of another page, bit 2 its mask.
    pages.filter(|page| page.number(tag::NEW_SUBFILE_TYPE).unwrap_or(0) & 0b101 == 0).count()
}

/// A camera's raw file begins with a small preview, which would be read as the photograph.
fn refuse_raw(bytes: &[u8], directory: &Directory<'_>) -> Result<()> {
    let photometric = directory.number(tag::PHOTOMETRIC);
    let is_preview = directory.number(tag::NEW_SUBFILE_TYPE).is_some_and(|kind| kind & 1 == 1);
    let what = if bytes.get(8..10) == Some(b"CR") {
        "CR2 of Canon".into()
    } else if directory.has(tag::DNG_VERSION) {
        "DNG".into()
    } else if is_preview && directory.has(tag::SUB_DIRECTORIES) || matches!(photometric, Some(32803 | 34892)) {
        format!("as NEF and ARW are; {}", directory.text(tag::MAKE).trim()).trim_end_matches("; ").to_string()
    } else {
        return Ok(());
    };
    Err(unsupported(&format!("a camera's raw file ({what})"), RAW_REMEDY))
}

fn meaning(directory: &Directory<'_>) -> Result<Meaning> {
    let name = match directory.number(tag::PHOTOMETRIC) {
        // Readers of grey files without the tag take them for what nearly all are.
        None if directory.number(tag::SAMPLES).unwrap_or(1) == 1 => return Ok(Meaning::BlackIsZero),
        None => return Err(damaged(Format::Tiff, "it does not say what its samples are (PhotometricInterpretation)")),
        Some(0) => return Ok(Meaning::WhiteIsZero),
        Some(1) => return Ok(Meaning::BlackIsZero),
        Some(2) => return Ok(Meaning::Rgb),
        Some(3) => return Ok(Meaning::Palette),
        Some(4) => return Ok(Meaning::BlackIsZero), // a transparency mask: one bit, 1 is inside
        Some(5) => return Ok(Meaning::Cmyk),
        Some(6) => return Ok(Meaning::YCbCr),
        Some(8..=10) => "a TIFF of Lab colours".into(),
        Some(32844 | 32845) => "a LogLuv TIFF of high dynamic range".into(),
        Some(other) => format!("a TIFF of colours of kind {other}"),
    };
    Err(unsupported(&name, "make a PNG of it: `magick IN -colorspace sRGB OUT.png`"))
}

/// Bits of a sample, and how it is stored; the same for all bands.
fn samples(directory: &Directory<'_>, bands: usize) -> Result<(u8, Numbers)> {
    let bits = directory.numbers(tag::BITS, bands);
    let bits = if bits.is_empty() { vec![1] } else { bits };
    let formats = directory.numbers(tag::SAMPLE_FORMAT, bands);
    let format = formats.first().copied().unwrap_or(1);
    if bits.iter().any(|b| *b != bits[0]) || formats.iter().any(|f| *f != format) {
        return Err(unsupported("a TIFF whose bands have different kinds of samples", TO_DEFLATE));
    }
    let numbers = match format {
        1 | 4 => Numbers::Unsigned, // 4 is "undefined", which libtiff reads so
        2 => Numbers::Signed,
        3 => Numbers::Floats,
        other => return Err(unsupported(&format!("a TIFF of complex samples (SampleFormat {other})"), TO_DEFLATE)),
    };
    match (bits[0], numbers) {
        (1 | 2 | 4, Numbers::Unsigned) if bands == 1 => {}
        (8 | 16 | 32 | 64, Numbers::Unsigned | Numbers::Signed) | (16 | 32 | 64, Numbers::Floats) => {}
        (other, _) => {
            return Err(unsupported(&format!("a TIFF of {bands} x {other} bits a pixel"), TO_PNG));
        }
    }
    Ok((bits[0] as u8, numbers))
}

/// Extra samples 1 and 2 are alpha, 0 is anything: often infrared.
fn alpha(directory: &Directory<'_>, bands: usize) -> Vec<usize> {
    let extra = directory.numbers(tag::EXTRA_SAMPLES, bands);
    let first = bands - extra.len();
    extra.iter().enumerate().filter(|(_, kind)| matches!(kind, 1 | 2)).map(|(i, _)| first + i).collect()
}

/// All red, then all green, then all blue, of 16 bits; some programs write 8-bit values, as libtiff knows.
fn palette(directory: &Directory<'_>, bits: u8) -> Result<Vec<[u8; 3]>> {
    if bits > 8 {
        return Err(unsupported(&format!("a TIFF with a palette and {bits} bits a sample"), TO_PNG));
    }
    let colours = 1usize << bits;
    let map = directory.numbers(tag::COLOUR_MAP, 3 * colours);
    if map.len() < 3 * colours {
        return Err(damaged(
            Format::Tiff,
            &format!("its palette has {} values, expected {} for {bits} bits", map.len(), 3 * colours),
        ));
    }
    let is_8bit = map.iter().all(|&value| value < 256);
    let channel = |at: usize| if is_8bit { map[at] as u8 } else { (map[at] >> 8) as u8 };
    Ok((0..colours).map(|i| [channel(i), channel(colours + i), channel(2 * colours + i)]).collect())
}

fn refuse_compression(directory: &Directory<'_>, page: &Page) -> Result<()> {
    let name = match directory.number(tag::COMPRESSION).unwrap_or(1) {
        // A JPEG decoder doubles the colours itself; nothing else does.
        7 => return Ok(()),
        1 | 5 | 8 | 32773 | 32946
            if page.meaning == Meaning::YCbCr && directory.numbers(tag::SUBSAMPLING, 2) != [1, 1] =>
        {
            "subsampled colours (YCbCr)".to_string()
        }
        1 | 5 | 8 | 32773 | 32946 => return Ok(()),
        4 if page.bits == 1 => return Ok(()),
        2..=4 => "fax compression".into(),
        6 => "JPEG compression of the old kind".into(),
        33003 | 33005 | 34712 => "JPEG 2000 compression".into(),
        34887 => "LERC compression".into(),
        34925 => "LZMA compression".into(),
        50000 => "Zstandard compression".into(),
        50001 => "WebP compression".into(),
        50002 | 52546 => "JPEG XL compression".into(),
        other => format!("compression {other}"),
    };
    Err(unsupported(&format!("a TIFF with {name}"), TO_DEFLATE))
}

/// Refuses a page whose samples need more memory than an image of `max_pixels` with the widest usual pixel, RGBA of 32
/// bits.
pub(super) fn check_bytes(page: &Page, max_pixels: u64) -> Result<u64> {
    let bytes =
        (page.size.pixels() as u64).saturating_mul(page.bands as u64).saturating_mul(u64::from(page.bits.div_ceil(8)));
    let limit = max_pixels.saturating_mul(16);
    if bytes <= limit {
        return Ok(bytes);
    }
    Err(Error::data(format!(
        "{} with {} bands of {} take {} MB, above the limit of {} MB",
        page.size,
        page.bands,
        page.samples_in_words(),
        bytes / 1_000_000,
        limit / 1_000_000
    ))
    .hint("cut it into tiles, or write the bands that are needed: `gdal_translate -b 3 -b 2 -b 1 IN OUT.tif`"))
}
