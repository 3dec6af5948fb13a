//! Which image formats are read, and how a file of one is recognised: by its content, never by its name.

use crate::error::{Error, Result};

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

    pub(super) fn codec(self) -> image::ImageFormat {
        match self {
            Format::Jpeg => image::ImageFormat::Jpeg,
            Format::Png => image::ImageFormat::Png,
            Format::Bmp => image::ImageFormat::Bmp,
            Format::Tiff => image::ImageFormat::Tiff,
            Format::Webp => image::ImageFormat::WebP,
            Format::Gif => image::ImageFormat::Gif,
        }
    }
}

/// Extensions of files taken for images when a folder is listed, and the format that each promises.
pub const IMAGE_EXTENSIONS: [(&str, Format); 9] = [
    ("jpg", Format::Jpeg),
    ("jpeg", Format::Jpeg),
    ("png", Format::Png),
    ("bmp", Format::Bmp),
    ("tif", Format::Tiff),
    ("tiff", Format::Tiff),
    ("webp", Format::Webp),
    ("jfif", Format::Jpeg),
    ("gif", Format::Gif),
];

/// The format of an image file's content; the error says what the bytes look like instead.
pub fn guess_format(bytes: &[u8]) -> Result<Format> {
    if bytes.is_empty() {
        return Err(Error::data("the file is empty (0 bytes)").hint("copy it again from its source"));
    }
    match image::guess_format(bytes) {
        Ok(image::ImageFormat::Jpeg) => Ok(Format::Jpeg),
        Ok(image::ImageFormat::Png) => Ok(Format::Png),
        Ok(image::ImageFormat::Bmp) => Ok(Format::Bmp),
        Ok(image::ImageFormat::Tiff) => Ok(Format::Tiff),
        Ok(image::ImageFormat::WebP) => Ok(Format::Webp),
        Ok(image::ImageFormat::Gif) => Ok(Format::Gif),
        Ok(other) => Err(unsupported(&format!("{other:?}"))),
        Err(_) if bytes.get(4..12).is_some_and(|b| b.starts_with(b"ftyp")) => Err(unsupported("HEIC or AVIF")),
        Err(_) => {
            let start: String = String::from_utf8_lossy(&bytes[..bytes.len().min(24)]).escape_debug().collect();
            Err(Error::data(format!("not an image: {} bytes that start with \"{start}\"", bytes.len()))
                .hint("expected the content of a JPEG, PNG, BMP, TIFF, WebP or GIF file"))
        }
    }
}

fn unsupported(what: &str) -> Error {
    Error::data(format!("images of format {what} are not supported")).hint("convert it to JPEG or PNG")
}

pub(super) fn damaged(format: Format, what: &str) -> Error {
    let what = what.trim_end_matches(['.', '\n']);
    Error::data(format!("damaged {} file: {what}", format.name().to_uppercase()))
        .hint("copy the file again from its source, or leave it out")
}
