//! Flags that take one of a few words, which are those of the configuration file.
//!
//! A type says itself which words it knows: help, completions and manual pages have them from there, and no list of them
//! is kept beside it.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use fcn_core::{Error, Result};
use serde::de::value::Error as WordError;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};

/// The value of a flag whose words are those of the configuration file.
///
/// # Errors
/// An unknown word; the hint is the nearest known one.
pub fn choice<T: DeserializeOwned>(flag: &str, word: &str) -> Result<T> {
    read(word).map_err(|e| Error::usage(format!("{flag} {word}: {e}")))
}

/// Reads one of the words that `T` knows; any other is refused with the nearest one.
pub fn one_of<T: DeserializeOwned + Clone + Send + Sync + 'static>() -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words::<T>()).try_map(|word| read::<T>(&word))
}

/// The words that `T`, an enum without values inside, is read from; none where it is anything else.
pub fn words<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut known: &[&str] = &[];
    // It ends in an error, because there is no value to give.
    let _ = T::deserialize(Asking(&mut known));
    known
}

fn read<T: DeserializeOwned>(word: &str) -> std::result::Result<T, WordError> {
    T::deserialize(word.into_deserializer())
}

/// Takes down which words a type asks for, and has none of them.
struct Asking<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asking<'_> {
    type Error = WordError;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        _: V,
    ) -> std::result::Result<V::Value, WordError> {
        *self.0 = words;
        Err(WordError::custom("there is no value"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> std::result::Result<V::Value, WordError> {
        Err(WordError::custom("there is no value"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fcn_core::network::{Algorithm, Precision};

    #[test]
    fn the_words_of_a_type_are_those_it_is_read_from() {
        assert_eq!(words::<Precision>(), ["f32", "bf16"]);
        assert!(words::<u32>().is_empty(), "a number has no words");
        for word in words::<Algorithm>() {
            read::<Algorithm>(word).unwrap();
        }
        let refused = choice::<Algorithm>("--conv", "fastt").unwrap_err();
        assert!(refused.to_string().contains("--conv fastt"), "{refused}");
    }
}
