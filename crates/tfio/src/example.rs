//! `tf.train.Example`: named lists of byte strings, integers or floats, one per data-set record.
//!
//! Source: `tensorflow/core/example/{example,feature}.proto`:
//!
//! ```text
//! Example  { Features features = 1; }
//! Features { map<string, Feature> feature = 1; }
//! Feature  { oneof kind { BytesList bytes_list = 1; FloatList float_list = 2; Int64List int64_list = 3; } }
//! XList    { repeated X value = 1; }     // floats and integers packed; readers accept both
//! ```
//!
//! Byte strings and keys borrow from the record they were decoded from, and may borrow from the caller when encoding:
//! an image is never copied on its way in, and once on its way out. Encoding is deterministic: features are sorted by
//! the bytes of their keys, as C++'s deterministic serialisation sorts them. Readers must not count on any order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

pub use crate::wire::WireError;
use crate::wire::{Field, Message, Value, delimited_len, put_header, put_varint, varint_len};

/// The most features of an Example, and the most values in all of them: each takes more in memory than in the record.
/// Real ones have a dozen of one value each; a list may be an image.
const MAX_FEATURES: usize = 1 << 14;
const MAX_VALUES: usize = 1 << 20;

/// A feature's values: one of three kinds of list, or none.
#[derive(Debug, Clone, PartialEq)]
pub enum Feature<'a> {
    /// `bytes_list`
    Bytes(Vec<Cow<'a, [u8]>>),
    /// `float_list`
    Float(Vec<f32>),
    /// `int64_list`
    Int64(Vec<i64>),
    /// A feature that names no kind of list. TensorFlow accepts it as a missing value.
    Unset,
}

/// The kind of a [`Feature`], for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Byte strings.
    Bytes,
    /// 32-bit floats.
    Float,
    /// 64-bit integers.
    Int64,
    /// Nothing.
    Unset,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Float => "float",
            Self::Int64 => "int64",
            Self::Unset => "no kind",
        })
    }
}

impl Feature<'_> {
    /// Which list this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Bytes(_) => Kind::Bytes,
            Self::Float(_) => Kind::Float,
            Self::Int64(_) => Kind::Int64,
            Self::Unset => Kind::Unset,
        }
    }

    /// The encoded list inside the feature: the field number of its kind and its payload's length.
    fn list_len(&self) -> Option<(u32, usize)> {
        let packed = |len| if len == 0 { 0 } else { delimited_len(len) };
        match self {
            Self::Bytes(values) => Some((1, values.iter().map(|value| delimited_len(value.len())).sum())),
            Self::Float(values) => Some((2, packed(4 * values.len()))),
            Self::Int64(values) => Some((3, packed(varints_len(values)))),
            Self::Unset => None,
        }
    }

    fn encoded_len(&self) -> usize {
        self.list_len().map_or(0, |(_, len)| delimited_len(len))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let Some((field, len)) = self.list_len() else { return };
        put_header(out, field, len);
        match self {
            Self::Bytes(values) => {
                for value in values {
                    put_header(out, 1, value.len());
                    out.extend_from_slice(value);
                }
            }
            Self::Float(values) if !values.is_empty() => {
                put_header(out, 1, 4 * values.len());
                values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
            }
            Self::Int64(values) if !values.is_empty() => {
                put_header(out, 1, varints_len(values));
                values.iter().for_each(|&value| put_varint(out, value as u64));
            }
            _ => {}
        }
    }
}

fn varints_len(values: &[i64]) -> usize {
    values.iter().map(|&value| varint_len(value as u64)).sum()
}

/// Why an Example could not be decoded, or does not hold what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExampleError {
    /// The bytes are not an Example.
    #[error("not a tf.train.Example: {0}")]
    Wire(#[from] WireError),
    /// More features or values than are accepted.
    #[error("an Example of more than {limit} {what}: the record is damaged, or holds something other than images")]
    TooMany {
        /// `features` or `values`.
        what: &'static str,
        /// The most that are accepted.
        limit: usize,
    },
    /// There is no feature of that name.
    #[error("feature '{key}' is missing; the record has {}", listed(.present))]
    Missing {
        /// The name asked for.
        key: String,
        /// The names that are there, sorted.
        present: Vec<String>,
    },
    /// The feature is a list of another kind.
    #[error("feature '{key}' holds {found}, expected {expected}")]
    WrongKind {
        /// The feature's name.
        key: String,
        /// The kind asked for.
        expected: Kind,
        /// The kind that is there.
        found: Kind,
    },
    /// One value was asked for, and the feature holds none or several.
    #[error("feature '{key}' holds {found} values, expected 1")]
    NotOneValue {
        /// The feature's name.
        key: String,
        /// The number of values that are there.
        found: usize,
    },
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_string(),
        _ => names.join(", "),
    }
}

