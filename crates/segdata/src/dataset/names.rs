//! Names of files, and the ids that they give to photographs and masks.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use crate::image::Format;

/// The files of one half of all pairs: those below a folder whose names, without extension, begin with `prefix` and end in
/// `suffix`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub dir: PathBuf,
    /// What a name has before the id.
    pub prefix: String,
    /// What a name has behind the id.
    pub suffix: String,
    /// What names of this half do not end in, where both halves lie in one folder.
    pub not: Option<String>,
    /// What they do not begin with then.
    pub not_first: Option<String>,
    /// Whether files are JPEG or not, where both halves lie in one folder under one name.
    pub jpeg: Option<bool>,
}

impl Side {
    pub fn of(dir: impl Into<PathBuf>) -> Self {
        Side { dir: dir.into(), ..Side::default() }
    }

    /// The same folder with this behind the ids.
    pub fn with_suffix(self, suffix: &str) -> Self {
        Side { suffix: suffix.into(), ..self }
    }

    /// The same folder with this before the ids.
    pub fn with_prefix(self, prefix: &str) -> Self {
        Side { prefix: prefix.into(), ..self }
    }

    /// The id of a file of this name, and none where the file is no image or of the other half. The mask of `a.jpg` may be
    /// called `a.jpg.png`: both are `a`.
    pub fn id_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        let (stem, format) = split_image_name(name)?;
        let stem = without_image_extension(stem);
        let other = self.not.as_ref().is_some_and(|not| stem.ends_with(not.as_str()))
            || self.not_first.as_ref().is_some_and(|not| stem.starts_with(not.as_str()));
        let wanted = !other && self.jpeg.is_none_or(|wanted| wanted == (format == Format::Jpeg));
        let id = without_image_extension(stem.strip_prefix(self.prefix.as_str())?.strip_suffix(self.suffix.as_str())?);
        (wanted && !id.is_empty()).then_some(id)
    }
}

/// The last part of a path as text: what is not UTF-8 in it is replaced, so that a photograph and its mask that have the
/// same bytes in their names have the same id.
pub(crate) fn name_of(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// An id in the composed form of Unicode (NFC): systems store `é` as one character or as two.
pub(crate) fn composed(id: &str) -> Cow<'_, str> {
    if unicode_normalization::is_nfc(id) { Cow::Borrowed(id) } else { Cow::Owned(id.nfc().collect()) }
}

/// `name` without its extension, and the format that this promises, if it is one of an image.
fn split_image_name(name: &str) -> Option<(&str, Format)> {
    let (stem, extension) = name.rsplit_once('.')?;
    Some((stem, Format::of_extension(extension)?))
}

/// `name` without its extension, if that is one of an image.
pub(crate) fn stem_of_image_name(name: &str) -> Option<&str> {
    split_image_name(name).map(|(stem, _)| stem)
}

/// `name` without its extension where that is one of an image, or else as it is.
pub(crate) fn without_image_extension(name: &str) -> &str {
    stem_of_image_name(name).unwrap_or(name)
}

/// Why `id` must not be joined to a folder's path.
pub(crate) fn unsafe_id(id: &str) -> Option<&'static str> {
    if id.contains(['\0', '\n', '\r']) {
        return Some("holds a control character");
    }
    if id.contains('\\') {
        return Some("holds a backslash");
    }
    let mut components = Path::new(id).components();
    if Path::new(id).is_absolute() {
        return Some("is an absolute path");
    }
    (!components.all(|c| matches!(c, Component::Normal(_)))).then_some("leaves the folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_below_their_folder() {
        let cases = [
            ("2007_000033", None),
            ("a b ü", None),
            ("sub/a", None),
            ("../a", Some("leaves the folder")),
            ("a/../../b", Some("leaves the folder")),
            ("./a", Some("leaves the folder")),
            ("/etc/passwd", Some("is an absolute path")),
            ("a\0b", Some("holds a control character")),
            ("..\\a", Some("holds a backslash")),
        ];
        for (id, expected) in cases {
            assert_eq!(unsafe_id(id), expected, "{id:?}");
        }
    }

    #[test]
    fn a_name_gives_an_id_to_its_half_alone() {
        let side = |suffix: &str, not: Option<&str>, jpeg| Side {
            not: not.map(Into::into),
            jpeg,
            ..Side::of("").with_suffix(suffix)
        };
        let (plain, masks) = (side("", None, None), side("_mask", None, None));
        let photographs = side("", Some("_mask"), Some(true));
        let cases = [
            (&plain, "a.jpg", Some("a")),
            (&plain, "a.JFIF", Some("a")),
            (&plain, "a.jpg.png", Some("a")),
            (&plain, "a b.c.png", Some("a b.c")),
            (&plain, "a.txt", None),
            (&plain, ".png", None),
            (&masks, "a_mask.png", Some("a")),
            (&masks, "a.jpg_mask.png", Some("a")),
            (&masks, "a_mask.jpg.png", Some("a")),
            (&masks, "a.png", None),
            (&masks, "_mask.png", None),
            (&photographs, "a.jpg", Some("a")),
            (&photographs, "a.png", None),
            (&photographs, "a_mask.jpg", None),
        ];
        for (side, name, expected) in cases {
            assert_eq!(side.id_of(name), expected, "{name} in {side:?}");
        }
    }

    #[test]
    fn both_forms_of_a_letter_are_one_id() {
        assert_eq!(composed("cafe\u{301}"), "caf\u{e9}");
        assert!(matches!(composed("caf\u{e9} 7"), Cow::Borrowed("caf\u{e9} 7")));
    }
}
