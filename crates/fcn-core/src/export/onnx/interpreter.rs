//! A second definition of the operators in use, from ONNX's operator documents (`docs/Operators.md`, opset 17), in plain
//! loops: what an exported file means is tested with this, and shares no code with the network.
#![allow(clippy::unwrap_used)] // in a test a failure may be loud

use std::collections::BTreeMap;

use super::messages::{FLOAT, GraphProto, INT64, NodeProto, TensorProto, UINT8};

/// A value between nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Float(Array<f32>),
    Integer(Array<i64>),
    Byte(Array<u8>),
}

/// Values in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T> {
    pub shape: Vec<usize>,
    pub values: Vec<T>,
}

impl<T: Copy + Default> Array<T> {
    pub fn new(shape: &[usize], values: Vec<T>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        Array { shape: shape.to_vec(), values }
    }

    /// `of(index)` at every index.
    fn generate(shape: &[usize], mut of: impl FnMut(&[usize]) -> T) -> Self {
        let count: usize = shape.iter().product();
        let mut index = vec![0; shape.len()];
        let values = (0..count)
            .map(|_| {
                let value = of(&index);
                for (at, &side) in index.iter_mut().zip(shape).rev() {
                    *at += 1;
                    if *at < side {
                        break;
                    }
                    *at = 0;
                }
                value
            })
            .collect();
        Array { shape: shape.to_vec(), values }
    }

    fn at(&self, index: &[usize]) -> T {
        self.values[index.iter().zip(&self.shape).fold(0, |flat, (&at, &side)| flat * side + at)]
    }

    /// With NumPy's broadcasting.
    fn zip(&self, other: &Self, of: impl Fn(T, T) -> T) -> Self {
        let axes = self.shape.len().max(other.shape.len());
        let padded = |array: &Self| [vec![1; axes - array.shape.len()], array.shape.clone()].concat();
        let (a, b) = (Array::new(&padded(self), self.values.clone()), Array::new(&padded(other), other.values.clone()));
        let both = a.shape.iter().zip(&b.shape);
        let shape: Vec<usize> = both
            .map(|(&a, &b)| {
                assert!(a == b || a == 1 || b == 1);
                if a == 1 { b } else { a }
            })
            .collect();
        let clamp = |array: &Self, index: &[usize]| -> Vec<usize> {
            index.iter().zip(&array.shape).map(|(&at, &side)| if side == 1 { 0 } else { at }).collect()
        };
        Array::generate(&shape, |index| of(a.at(&clamp(&a, index)), b.at(&clamp(&b, index))))
    }
}

impl Value {
    pub fn float(&self) -> &Array<f32> {
        let Value::Float(array) = self else { panic!("not float: {self:?}") };
        array
    }

    pub fn bytes(&self) -> &Array<u8> {
        let Value::Byte(array) = self else { panic!("not bytes: {self:?}") };
        array
    }

    fn integers(&self) -> &Array<i64> {
        let Value::Integer(array) = self else { panic!("not integers: {self:?}") };
        array
    }

    fn shape(&self) -> &[usize] {
        match self {
            Value::Float(array) => &array.shape,
            Value::Integer(array) => &array.shape,
            Value::Byte(array) => &array.shape,
        }
    }
}

/// Every output of the graph for this input.
pub fn evaluate(graph: &GraphProto, input: Value) -> BTreeMap<String, Value> {
    let mut values: BTreeMap<String, Value> =
        graph.initializer.iter().map(|constant| (constant.name.clone(), literal(constant))).collect();
    values.insert(graph.input[0].name.clone(), input);
    for node in &graph.node {
        let inputs: Vec<&Value> = node.input.iter().map(|name| &values[name]).collect();
        let result = Node(node).evaluate(&inputs);
        let [output] = &node.output[..] else { panic!("{node:?}") };
        assert!(values.insert(output.clone(), result).is_none(), "{output} is made twice");
    }
    graph.output.iter().map(|output| (output.name.clone(), values[&output.name].clone())).collect()
}