/// Named features. `'a` is the lifetime of the record, or of the caller's data, that byte strings and keys borrow.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example<'a> {
    features: BTreeMap<Cow<'a, str>, Feature<'a>>,
}

impl<'a> Example<'a> {
    /// An example without features.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a feature, or replaces the one of that name.
    #[must_use]
    pub fn with(mut self, key: impl Into<Cow<'a, str>>, feature: Feature<'a>) -> Self {
        self.features.insert(key.into(), feature);
        self
    }

    /// Adds a feature of one byte string.
    #[must_use]
    pub fn with_bytes(self, key: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, [u8]>>) -> Self {
        self.with(key, Feature::Bytes(vec![value.into()]))
    }

    /// Adds a feature of one integer.
    #[must_use]
    pub fn with_int64(self, key: impl Into<Cow<'a, str>>, value: i64) -> Self {
        self.with(key, Feature::Int64(vec![value]))
    }

    /// Adds a feature of one float.
    #[must_use]
    pub fn with_float(self, key: impl Into<Cow<'a, str>>, value: f32) -> Self {
        self.with(key, Feature::Float(vec![value]))
    }

    /// All features, sorted by key.
    pub fn features(&self) -> impl ExactSizeIterator<Item = (&str, &Feature<'a>)> {
        self.features.iter().map(|(key, feature)| (key.as_ref(), feature))
    }

    /// The feature of that name, whatever its kind.
    pub fn get(&self, key: &str) -> Option<&Feature<'a>> {
        self.features.get(key)
    }

    /// The one byte string that feature `key` holds.
    ///
    /// # Errors
    /// `Missing`, `WrongKind` or `NotOneValue`.
    pub fn bytes(&self, key: &str) -> Result<&[u8], ExampleError> {
        one(key, self.bytes_list(key)?).map(|value| value.as_ref())
    }

    /// The one integer that feature `key` holds.
    ///
    /// # Errors
    /// `Missing`, `WrongKind` or `NotOneValue`.
    pub fn int64(&self, key: &str) -> Result<i64, ExampleError> {
        one(key, self.int64_list(key)?).copied()
    }

    /// The one float that feature `key` holds.
    ///
    /// # Errors
    /// `Missing`, `WrongKind` or `NotOneValue`.
    pub fn float(&self, key: &str) -> Result<f32, ExampleError> {
        one(key, self.float_list(key)?).copied()
    }

    /// The byte strings of feature `key`.
    ///
    /// # Errors
    /// `Missing` or `WrongKind`.
    pub fn bytes_list(&self, key: &str) -> Result<&[Cow<'a, [u8]>], ExampleError> {
        match self.required(key)? {
            Feature::Bytes(values) => Ok(values),
            other => Err(wrong_kind(key, Kind::Bytes, other)),
        }
    }

    /// The integers of feature `key`.
    ///
    /// # Errors
    /// `Missing` or `WrongKind`.
    pub fn int64_list(&self, key: &str) -> Result<&[i64], ExampleError> {
        match self.required(key)? {
            Feature::Int64(values) => Ok(values),
            other => Err(wrong_kind(key, Kind::Int64, other)),
        }
    }

    /// The floats of feature `key`.
    ///
    /// # Errors
    /// `Missing` or `WrongKind`.
    pub fn float_list(&self, key: &str) -> Result<&[f32], ExampleError> {
        match self.required(key)? {
            Feature::Float(values) => Ok(values),
            other => Err(wrong_kind(key, Kind::Float, other)),
        }
    }

    fn required(&self, key: &str) -> Result<&Feature<'a>, ExampleError> {
        self.features.get(key).ok_or_else(|| ExampleError::Missing {
            key: key.to_string(),
            present: self.features.keys().map(|key| key.to_string()).collect(),
        })
    }

    /// The message's bytes; equal examples give equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let entry_len = |key: &str, feature: &Feature| delimited_len(key.len()) + delimited_len(feature.encoded_len());
        let features_len: usize =
            self.features.iter().map(|(key, feature)| delimited_len(entry_len(key, feature))).sum();
        let mut out = Vec::with_capacity(delimited_len(features_len));
        put_header(&mut out, 1, features_len);
        for (key, feature) in &self.features {
            put_header(&mut out, 1, entry_len(key, feature));
            put_header(&mut out, 1, key.len());
            out.extend_from_slice(key.as_bytes());
            put_header(&mut out, 2, feature.encoded_len());
            feature.encode(&mut out);
        }
        out
    }

    /// Decodes a record's data. Features of any name are accepted, unknown fields skipped, and of two features of one
    /// name the last counts, as in protobuf.
    ///
    /// # Errors
    /// [`ExampleError::Wire`] with the offset in `record`; [`ExampleError::TooMany`].
    pub fn decode(record: &'a [u8]) -> Result<Self, ExampleError> {
        let mut example = Self::new();
        let mut message = Message::new(record);
        let mut left = MAX_VALUES;
        while let Some(field) = message.field()? {
            if field.number == 1 {
                let mut features = field.message()?;
                while let Some(entry) = features.field()? {
                    if entry.number == 1 {
                        let (key, feature) = decode_entry(entry.message()?, &mut left)?;
                        example.features.insert(Cow::Borrowed(key), feature);
                        if example.features.len() > MAX_FEATURES {
                            return Err(ExampleError::TooMany { what: "features", limit: MAX_FEATURES });
                        }
                    }
                }
            }
        }
        Ok(example)
    }
}

