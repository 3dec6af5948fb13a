//! JPEG: a walk over the marker segments (ITU-T T.81, annex B), and decoding without silent repair.
//!
//! The decoder's tolerant mode fills what a truncated file lacks with grey and says nothing, so it is run in strict
//! mode, and the end marker is looked for first. Not detected: a file cut and then closed with an end marker, which
//! decodes with a flat remainder.

use std::io::Cursor;
use std::ops::Range;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::format::{Format, damaged, unsupported};
use crate::error::{Error, Result};

/// What the segments before the first scan say.
#[derive(Debug)]
pub(super) struct JpegHeader {
    pub width: usize,
    pub height: usize,
    /// Components a pixel: 1 grey, 3 colour, 4 CMYK or YCCK.
    pub components: u8,
    /// Whether an Adobe APP14 segment is there: it means that CMYK values are stored inverted.
    pub adobe: bool,
    /// The TIFF structure of the EXIF segment.
    pub exif: Option<Range<usize>>,
    /// Where the first scan's segment starts.
    pub scan_start: usize,
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
/// JPEG-LS (ITU-T T.87, C.1).
const SOF55: u8 = 0xf7;
const APP1: u8 = 0xe1;
const APP14: u8 = 0xee;

/// Decodes every process but the hierarchical ones; what it writes is read here.
const DJPEG: &str = "`djpeg -pnm -outfile OUT.ppm IN` of libjpeg-turbo 3";

/// Walks the segments up to the first scan.
pub(super) fn read_header(bytes: &[u8]) -> Result<JpegHeader> {
    let bad = |what: String| damaged(Format::Jpeg, &what);
    let mut header = JpegHeader { width: 0, height: 0, components: 0, adobe: false, exif: None, scan_start: 0 };
    let mut at = 2;
    loop {
        // Fill bytes and stray bytes may precede a marker; readers skip them.
        while bytes.get(at).is_some_and(|&b| b != 0xff) {
            at += 1;
        }
        while bytes.get(at) == Some(&0xff) {
            at += 1;
        }
        let Some(&marker) = bytes.get(at) else {
            return Err(bad(format!("it ends after {} bytes, before any image data", bytes.len())));
        };
        at += 1;
        match marker {
            0x00 | 0x01 | 0xd0..=0xd7 | SOI => continue, // no length follows
            EOI => return Err(bad("it ends before any image data".into())),
            _ => {}
        }
        let body = segment(bytes, at).ok_or_else(|| bad(format!("segment 0x{marker:02x} at byte {at} is cut off")))?;
        let content = &bytes[body.clone()];
        match marker {
            SOS => {
                if header.components == 0 {
                    return Err(bad("a scan starts before the frame header".into()));
                }
                header.scan_start = at;
                return Ok(header);
            }
            0xc4 | 0xc8 | 0xcc => {} // Huffman tables, reserved, arithmetic conditioning
            0xc0..=0xcf | SOF55 => {
                let [precision, h1, h0, w1, w0, components, ..] = *content else {
                    return Err(bad("the frame header is too short".into()));
                };
                refuse_process(marker, precision)?;
                header.height = usize::from(u16::from_be_bytes([h1, h0]));
                header.width = usize::from(u16::from_be_bytes([w1, w0]));
                header.components = components;
                if header.width == 0 || header.height == 0 || components == 0 {
                    return Err(bad(format!("the header gives a size of {}x{}", header.width, header.height)));
                }
            }
            APP1 if content.starts_with(b"Exif\0\0") => header.exif = Some(body.start + 6..body.end),
            APP14 if content.starts_with(b"Adobe") => header.adobe = true,
            _ => {}
        }
        at = body.end;
    }
}

/// Refuses the coding processes that no decoder at hand knows (T.81, table B.1): whole files, which other programs read.
fn refuse_process(marker: u8, precision: u8) -> Result<()> {
    let deep = format!("a JPEG of {precision} bits a sample");
    let (what, remedy) = match marker {
        SOF55 => ("a JPEG-LS image", "`ffmpeg -i IN OUT.png`"),
        0xc5..=0xc7 | 0xcd..=0xcf => ("a hierarchical JPEG", "`jpeg IN OUT.ppm` of the reference software of JPEG"),
        0xc3 | 0xcb => ("a lossless JPEG", DJPEG),
        _ if precision != 8 => (deep.as_str(), DJPEG),
        0xc9 | 0xca => ("a JPEG with arithmetic coding", "code it anew without loss: `jpegtran IN > OUT.jpg`"),
        _ => return Ok(()),
    };
    Err(unsupported(what, remedy))
}

/// The content of the segment whose length field is at `at`.
fn segment(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    (length >= 2 && at + length <= bytes.len()).then(|| at + 2..at + length)
}

/// Decodes everything but the colours, about half the work of [`decode_rgb`], and reports the same damage.
pub(super) fn verify(bytes: &[u8]) -> Result<()> {
    whole_header(bytes)?;
    match decode_as(bytes, ColorSpace::Luma, Strictness::Strict) {
        Ok(_) => Ok(()),
        Err(_) => decode_rgb(bytes).map(|_| ()), // not every colour space has a way to grey
    }
}

/// The header of a file that has its end.
fn whole_header(bytes: &[u8]) -> Result<JpegHeader> {
    let header = read_header(bytes)?;
    let truncated = !bytes[header.scan_start..].windows(2).any(|pair| pair == [0xff, EOI]);
    if truncated {
        return Err(damaged(Format::Jpeg, &format!("it is cut off after {} bytes (no end marker)", bytes.len())));
    }
    Ok(header)
}

/// Decodes to RGB, `height * width * 3` bytes. The caller has checked the size.
pub(super) fn decode_rgb(bytes: &[u8]) -> Result<Vec<u8>> {
    let header = whole_header(bytes)?;
    // Four components without Adobe's marker are plain CMYK, which the decoder would take for inverted.
    let plain_cmyk = header.components == 4 && !header.adobe;
    let space = if plain_cmyk { ColorSpace::CMYK } else { ColorSpace::RGB };
    let pixels = match decode_as(bytes, space, Strictness::Strict) {
        // Stray bytes between segments change no pixel; every other complaint does.
        Err(e) if e.contains("Extra bytes between headers") => decode_as(bytes, space, Strictness::Tolerant),
        result => result,
    }
    .map_err(|e| damaged(Format::Jpeg, &e))?;
    let expected = header.width * header.height * space.num_components();
    if pixels.len() != expected {
        return Err(Error::data(format!(
            "a JPEG with {} components of {}x{} gave {} values, expected {expected}",
            header.components,
            header.width,
            header.height,
            pixels.len()
        ))
        .hint("convert it to an RGB or grey JPEG"));
    }
    Ok(if plain_cmyk { cmyk_to_rgb(&pixels) } else { pixels })
}

#[derive(Clone, Copy, PartialEq)]
enum Strictness {
    Strict,
    Tolerant,
}

fn decode_as(bytes: &[u8], space: ColorSpace, strictness: Strictness) -> std::result::Result<Vec<u8>, String> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(space)
        .set_strict_mode(strictness == Strictness::Strict)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    JpegDecoder::new_with_options(Cursor::new(bytes), options).decode().map_err(|e| e.to_string())
}

/// Ink to light: `255 - min(255, ink + black)` would clip; the product form is what Pillow and libjpeg users expect.
pub(super) fn cmyk_to_rgb(cmyk: &[u8]) -> Vec<u8> {
    let light = |ink: u8, black: u8| {
        let product = u32::from(255 - ink) * u32::from(255 - black) + 128;
        ((product + (product >> 8)) >> 8) as u8
    };
    cmyk.chunks_exact(4).flat_map(|p| [light(p[0], p[3]), light(p[1], p[3]), light(p[2], p[3])]).collect()
}
