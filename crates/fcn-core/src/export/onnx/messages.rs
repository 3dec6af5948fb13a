//! The messages of an ONNX file, as far as networks like these need them.
//!
//! Source: `onnx/onnx.proto` of <https://github.com/onnx/onnx> (IR versions 8 to 10). Fields that a reader must find even
//! where they are zero are `optional`; lists that the original does not pack are not packed here.

use prost::Message;

/// Values of `TensorProto.DataType` by their number: what they are called here and how many bytes one takes in `raw_data`.
const ELEMENT_TYPES: [(i32, &str, Option<u64>); 16] = [
    (1, "F32", Some(4)),
    (2, "U8", Some(1)),
    (3, "I8", Some(1)),
    (4, "U16", Some(2)),
    (5, "I16", Some(2)),
    (6, "I32", Some(4)),
    (7, "I64", Some(8)),
    (8, "STRING", None),
    (9, "BOOL", Some(1)),
    (10, "F16", Some(2)),
    (11, "F64", Some(8)),
    (12, "U32", Some(4)),
    (13, "U64", Some(8)),
    (14, "C64", Some(8)),
    (15, "C128", Some(16)),
    (16, "BF16", Some(2)),
];

/// `TensorProto.DataType.FLOAT`.
pub const FLOAT: i32 = 1;
/// `TensorProto.DataType.UINT8`.
pub const UINT8: i32 = 2;
/// `TensorProto.DataType.INT64`.
pub const INT64: i32 = 7;

/// The name of a `TensorProto.DataType`.
pub fn element_type_name(number: i32) -> String {
    let known = ELEMENT_TYPES.iter().find(|(known, ..)| *known == number);
    known.map_or_else(|| format!("type {number}"), |(_, name, _)| (*name).to_string())
}

/// Bytes of one value of a `TensorProto.DataType`, where all have as many.
pub fn element_type_bytes(number: i32) -> Option<u64> {
    ELEMENT_TYPES.iter().find(|(known, ..)| *known == number).and_then(|(_, _, bytes)| *bytes)
}

/// Field of [`ModelProto`] that holds the graph.
pub const MODEL_GRAPH: u32 = 7;
/// Field of [`GraphProto`] that holds an initialiser.
pub const GRAPH_INITIALIZER: u32 = 5;
/// Field of [`TensorProto`] that holds the values.
pub const TENSOR_RAW_DATA: u32 = 9;

/// The file.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    /// Version of the file format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Program that wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// That program's version.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// For people.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// The network.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// Version of each set of operators in use.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Anything else, by key.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// A set of operators.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetIdProto {
    /// Empty for ONNX's own.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Its version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A pair of strings.
#[derive(Clone, PartialEq, Message)]
pub struct StringStringEntryProto {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Operations in an order in which they can be done.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    /// The operations.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Constants: weights and sizes.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// For people.
    #[prost(string, tag = "10")]
    pub doc_string: String,
    /// What goes in.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// What comes out.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// One operation.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    /// Names of the values it reads; empty for one that is left out.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the values it makes.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// What it does.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Constants that it needs.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
}

/// A constant of an operation.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// An integer.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// Integers.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Which of them it is, by `AttributeProto.AttributeType`.
    #[prost(int32, optional, tag = "20")]
    pub kind: Option<i32>,
}

impl AttributeProto {
    /// A number (`AttributeType.FLOAT`).
    pub fn float(name: &str, value: f32) -> Self {
        AttributeProto { name: name.into(), f: Some(value), kind: Some(1), ..Self::default() }
    }

    /// An integer (`AttributeType.INT`).
    pub fn int(name: &str, value: usize) -> Self {
        AttributeProto { name: name.into(), i: Some(value as i64), kind: Some(2), ..Self::default() }
    }

    /// Integers (`AttributeType.INTS`).
    pub fn ints(name: &str, values: &[usize]) -> Self {
        let ints = values.iter().map(|&value| value as i64).collect();
        AttributeProto { name: name.into(), ints, kind: Some(7), ..Self::default() }
    }
}

/// A constant.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Extent of each axis.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// Type of its values, by `TensorProto.DataType`.
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    /// Its name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The values, little-endian, in C order.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// A value that goes in or comes out.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type and shape.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
    /// For people.
    #[prost(string, tag = "3")]
    pub doc_string: String,
}

/// A type.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    /// A tensor's; other kinds are not for networks like these.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
}

/// Type and shape of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    /// Type of its values, by `TensorProto.DataType`.
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// Absent where not even the number of axes is known.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// Extents that may be unknown.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    /// One for each axis.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// The extent of an axis.
#[derive(Clone, PartialEq, Message)]
pub struct DimensionProto {
    /// A number or a name.
    #[prost(oneof = "Extent", tags = "1, 2")]
    pub value: Option<Extent>,
}

/// A number or a name.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Extent {
    /// Always this.
    #[prost(int64, tag = "1")]
    Value(i64),
    /// Known when the network runs; the same wherever the name is.
    #[prost(string, tag = "2")]
    Name(String),
}