fn one<'v, T>(key: &str, values: &'v [T]) -> Result<&'v T, ExampleError> {
    match values {
        [value] => Ok(value),
        _ => Err(ExampleError::NotOneValue { key: key.to_string(), found: values.len() }),
    }
}

fn wrong_kind(key: &str, expected: Kind, found: &Feature) -> ExampleError {
    ExampleError::WrongKind { key: key.to_string(), expected, found: found.kind() }
}

/// A map entry `{ string key = 1; Feature value = 2; }`; absent parts have their defaults. `left` is the number of values
/// that the Example may still have.
fn decode_entry<'a>(mut entry: Message<'a>, left: &mut usize) -> Result<(&'a str, Feature<'a>), ExampleError> {
    let (mut key, mut feature) = ("", Feature::Unset);
    while let Some(field) = entry.field()? {
        match field.number {
            1 => key = field.message()?.text()?,
            2 => merge_feature(&mut feature, field.message()?, left)?,
            _ => {}
        }
    }
    Ok((key, feature))
}

/// Protobuf's merge of a `oneof`: a list of the same kind grows, one of another kind replaces what was there.
fn merge_feature<'a>(
    feature: &mut Feature<'a>,
    mut message: Message<'a>,
    left: &mut usize,
) -> Result<(), ExampleError> {
    while let Some(field) = message.field()? {
        let kind = match field.number {
            1 => Kind::Bytes,
            2 => Kind::Float,
            3 => Kind::Int64,
            _ => continue,
        };
        if feature.kind() != kind {
            *feature = match kind {
                Kind::Bytes => Feature::Bytes(vec![]),
                Kind::Float => Feature::Float(vec![]),
                _ => Feature::Int64(vec![]),
            };
        }
        let mut list = field.message()?;
        while let Some(value) = list.field()? {
            if value.number == 1 {
                push_value(feature, value, left)?;
            }
        }
    }
    Ok(())
}

