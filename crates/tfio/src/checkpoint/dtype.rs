//! TensorFlow's element types, and how each is turned into `f32` or `i64`.
//!
//! Source: `tensorflow/core/framework/types.proto`. Values are stored in one of two ways: as little-endian elements of
//! fixed width, or, for small types in V1 files, as varints.

use std::fmt;

use half::{bf16, f16};

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary16, `DT_HALF`.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// A type that is listed but cannot be read (strings, booleans, complex numbers and others): its number in
    /// `types.proto`.
    Other(i32),
}

/// Number in `types.proto`, the type, its name, bytes an element.
const TYPES: [(i32, DType, &str, usize); 9] = [
    (1, DType::F32, "float32", 4),
    (2, DType::F64, "float64", 8),
    (3, DType::I32, "int32", 4),
    (4, DType::U8, "uint8", 1),
    (5, DType::I16, "int16", 2),
    (6, DType::I8, "int8", 1),
    (9, DType::I64, "int64", 8),
    (14, DType::BF16, "bfloat16", 2),
    (19, DType::F16, "float16", 2),
];

impl DType {
    pub(super) fn from_proto(number: i32) -> Self {
        TYPES.iter().find(|row| row.0 == number).map_or(Self::Other(number), |row| row.1)
    }

    /// Bytes an element of a readable type.
    pub(super) fn width(self) -> Option<usize> {
        TYPES.iter().find(|row| row.1 == self).map(|row| row.3)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, TYPES.iter().find(|row| row.1 == *self)) {
            (_, Some((_, _, name, _))) => f.write_str(name),
            (Self::Other(7), None) => f.write_str("string"),
            (Self::Other(10), None) => f.write_str("bool"),
            (Self::Other(number), None) => write!(f, "type {number}"),
            (other, None) => write!(f, "{other:?}"),
        }
    }
}

/// Appends elements of fixed width to a list. The bytes are whole elements.
pub(super) type FromFixed<T> = fn(&[u8], &mut Vec<T>);

/// What a tensor can be read as: `f32` from every float type, `i64` from every integer type. Mixing the two would
/// silently round integers above 2^24, so it is refused.
pub(super) trait Element: Copy + Default {
    /// The types that this one is read from, for errors.
    const SOURCES: &'static str;
    /// The reader of elements of fixed width, or `None` where the type cannot be read as this one.
    fn from_fixed(dtype: DType) -> Option<FromFixed<Self>>;
    /// The reader of one element that is stored as a varint.
    fn from_varint(dtype: DType) -> Option<fn(u64) -> Self>;
}

fn extend<const W: usize, T>(bytes: &[u8], out: &mut Vec<T>, convert: impl Fn([u8; W]) -> T) {
    let (elements, _) = bytes.as_chunks::<W>();
    out.extend(elements.iter().map(|&element| convert(element)));
}

impl Element for f32 {
    const SOURCES: &'static str = "float32, float64, float16 or bfloat16";

    fn from_fixed(dtype: DType) -> Option<FromFixed<Self>> {
        match dtype {
            DType::F32 => Some(|bytes, out| extend(bytes, out, f32::from_le_bytes)),
            DType::F64 => Some(|bytes, out| extend(bytes, out, |element| f64::from_le_bytes(element) as f32)),
            DType::F16 => Some(|bytes, out| extend(bytes, out, |element| f16::from_le_bytes(element).to_f32())),
            DType::BF16 => Some(|bytes, out| extend(bytes, out, |element| bf16::from_le_bytes(element).to_f32())),
            _ => None,
        }
    }

    fn from_varint(dtype: DType) -> Option<fn(u64) -> Self> {
        match dtype {
            DType::F16 => Some(|value| f16::from_bits(value as u16).to_f32()),
            DType::BF16 => Some(|value| bf16::from_bits(value as u16).to_f32()),
            _ => None,
        }
    }
}

impl Element for i64 {
    const SOURCES: &'static str = "int8, uint8, int16, int32 or int64";

    fn from_fixed(dtype: DType) -> Option<FromFixed<Self>> {
        match dtype {
            DType::I8 => Some(|bytes, out| extend(bytes, out, |element| i64::from(i8::from_le_bytes(element)))),
            DType::U8 => Some(|bytes, out| extend(bytes, out, |element| i64::from(u8::from_le_bytes(element)))),
            DType::I16 => Some(|bytes, out| extend(bytes, out, |element| i64::from(i16::from_le_bytes(element)))),
            DType::I32 => Some(|bytes, out| extend(bytes, out, |element| i64::from(i32::from_le_bytes(element)))),
            DType::I64 => Some(|bytes, out| extend(bytes, out, i64::from_le_bytes)),
            _ => None,
        }
    }

    fn from_varint(dtype: DType) -> Option<fn(u64) -> Self> {
        match dtype {
            DType::I8 | DType::U8 | DType::I16 | DType::I32 | DType::I64 => Some(|value| value as i64),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE 754-2008, 3.4: sign, exponent and significand as numbers.
    fn f16_by_definition(bits: u16) -> f64 {
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
        match (exponent, bits & 1023) {
            (31, 0) => sign * f64::INFINITY,
            (31, _) => f64::NAN,
            (0, _) => sign * fraction * 2f64.powi(-14),
            _ => sign * (1.0 + fraction) * 2f64.powi(exponent - 15),
        }
    }

    #[test]
    fn every_half_float_is_exact() {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        let wrong: Vec<_> = (0..=u16::MAX)
            .filter(|&bits| !same(f64::from(f16::from_bits(bits).to_f32()), f16_by_definition(bits)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:x?}");
    }

    #[test]
    fn floats_and_integers_do_not_mix() {
        let all = [1, 2, 3, 4, 5, 6, 7, 9, 10, 14, 19, 99].map(DType::from_proto);
        let wrong: Vec<_> = all
            .iter()
            .filter(|&&dtype| {
                let (float, integer) = (f32::from_fixed(dtype).is_some(), i64::from_fixed(dtype).is_some());
                (float && integer) || (float || integer) != dtype.width().is_some()
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
