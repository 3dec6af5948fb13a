//! Reading JSON that somebody else wrote: with a limit, and errors that name file, line and column.

use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _, Visitor};

use crate::error::{Error, Result};
use crate::files::read as file;

/// The longest file: COCO's own largest has 0.5 GB.
const MAX_BYTES: u64 = 2 << 30;

/// Bytes at the beginning of a file that say which tool wrote it.
const START_BYTES: usize = 64 << 10;

/// Reads a JSON file; `what` names it in errors ("the COCO file"). A byte-order mark is passed over.
pub(super) fn read_json<T: DeserializeOwned>(what: &str, path: &Path) -> Result<T> {
    let bytes = read_bytes(what, path)?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::data(format!("{what} cannot be read: {e}")).at(path).hint("export it again from the tool that wrote it")
    })
}

/// All bytes of a file of labels, without its byte-order mark.
pub(super) fn read_bytes(what: &str, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = file::read_at_most(MAX_BYTES, what, path)?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// The beginning of a file as text, if it can be read.
pub(super) fn start_of(path: &Path) -> Option<String> {
    use std::io::Read;
    let file = file::open(crate::error::ErrorKind::Data, "the file", path).ok()?;
    let mut bytes = Vec::new();
    file.take(START_BYTES as u64).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A width or height: a whole number, also where it is written as `640.0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Whole(pub usize);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let value = f64::deserialize(from)?;
        let fits = value >= 0.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0;
        if fits { Ok(Whole(value as usize)) } else { Err(D::Error::custom(format!("{value} is no size in pixels"))) }
    }
}

/// The id of a picture, an annotation or a category: a number, or text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    Number(i64),
    Text(Box<str>),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Number(number) => write!(f, "{number}"),
            Key::Text(text) => write!(f, "`{text}`"),
        }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an id: a whole number or text")
            }

            fn visit_i64<E>(self, number: i64) -> std::result::Result<Key, E> {
                Ok(Key::Number(number))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> std::result::Result<Key, E> {
                i64::try_from(number).map(Key::Number).map_err(|_| E::custom(format!("the id {number} is too large")))
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Key, E> {
                Ok(Key::Text(text.into()))
            }
        }
        from.deserialize_any(KeyVisitor)
    }
}