fn push_value<'a>(feature: &mut Feature<'a>, field: Field<'a>, left: &mut usize) -> Result<(), ExampleError> {
    let mut take = |count: usize| match left.checked_sub(count) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => Err(ExampleError::TooMany { what: "values", limit: MAX_VALUES }),
    };
    match (feature, field.value) {
        (Feature::Bytes(values), _) => {
            take(1)?;
            values.push(Cow::Borrowed(field.message()?.bytes()));
        }
        (Feature::Float(values), Value::Fixed32(value)) => {
            take(1)?;
            values.push(f32::from_le_bytes(value));
        }
        (Feature::Float(values), Value::Bytes(mut packed)) => {
            take(packed.bytes().len() / 4)?;
            values.reserve(packed.bytes().len() / 4);
            while !packed.is_empty() {
                values.push(f32::from_le_bytes(packed.fixed32()?));
            }
        }
        (Feature::Int64(values), Value::Varint(value)) => {
            take(1)?;
            values.push(value as i64);
        }
        (Feature::Int64(values), Value::Bytes(mut packed)) => {
            while !packed.is_empty() {
                take(1)?;
                values.push(packed.varint()? as i64);
            }
        }
        (Feature::Float(_), _) => return Err(field.wrong_type("2 (packed) or 5 (32-bit)").into()),
        (_, _) => return Err(field.wrong_type("2 (packed) or 0 (varint)").into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Example<'static> {
        Example::new()
            .with_bytes("image", &b"\x89PNG"[..])
            .with("names", Feature::Bytes(vec![Cow::Borrowed(b"a"), Cow::Borrowed(b""), Cow::Owned(vec![0; 300])]))
            .with("size", Feature::Int64(vec![375, 500, -1, i64::MIN, i64::MAX, 0]))
            .with("mean", Feature::Float(vec![123.68, -0.0, f32::MAX]))
            .with("no_integers", Feature::Int64(vec![]))
            .with("no_floats", Feature::Float(vec![]))
            .with("no_bytes", Feature::Bytes(vec![]))
            .with("unset", Feature::Unset)
            .with_int64("", 1)
    }

    #[test]
    fn an_example_returns_and_has_the_length_reserved() {
        let bytes = sample().encode();
        assert_eq!(bytes.capacity(), bytes.len());
        assert_eq!(Example::decode(&bytes).unwrap(), sample());
        assert_eq!(Example::decode(&Example::new().encode()).unwrap(), Example::new());
        assert_eq!(Example::decode(b"").unwrap(), Example::new());
    }

    #[test]
    fn byte_strings_borrow_the_record() {
        let bytes = sample().encode();
        let example = Example::decode(&bytes).unwrap();
        let wrong: Vec<_> = example
            .features()
            .filter(|(_, feature)| match feature {
                Feature::Bytes(values) => values.iter().any(|value| matches!(value, Cow::Owned(_))),
                _ => false,
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn order_of_insertion_does_not_matter() {
        let one = Example::new().with_int64("b", 1).with_int64("a", 2).encode();
        let two = Example::new().with_int64("a", 2).with_int64("b", 1).encode();
        assert_eq!(one, two);
        let position = |key: u8| one.iter().position(|&byte| byte == key);
        assert!(position(b'a') < position(b'b'));
    }

    #[test]
    fn getters_name_key_kind_and_count() {
        let example = sample();
        assert_eq!(example.bytes("image").unwrap(), b"\x89PNG");
        let cases = [
            (example.int64("image").unwrap_err(), "feature 'image' holds bytes, expected int64"),
            (example.bytes("size").unwrap_err(), "feature 'size' holds int64, expected bytes"),
            (example.float("unset").unwrap_err(), "feature 'unset' holds no kind, expected float"),
            (example.int64("size").unwrap_err(), "feature 'size' holds 6 values, expected 1"),
            (example.float("no_floats").unwrap_err(), "feature 'no_floats' holds 0 values, expected 1"),
            (
                Example::new().with_int64("b", 1).with_int64("a", 1).bytes("mask").unwrap_err(),
                "feature 'mask' is missing; the record has a, b",
            ),
            (Example::new().bytes("mask").unwrap_err(), "feature 'mask' is missing; the record has none"),
        ];
        let wrong: Vec<_> = cases.iter().filter(|(error, expected)| error.to_string() != *expected).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn unpacked_and_split_lists_are_accepted() {
        // int64_list { value: 1 value: 2 } written as two varints, then a packed 3; a second int64_list appends 4.
        let list = [0x08, 1, 0x08, 2, 0x0a, 1, 3];
        let feature = [&[0x1a, 7][..], &list, &[0x1a, 2, 0x08, 4]].concat();
        let mut message = vec![];
        put_header(&mut message, 1, 5 + feature.len() + 2);
        put_header(&mut message, 1, 3 + feature.len() + 2);
        put_header(&mut message, 1, 1);
        message.push(b'k');
        put_header(&mut message, 2, feature.len());
        message.extend_from_slice(&feature);
        assert_eq!(Example::decode(&message).unwrap().int64_list("k").unwrap(), [1, 2, 3, 4]);
        let unpacked_floats =
            [&[0x12, 10][..], &[0x0d], &1.5f32.to_le_bytes(), &[0x0d], &2.5f32.to_le_bytes()].concat();
        let mut feature = Feature::Unset;
        merge_feature(&mut feature, Message::new(&unpacked_floats), &mut 2).unwrap();
        assert_eq!(feature, Feature::Float(vec![1.5, 2.5]));
    }

    #[test]
    fn lists_that_take_more_memory_than_bytes_are_refused() {
        let ones = vec![1; MAX_VALUES + 1];
        let integers = |count: usize| Example::new().with("k", Feature::Int64(ones[..count].to_vec())).encode();
        let strings = Example::new().with("k", Feature::Bytes(vec![Cow::Borrowed(&b""[..]); MAX_VALUES + 1])).encode();
        let floats = Example::new().with("k", Feature::Float(vec![0.0; MAX_VALUES + 1])).encode();
        let features = (0..=MAX_FEATURES).fold(Example::new(), |all, key| all.with(key.to_string(), Feature::Unset));
        assert!(Example::decode(&integers(MAX_VALUES)).is_ok());
        for (what, bytes) in [
            ("values", integers(MAX_VALUES + 1)),
            ("values", strings),
            ("values", floats),
            ("features", features.encode()),
        ] {
            let error = Example::decode(&bytes).unwrap_err();
            assert!(matches!(error, ExampleError::TooMany { what: found, .. } if found == what), "{what}: {error}");
        }
    }

    #[test]
    fn a_cut_at_any_byte_is_an_error() {
        let bytes = sample().encode();
        let wrong: Vec<_> = (1..bytes.len()).filter(|&len| Example::decode(&bytes[..len]).is_ok()).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
