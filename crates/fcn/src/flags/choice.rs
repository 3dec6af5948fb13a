//! Flags that take one of a few words.

use fcn_core::{Error, Result};
use serde::de::{DeserializeOwned, IntoDeserializer};

/// The value of a flag whose words are those of the configuration file.
///
/// # Errors
/// An unknown word; the hint is the nearest known one.
pub fn choice<T: DeserializeOwned>(flag: &str, word: &str) -> Result<T> {
    let read: std::result::Result<T, serde::de::value::Error> = T::deserialize(word.into_deserializer());
    read.map_err(|e| Error::usage(format!("{flag} {word}: {e}")))
}
