//! Which image formats are read, and how a file of one is recognised: by its content, never by its name.

use crate::error::{Error, Result};
use crate::files::kinds::{Sort, kind_of};

/// The image formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Baseline or progressive JPEG.
    Jpeg,
    /// PNG; of an animated one, the default image.
    Png,
    /// Windows bitmap.
    Bmp,
    /// TIFF; of several pages, the first.
    Tiff,
    /// WebP; of an animated one, the first frame.
    Webp,
    /// GIF; of an animated one, the first frame.
    Gif,
    /// PBM, PGM, PPM and PAM of Netpbm.
    Pnm,
}

impl Format {
    /// The lower-case name, as in `image/format` of a record.
    pub fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "jpeg",
            Format::Png => "png",
            Format::Bmp => "bmp",
            Format::Tiff => "tiff",
            Format::Webp => "webp",
            Format::Gif => "gif",
            Format::Pnm => "pnm",
        }
    }

    /// The usual extension of its files, without a dot.
    pub fn extension(self) -> &'static str {
        if self == Format::Jpeg { "jpg" } else { self.name() }
    }

    /// The format that a file's extension (any case, no dot) promises; `None` where it is not one of an image.
    pub fn of_extension(extension: &str) -> Option<Format> {
        IMAGE_EXTENSIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension)).map(|(_, format)| *format)
    }

    /// The decoder of the `image` crate; `None` of TIFF, which is read by `tiff`.
    pub(super) fn codec(self) -> Option<image::ImageFormat> {
        match self {
            Format::Jpeg => Some(image::ImageFormat::Jpeg),
            Format::Png => Some(image::ImageFormat::Png),
            Format::Bmp => Some(image::ImageFormat::Bmp),
            Format::Tiff => None,
            Format::Webp => Some(image::ImageFormat::WebP),
            Format::Gif => Some(image::ImageFormat::Gif),
            Format::Pnm => Some(image::ImageFormat::Pnm),
        }
    }
}

/// Extensions of files taken for images when a folder is listed, and the format that each promises.
pub const IMAGE_EXTENSIONS: [(&str, Format); 13] = [
    ("jpg", Format::Jpeg),
    ("jpeg", Format::Jpeg),
    ("png", Format::Png),
    ("bmp", Format::Bmp),
    ("tif", Format::Tiff),
    ("tiff", Format::Tiff),
    ("webp", Format::Webp),
    ("jfif", Format::Jpeg),
    ("gif", Format::Gif),
    ("ppm", Format::Pnm),
    ("pgm", Format::Pnm),
    ("pbm", Format::Pnm),
    ("pnm", Format::Pnm),
];

/// First bytes of the formats whose first bytes say all.
const MARKS: [(&[u8], Format); 8] = [
    (b"\xff\xd8\xff", Format::Jpeg),
    (b"\x89PNG\r\n\x1a\n", Format::Png),
    (b"GIF87a", Format::Gif),
    (b"GIF89a", Format::Gif),
    (b"II*\0", Format::Tiff),
    (b"MM\0*", Format::Tiff),
    // BigTIFF
    (b"II+\0", Format::Tiff),
    (b"MM\0+", Format::Tiff),
];

/// The format of an image file's content; the error says what the bytes are instead.
pub fn guess_format(bytes: &[u8]) -> Result<Format> {
    if bytes.is_empty() {
        return Err(Error::data("the file is empty (0 bytes)").hint("copy it again from its source"));
    }
    let marked = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, format)| *format);
    marked.or_else(|| loosely_marked(bytes)).ok_or_else(|| no_image(bytes))
}

/// Formats whose first bytes might begin something else.
fn loosely_marked(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::Webp),
        // The size of the header that follows, whose versions are these.
        [b'B', b'M', rest @ ..] => {
            matches!(rest.get(12..16), None | Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
                .then_some(Format::Bmp)
        }
        [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..] => Some(Format::Pnm),
        _ => None,
    }
}

fn no_image(bytes: &[u8]) -> Error {
    let start: String = String::from_utf8_lossy(&bytes[..bytes.len().min(24)]).escape_debug().collect();
    let start = format!("{} bytes that start with \"{start}\"", bytes.len());
    match kind_of(bytes) {
        Some(kind) if matches!(kind.sort, Sort::Picture | Sort::Video) => {
            Error::data(format!("this is {}, which is not read", kind.name)).hint(kind.remedy)
        }
        Some(kind) if kind.sort == Sort::Text => {
            Error::data(format!("not an image, but {}: {start}", kind.name)).hint(kind.remedy)
        }
        Some(kind) => Error::data(format!("not an image, but {}", kind.name)).hint(kind.remedy),
        None => Error::data(format!("not an image: {start}"))
            .hint("expected the content of a JPEG, PNG, BMP, TIFF, WebP, GIF or PNM file"),
    }
}

/// An image of a kind that is whole, and not read.
pub(super) fn unsupported(what: &str, remedy: &str) -> Error {
    Error::data(format!("this is {what}, which is not read")).hint(remedy)
}

pub(super) fn damaged(format: Format, what: &str) -> Error {
    let what = what.trim_end_matches(['.', '\n']);
    Error::data(format!("damaged {} file: {what}", format.name().to_uppercase()))
        .hint("copy the file again from its source, or leave it out")
}
