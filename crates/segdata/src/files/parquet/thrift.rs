//! Thrift's compact protocol, as far as Parquet uses it: a value is read whole, and its fields are looked up by number.
//!
//! Source: `doc/specs/thrift-compact-protocol.md` of Apache Thrift.

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Struct(Vec<(i16, Value)>),
    /// A floating-point number or a map, which Parquet's readers need not know.
    Other,
}

/// Values in values, and values in all, that are read: a file of a few bytes can claim any number.
const DEEPEST: usize = 12;
const MOST_VALUES: usize = 2_000_000;

/// The structure at the start of `bytes`, and how many bytes it takes; `None` where it is none, or goes on behind the end.
pub(super) fn read_struct(bytes: &[u8]) -> Option<(Value, usize)> {
    let mut reader = Reader { bytes, at: 0, values: 0 };
    let value = reader.structure(DEEPEST)?;
    Some((value, reader.at))
}

impl Value {
    /// The field of a structure with this number.
    pub fn field(&self, number: i16) -> Option<&Value> {
        match self {
            Value::Struct(fields) => fields.iter().find(|(known, _)| *known == number).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The number in a field.
    pub fn int(&self, field: i16) -> Option<i64> {
        match self.field(field)? {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number in a field, which must not be below 0.
    pub fn size(&self, field: i16) -> Option<usize> {
        self.int(field).and_then(|value| value.try_into().ok())
    }

    /// The list in a field; empty where it is missing.
    pub fn list(&self, field: i16) -> &[Value] {
        match self.field(field) {
            Some(Value::List(values)) => values,
            _ => &[],
        }
    }

    /// The text in a field.
    pub fn text(&self, field: i16) -> Option<&str> {
        self.field(field)?.as_text()
    }

    /// A value that is a text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        self.varint().map(|v| (v >> 1) as i64 ^ -((v & 1) as i64))
    }

    fn structure(&mut self, deep: usize) -> Option<Value> {
        let (mut fields, mut number) = (Vec::new(), 0i16);
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(Value::Struct(fields));
            }
            number = match head >> 4 {
                0 => self.zigzag()?.try_into().ok()?,
                step => number.checked_add(i16::from(step))?,
            };
            let value = match head & 0x0f {
                1 => Value::Bool(true),
                2 => Value::Bool(false),
                kind => self.value(kind, deep)?,
            };
            fields.push((number, value));
        }
    }

    fn value(&mut self, kind: u8, deep: usize) -> Option<Value> {
        self.values += 1;
        if deep == 0 || self.values > MOST_VALUES {
            return None;
        }
        match kind {
            1 | 2 => self.byte().map(|byte| Value::Bool(byte == 1)),
            3 => self.byte().map(|byte| Value::Int(i64::from(byte as i8))),
            4..=6 => self.zigzag().map(Value::Int),
            7 => self.take(8).map(|_| Value::Other),
            8 => {
                let length = self.varint()?.try_into().ok()?;
                self.take(length).map(|bytes| Value::Bytes(bytes.to_vec()))
            }
            9 | 10 => {
                let head = self.byte()?;
                let length = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                let length = usize::try_from(length).ok().filter(|n| *n <= self.bytes.len() - self.at)?;
                (0..length).map(|_| self.value(head & 0x0f, deep - 1)).collect::<Option<_>>().map(Value::List)
            }
            11 => {
                let length = self.varint()?;
                let kinds = if length == 0 { 0 } else { self.byte()? };
                for _ in 0..length {
                    self.value(kinds >> 4, deep - 1)?;
                    self.value(kinds & 0x0f, deep - 1)?;
                }
                Some(Value::Other)
            }
            12 => self.structure(deep - 1),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_read_and_hostile_ones_are_none() {
        // {1: 5, 3: "ab", 4: [1, -1], 20: {}} as the specification writes it.
        let bytes = [0x15, 10, 0x28, 2, b'a', b'b', 0x19, 0x25, 2, 1, 0x0c, 40, 0, 0];
        let (value, length) = read_struct(&bytes).unwrap();
        assert_eq!((length, value.int(1), value.text(3)), (bytes.len(), Some(5), Some("ab")));
        assert_eq!(value.list(4), [Value::Int(1), Value::Int(-1)]);
        assert_eq!(value.field(20), Some(&Value::Struct(vec![])));
        for end in 0..bytes.len() {
            assert_eq!(read_struct(&bytes[..end]), None, "{end}");
        }
        let deep = [0x1c; 4000];
        let long_list = [0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        let long_map = [0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x11];
        for hostile in [&deep[..], &long_list, &long_map] {
            assert_eq!(read_struct(hostile), None);
        }
    }
}
