//! Element types: PyTorch's storage classes, their widths, and how each becomes 32-bit floats. The one table of types.

use std::fmt;

use half::{bf16, f16};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary16.
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
    /// One byte each.
    Bool,
    /// Two binary32.
    Complex64,
    /// Two binary64.
    Complex128,
}

/// Name of the storage class in the module `torch`, the type it holds, its name, bytes an element.
const TYPES: [(&str, DType, &str, u64); 12] = [
    ("FloatStorage", DType::F32, "float32", 4),
    ("DoubleStorage", DType::F64, "float64", 8),
    ("HalfStorage", DType::F16, "float16", 2),
    ("BFloat16Storage", DType::BF16, "bfloat16", 2),
    ("CharStorage", DType::I8, "int8", 1),
    ("ByteStorage", DType::U8, "uint8", 1),
    ("ShortStorage", DType::I16, "int16", 2),
    ("IntStorage", DType::I32, "int32", 4),
    ("LongStorage", DType::I64, "int64", 8),
    ("BoolStorage", DType::Bool, "bool", 1),
    ("ComplexFloatStorage", DType::Complex64, "complex64", 8),
    ("ComplexDoubleStorage", DType::Complex128, "complex128", 16),
];

/// Appends little-endian elements of a type as 32-bit floats.
pub(crate) type Converter = fn(&[u8], &mut Vec<f32>);

impl DType {
    /// The type that a storage class of `torch` holds.
    pub(crate) fn of_storage(class: &str) -> Option<DType> {
        TYPES.iter().find(|(name, ..)| *name == class).map(|(_, dtype, ..)| *dtype)
    }

    fn row(self) -> (&'static str, u64) {
        TYPES.iter().find(|(_, dtype, ..)| *dtype == self).map_or(("", 1), |(.., name, width)| (name, *width))
    }

    /// Bytes an element.
    pub(crate) fn width(self) -> u64 {
        self.row().1
    }

    /// What appends little-endian elements as 32-bit floats; `None` for types that are not floats.
    pub(crate) fn converter(self) -> Option<Converter> {
        fn extend<const W: usize>(bytes: &[u8], out: &mut Vec<f32>, convert: impl Fn([u8; W]) -> f32) {
            out.extend(bytes.as_chunks::<W>().0.iter().map(|&element| convert(element)));
        }
        match self {
            DType::F32 => Some(|bytes, out| extend(bytes, out, f32::from_le_bytes)),
            DType::F64 => Some(|bytes, out| extend(bytes, out, |e| f64::from_le_bytes(e) as f32)),
            DType::F16 => Some(|bytes, out| extend(bytes, out, |e| f16::from_le_bytes(e).to_f32())),
            DType::BF16 => Some(|bytes, out| extend(bytes, out, |e| bf16::from_le_bytes(e).to_f32())),
            _ => None,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_type_becomes_a_32_bit_float() {
        let cases: [(DType, Vec<u8>); 4] = [
            (DType::F32, (-1.5f32).to_le_bytes().to_vec()),
            (DType::F64, (-1.5f64).to_le_bytes().to_vec()),
            (DType::F16, 0xbe00u16.to_le_bytes().to_vec()),
            (DType::BF16, 0xbfc0u16.to_le_bytes().to_vec()),
        ];
        for (dtype, bytes) in cases {
            let mut out = vec![];
            dtype.converter().unwrap()(&bytes, &mut out);
            assert_eq!((out, dtype.width()), (vec![-1.5], bytes.len() as u64), "{dtype}");
        }
        assert!(DType::I64.converter().is_none());
    }
}