fn literal(constant: &TensorProto) -> Value {
    let shape: Vec<usize> = constant.dims.iter().map(|&side| side as usize).collect();
    let words = |bytes| constant.raw_data.chunks_exact(bytes);
    match constant.data_type {
        Some(FLOAT) => {
            let values = words(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
            Value::Float(Array::new(&shape, values))
        }
        Some(INT64) => {
            let values = words(8).map(|word| i64::from_le_bytes(word.try_into().unwrap())).collect();
            Value::Integer(Array::new(&shape, values))
        }
        other => panic!("{other:?}"),
    }
}

struct Node<'a>(&'a NodeProto);

impl Node<'_> {
    fn int(&self, name: &str, default: i64) -> i64 {
        let found = self.0.attribute.iter().find(|attribute| attribute.name == name);
        found.map_or(default, |attribute| attribute.i.unwrap())
    }

    fn ints(&self, name: &str) -> Option<Vec<usize>> {
        let found = self.0.attribute.iter().find(|attribute| attribute.name == name)?;
        Some(found.ints.iter().map(|&value| value as usize).collect())
    }

    fn evaluate(&self, x: &[&Value]) -> Value {
        match self.0.op_type.as_str() {
            "Conv" => Value::Float(self.conv(x[0].float(), x[1].float(), x.get(2).map(|bias| bias.float()))),
            "ConvTranspose" => {
                let y = self.conv_transpose(x[0].float(), x[1].float());
                let Some(bias) = x.get(2) else { return Value::Float(y) };
                Value::Float(Array::generate(&y.shape, |index| y.at(index) + bias.float().values[index[1]]))
            }
            "MaxPool" => Value::Float(self.max_pool(x[0].float())),
            "BatchNormalization" => Value::Float(self.batch_normalization(x)),
            "Relu" => {
                let x = x[0].float();
                Value::Float(Array::new(&x.shape, x.values.iter().map(|value| value.max(0.0)).collect()))
            }
            "Softmax" => Value::Float(softmax(x[0].float(), self.int("axis", -1) as usize)),
            "ArgMax" => Value::Integer(arg_max(x[0].float(), self.int("axis", 0) as usize, self.int("keepdims", 1))),
            "Shape" => {
                let (start, end) = (self.int("start", 0) as usize, self.int("end", x[0].shape().len() as i64) as usize);
                let sides: Vec<i64> = x[0].shape()[start..end].iter().map(|&side| side as i64).collect();
                Value::Integer(Array::new(&[sides.len()], sides))
            }
            "Cast" => match (x[0], self.int("to", 0) as i32) {
                (Value::Byte(x), FLOAT) => {
                    Value::Float(Array::new(&x.shape, x.values.iter().map(|&value| f32::from(value)).collect()))
                }
                (Value::Integer(x), UINT8) => {
                    let values = x.values.iter().map(|&value| u8::try_from(value).unwrap()).collect();
                    Value::Byte(Array::new(&x.shape, values))
                }
                other => panic!("{other:?}"),
            },
            "Transpose" => {
                let (x, perm) = (x[0].float(), self.ints("perm").unwrap());
                let shape: Vec<usize> = perm.iter().map(|&axis| x.shape[axis]).collect();
                Value::Float(Array::generate(&shape, |index| {
                    let mut from = vec![0; perm.len()];
                    perm.iter().zip(index).for_each(|(&axis, &at)| from[axis] = at);
                    x.at(&from)
                }))
            }
            "Gather" => {
                let (x, picked, axis) = (x[0].float(), x[1].integers(), self.int("axis", 0) as usize);
                let mut shape = x.shape.clone();
                shape[axis] = picked.values.len();
                Value::Float(Array::generate(&shape, |index| {
                    let mut from = index.to_vec();
                    from[axis] = picked.values[index[axis]] as usize;
                    x.at(&from)
                }))
            }
            "Concat" if matches!(x[0], Value::Float(_)) => {
                assert_eq!(self.int("axis", 0), 1);
                let parts: Vec<&Array<f32>> = x.iter().map(|part| part.float()).collect();
                let mut shape = parts[0].shape.clone();
                shape[1] = parts.iter().map(|part| part.shape[1]).sum();
                Value::Float(Array::generate(&shape, |index| {
                    let mut from = index.to_vec();
                    let mut parts = parts.iter();
                    loop {
                        let part = parts.next().unwrap();
                        match from[1].checked_sub(part.shape[1]) {
                            Some(beyond) => from[1] = beyond,
                            None => return part.at(&from),
                        }
                    }
                }))
            }
            "Concat" => {
                let parts: Vec<i64> = x.iter().flat_map(|part| part.integers().values.clone()).collect();
                Value::Integer(Array::new(&[parts.len()], parts))
            }
            "Pad" => {
                let (x, sides) = (x[0].float(), &x[1].integers().values);
                let side = |axis: usize| x.shape[axis] + (sides[axis] + sides[axis + x.shape.len()]) as usize;
                let shape: Vec<usize> = (0..x.shape.len()).map(side).collect();
                Value::Float(Array::generate(&shape, |index| {
                    let from: Vec<usize> =
                        index.iter().zip(sides).map(|(&at, &before)| at.wrapping_sub(before as usize)).collect();
                    if from.iter().zip(&x.shape).all(|(at, side)| at < side) { x.at(&from) } else { 0.0 }
                }))
            }
            "Slice" => {
                let x0 = x[0].float();
                let mut start = vec![0; x0.shape.len()];
                let mut shape = x0.shape.clone();
                for (i, &axis) in x[3].integers().values.iter().enumerate() {
                    let (from, to) = (x[1].integers().values[i] as usize, x[2].integers().values[i] as usize);
                    assert!(from <= to && to <= x0.shape[axis as usize], "{from}..{to} of {:?}", x0.shape);
                    (start[axis as usize], shape[axis as usize]) = (from, to - from);
                }
                Value::Float(Array::generate(&shape, |index| {
                    let from: Vec<usize> = index.iter().zip(&start).map(|(at, start)| at + start).collect();
                    x0.at(&from)
                }))
            }
            "Add" | "Sub" | "Mul" | "Div" | "Mod" => self.arithmetic(x[0], x[1]),
            other => panic!("{other} is not known"),
        }
    }

    fn arithmetic(&self, a: &Value, b: &Value) -> Value {
        match (self.0.op_type.as_str(), a, b) {
            ("Add", Value::Float(a), Value::Float(b)) => Value::Float(a.zip(b, |a, b| a + b)),
            ("Sub", Value::Float(a), Value::Float(b)) => Value::Float(a.zip(b, |a, b| a - b)),
            ("Mul", Value::Float(a), Value::Float(b)) => Value::Float(a.zip(b, |a, b| a * b)),
            ("Div", Value::Float(a), Value::Float(b)) => Value::Float(a.zip(b, |a, b| a / b)),
            ("Add", Value::Integer(a), Value::Integer(b)) => Value::Integer(a.zip(b, |a, b| a + b)),
            ("Sub", Value::Integer(a), Value::Integer(b)) => Value::Integer(a.zip(b, |a, b| a - b)),
            ("Div", Value::Integer(a), Value::Integer(b)) => Value::Integer(a.zip(b, |a, b| a / b)),
            ("Mod", Value::Integer(a), Value::Integer(b)) => Value::Integer(a.zip(b, |a, b| a.rem_euclid(b))),
            other => panic!("{other:?}"),
        }
    }

    fn conv(&self, x: &Array<f32>, weight: &Array<f32>, bias: Option<&Array<f32>>) -> Array<f32> {
        let ([images, inputs, rows, columns], [outputs, _, high, wide]) = (sides(x), sides(weight));
        assert_eq!((weight.shape[1], self.ints("kernel_shape").unwrap()), (inputs, vec![high, wide]));
        let pads = self.ints("pads").unwrap();
        let shape = [images, outputs, rows + pads[0] + pads[2] - high + 1, columns + pads[1] + pads[3] - wide + 1];
        Array::generate(&shape, |index| {
            let mut sum = bias.map_or(0.0, |bias| f64::from(bias.values[index[1]]));
            for (dy, dx) in (0..high).flat_map(|dy| (0..wide).map(move |dx| (dy, dx))) {
                let (y, x0) = ((index[2] + dy).wrapping_sub(pads[0]), (index[3] + dx).wrapping_sub(pads[1]));
                if y < rows && x0 < columns {
                    for channel in 0..inputs {
                        let value = x.values[((index[0] * inputs + channel) * rows + y) * columns + x0];
                        let factor = weight.values[((index[1] * inputs + channel) * high + dy) * wide + dx];
                        sum += f64::from(value * factor);
                    }
                }
            }
            sum as f32
        })
    }

    fn conv_transpose(&self, x: &Array<f32>, weight: &Array<f32>) -> Array<f32> {
        let ([images, inputs, rows, columns], [_, outputs, high, wide]) = (sides(x), sides(weight));
        let (pads, strides) = (self.ints("pads").unwrap(), self.ints("strides").unwrap());
        let groups = self.int("group", 1) as usize;
        assert_eq!((weight.shape[0], self.ints("kernel_shape").unwrap()), (inputs, vec![high, wide]));
        let side = |side: usize, stride: usize, taps: usize, pads: usize| stride * (side - 1) + taps - pads;
        let (out_rows, out_columns) =
            (side(rows, strides[0], high, pads[0] + pads[2]), side(columns, strides[1], wide, pads[1] + pads[3]));
        let mut y = Array::new(
            &[images, outputs * groups, out_rows, out_columns],
            vec![0.0f32; images * outputs * groups * out_rows * out_columns],
        );
        let x = Array::generate(&x.shape, |index| {
            let value = x.at(index);
            let group = index[1] / (inputs / groups);
            for output in 0..outputs {
                for (dy, dx) in (0..high).flat_map(|dy| (0..wide).map(move |dx| (dy, dx))) {
                    let row = (index[2] * strides[0] + dy).wrapping_sub(pads[0]);
                    let column = (index[3] * strides[1] + dx).wrapping_sub(pads[1]);
                    if row < out_rows && column < out_columns {
                        let plane = index[0] * outputs * groups + group * outputs + output;
                        y.values[(plane * out_rows + row) * out_columns + column] +=
                            value * weight.at(&[index[1], output, dy, dx]);
                    }
                }
            }
            value
        });
        assert_eq!(x.shape[0], images);
        y
    }

    fn max_pool(&self, x: &Array<f32>) -> Array<f32> {
        let [images, channels, rows, columns] = sides(x);
        assert_eq!((self.ints("kernel_shape"), self.ints("strides")), (Some(vec![2, 2]), Some(vec![2, 2])));
        let half = |side: usize| if self.int("ceil_mode", 0) == 1 { side.div_ceil(2) } else { side / 2 };
        Array::generate(&[images, channels, half(rows), half(columns)], |index| {
            let (y, x0) = (2 * index[2], 2 * index[3]);
            let window = [(y, x0), (y, x0 + 1), (y + 1, x0), (y + 1, x0 + 1)];
            let inside = window.iter().filter(|&&(y, x0)| y < rows && x0 < columns);
            inside.map(|&(y, x0)| x.at(&[index[0], index[1], y, x0])).fold(f32::NEG_INFINITY, f32::max)
        })
    }

    fn batch_normalization(&self, x: &[&Value]) -> Array<f32> {
        let epsilon = self.0.attribute.iter().find(|attribute| attribute.name == "epsilon").unwrap().f.unwrap();
        let of = |input: usize, channel: usize| x[input].float().values[channel];
        let x0 = x[0].float();
        Array::generate(&x0.shape, |index| {
            let channel = index[1];
            (x0.at(index) - of(3, channel)) / (of(4, channel) + epsilon).sqrt() * of(1, channel) + of(2, channel)
        })
    }
}

fn sides(x: &Array<f32>) -> [usize; 4] {
    x.shape[..].try_into().unwrap()
}

fn along(x: &Array<f32>, index: &[usize], axis: usize) -> Vec<f32> {
    let mut at = index.to_vec();
    (0..x.shape[axis])
        .map(|i| {
            at[axis] = i;
            x.at(&at)
        })
        .collect()
}

fn softmax(x: &Array<f32>, axis: usize) -> Array<f32> {
    Array::generate(&x.shape, |index| {
        let line = along(x, index, axis);
        let largest = line.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = line.iter().map(|value| (value - largest).exp()).sum();
        (x.at(index) - largest).exp() / sum
    })
}

fn arg_max(x: &Array<f32>, axis: usize, keepdims: i64) -> Array<i64> {
    assert_eq!(keepdims, 0);
    let mut shape = x.shape.clone();
    shape.remove(axis);
    Array::generate(&shape, |index| {
        let mut from = index.to_vec();
        from.insert(axis, 0);
        let line = along(x, &from, axis);
        let best = |best: usize, at: usize| if line[at] > line[best] { at } else { best };
        (0..line.len()).fold(0, best) as i64
    })
}
