//! The protobuf wire format on byte slices, for messages whose payloads must not be copied.
//!
//! Small messages go through `prost`. An `Example` holds whole images, and prost copies a `bytes` field twice on its
//! way into a `Vec<u8>`; here a length-delimited field is a sub-slice of the input.
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use thiserror::Error;

/// A violation of the wire format. Offsets count from the first byte of the outermost message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// The message ends inside a value.
    #[error("byte {offset}: a value needs {expected} more bytes, {found} are left: the message is cut off or damaged")]
    Truncated {
        /// Where the value starts.
        offset: u64,
        /// Bytes the value needs.
        expected: u64,
        /// Bytes that are left.
        found: u64,
    },
    /// A varint of more than ten bytes or more than 64 bits.
    #[error("byte {offset}: a variable-length integer exceeds 64 bits: the message is damaged")]
    Varint {
        /// Where the integer starts.
        offset: u64,
    },
    /// Field number 0, or one beyond 2^29 - 1.
    #[error("byte {offset}: field number {found}, expected 1 to 536870911: the message is damaged")]
    FieldNumber {
        /// Where the tag starts.
        offset: u64,
        /// The number found.
        found: u64,
    },
    /// A field has a wire type that its definition does not allow.
    #[error("byte {offset}: field {field} has wire type {found}, expected {expected}")]
    WireType {
        /// Where the tag starts.
        offset: u64,
        /// The field's number.
        field: u32,
        /// The wire type found.
        found: u8,
        /// The wire types that the definition allows.
        expected: &'static str,
    },
    /// A string field is not UTF-8.
    #[error("byte {offset}: a string field is not UTF-8")]
    Utf8 {
        /// Where the string starts.
        offset: u64,
    },
}

/// A base-128 varint, lowest bits first, as its bytes arrive.
#[derive(Debug, Default)]
pub(crate) struct Varint {
    value: u64,
    bits: u32,
}

/// More than ten bytes, or more than 64 bits.
#[derive(Debug)]
pub(crate) struct TooLong;

impl Varint {
    /// The next byte; gives the value after the last.
    #[inline]
    pub fn push(&mut self, byte: u8) -> Result<Option<u64>, TooLong> {
        // The tenth byte carries bit 63 alone.
        if self.bits == 63 && byte > 1 {
            return Err(TooLong);
        }
        self.value |= u64::from(byte & 0x7f) << self.bits;
        self.bits += 7;
        Ok((byte & 0x80 == 0).then_some(self.value))
    }
}

/// One field of a message: its number and its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    /// Offset of the field's tag, for errors.
    pub offset: u64,
    pub number: u32,
    pub value: Value<'a>,
}

/// A field's value as the wire carries it, before its definition is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64,
    Bytes(Message<'a>),
    Fixed32([u8; 4]),
    /// Groups were withdrawn in 2008; one inside an unknown field is refused rather than skipped.
    Group(u8),
}

impl Value<'_> {
    fn wire_type(&self) -> u8 {
        match self {
            Self::Varint(_) => 0,
            Self::Fixed64 => 1,
            Self::Bytes(_) => 2,
            Self::Fixed32(_) => 5,
            Self::Group(wire_type) => *wire_type,
        }
    }
}

impl<'a> Field<'a> {
    /// The error that this field's wire type is none of `expected`.
    pub fn wrong_type(&self, expected: &'static str) -> WireError {
        let found = self.value.wire_type();
        WireError::WireType { offset: self.offset, field: self.number, found, expected }
    }

    /// The value as a sub-message, string or packed list.
    pub fn message(&self) -> Result<Message<'a>, WireError> {
        match self.value {
            Value::Bytes(message) => Ok(message),
            _ => Err(self.wrong_type("2 (length-delimited)")),
        }
    }
}

/// A reading position in a slice that knows its offset in the outermost message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Message<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn text(&self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.rest).map_err(|_| WireError::Utf8 { offset: self.offset })
    }

    /// The next field, or `None` at the end of the message.
    pub fn field(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let tag = self.varint()?;
        let number = match u32::try_from(tag >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => number,
            _ => return Err(WireError::FieldNumber { offset, found: tag >> 3 }),
        };
        let value = match (tag & 7) as u8 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let len = self.varint()?;
                let start = self.offset;
                Value::Bytes(Message { rest: self.take(len)?, offset: start })
            }
            5 => Value::Fixed32(self.fixed32()?),
            wire_type => Value::Group(wire_type),
        };
        let field = Field { offset, number, value };
        match value {
            Value::Group(_) => Err(field.wrong_type("0, 1, 2 or 5")),
            _ => Ok(Some(field)),
        }
    }

    /// The next base-128 varint.
    pub fn varint(&mut self) -> Result<u64, WireError> {
        let offset = self.offset;
        let mut varint = Varint::default();
        for (index, &byte) in self.rest.iter().enumerate() {
            match varint.push(byte) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    self.rest = &self.rest[index + 1..];
                    self.offset += index as u64 + 1;
                    return Ok(value);
                }
                Err(TooLong) => return Err(WireError::Varint { offset }),
            }
        }
        let found = self.rest.len() as u64;
        Err(WireError::Truncated { offset, expected: found + 1, found })
    }

    /// The next four bytes.
    pub fn fixed32(&mut self) -> Result<[u8; 4], WireError> {
        let bytes = self.take(4)?;
        let mut value = [0; 4];
        value.copy_from_slice(bytes);
        Ok(value)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], WireError> {
        let truncated = WireError::Truncated { offset: self.offset, expected: len, found: self.rest.len() as u64 };
        let Some((head, tail)) = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len)) else {
            return Err(truncated);
        };
        self.rest = tail;
        self.offset += len;
        Ok(head)
    }
}

/// Appends `value` as a base-128 varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number of bytes that [`put_varint`] appends for `value`.
pub(crate) fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Appends the tag and the length of a length-delimited field; its `len` bytes must follow.
pub(crate) fn put_header(out: &mut Vec<u8>, field: u32, len: usize) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, len as u64);
}

/// The size of a length-delimited field of `len` bytes with its tag and length; `field` must be below 16.
pub(crate) fn delimited_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_return() {
        let mut values: Vec<u64> = (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1]).collect();
        values.push(u64::MAX);
        let mut wrong = vec![];
        for value in values {
            let mut bytes = vec![];
            put_varint(&mut bytes, value);
            let mut message = Message::new(&bytes);
            if message.varint() != Ok(value) || !message.is_empty() || varint_len(value) != bytes.len() {
                wrong.push(value);
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn damaged_messages_are_named() {
        let cases: [(&[u8], WireError); 7] = [
            (&[0x80], WireError::Truncated { offset: 0, expected: 2, found: 1 }),
            (&[0xff; 11], WireError::Varint { offset: 0 }),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], WireError::Varint { offset: 0 }),
            (&[0x00, 0x00], WireError::FieldNumber { offset: 0, found: 0 }),
            (&[0x0a, 0x05, 1], WireError::Truncated { offset: 2, expected: 5, found: 1 }),
            (&[0x0d, 1, 2, 3], WireError::Truncated { offset: 1, expected: 4, found: 3 }),
            (&[0x0b], WireError::WireType { offset: 0, field: 1, found: 3, expected: "0, 1, 2 or 5" }),
        ];
        let wrong: Vec<_> = cases
            .iter()
            .map(|(bytes, error)| (bytes, Message::new(bytes).field().err(), error))
            .filter(|(_, found, expected)| found.as_ref() != Some(*expected))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
