//! The network as an ONNX graph: [`Network::forward`] again, node by node, with the sizes that
//! Rust knows from the image computed inside the graph, so that one file serves images of any size.
//!
//! `N` images, `K` classes, `H x W` pixels.
//!
//! Batch normalisations stay nodes of their own; runtimes fold them into the convolutions when they load. A kernel that
//! does not mix classes, as the bilinear ones, becomes a transposed convolution in `K` groups: the same sums without the
//! products with zero.

use super::messages::{
    AttributeProto, DimensionProto, Extent, FLOAT, GraphProto, INT64, NodeProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, UINT8, ValueInfoProto,
};
use super::options::OnnxOptions;
use crate::Result;
use crate::cpu::norm::NORM_EPSILON;
use crate::device::values::with_values;
use crate::network::graph::{Conv, ConvTranspose, Corner, Norm, Op};
use crate::network::{Activation, Architecture, Network, ParameterKind};
use segdata::image::preprocessing::{Channels, Preprocessing};

/// Name of the graph's input.
pub const INPUT: &str = "image";
/// Name of the scores that come out.
pub const LOGITS: &str = "logits";
/// Name of their softmax.
pub const PROBABILITIES: &str = "probabilities";
/// Name of the label map.
pub const MASK: &str = "mask";

/// Where the values of a constant are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In the network's parameter list.
    Parameter(usize),
    /// Here, as little-endian bytes.
    Bytes(Vec<u8>),
}

/// A constant: everything but its values, and where those are.
#[derive(Clone, Debug)]
pub struct Initializer {
    /// Without `raw_data`.
    pub header: TensorProto,
    /// The values.
    pub source: Source,
}

/// The graph of a network. `graph` has no initialisers: their values are too large to hold twice.
///
/// # Errors
/// A device that does not deliver the upsampling kernels.
pub fn build(network: &Network, options: &OnnxOptions) -> Result<(GraphProto, Vec<Initializer>)> {
    let mut graph = Graph { network, proto: GraphProto::default(), initializers: Vec::new() };
    graph.proto.name = match &network.meta.architecture {
        Architecture::Fcn(spec) => format!("{:?}", spec.variant).to_lowercase(),
        Architecture::Unet(_) => "unet".to_string(),
    };
    let (image, size) = if options.embed_preprocessing { graph.photograph() } else { graph.planes() };
    let logits = graph.network(image, &size)?;
    let pixels = ["batch", "height", "width"];
    let scores = ["batch", "", "height", "width"];
    if !options.embed_preprocessing {
        graph.output(&logits, FLOAT, &scores, "Scores of each class at each pixel, before the softmax.");
    }
    if options.softmax {
        graph.node("Softmax", &[&logits], PROBABILITIES, vec![AttributeProto::int("axis", 1)]);
        graph.output(PROBABILITIES, FLOAT, &scores, "Softmax of the scores over the classes.");
    }
    if options.argmax || options.embed_preprocessing {
        let attributes = vec![AttributeProto::int("axis", 1), AttributeProto::int("keepdims", 0)];
        let ids = graph.node("ArgMax", &[&logits], "class_ids", attributes);
        graph.node("Cast", &[&ids], MASK, vec![AttributeProto::int("to", UINT8 as usize)]);
        graph.output(MASK, UINT8, &pixels, "The most probable class of each pixel; of equal ones the lowest id.");
    }
    Ok((graph.proto, graph.initializers))
}

/// A graph that grows node by node.
struct Graph<'a> {
    network: &'a Network,
    proto: GraphProto,
    initializers: Vec<Initializer>,
}

impl Graph<'_> {
    /// Adds a node that makes the value `name`, and is called so itself.
    fn node(&mut self, op: &str, inputs: &[&str], name: &str, attribute: Vec<AttributeProto>) -> String {
        let input = inputs.iter().map(|input| (*input).to_string()).collect();
        let (op_type, name) = (op.to_string(), name.to_string());
        self.proto.node.push(NodeProto { input, output: vec![name.clone()], name: name.clone(), op_type, attribute });
        name
    }

    fn constant(&mut self, name: &str, data_type: i32, dims: &[usize], source: Source) -> String {
        let dims = dims.iter().map(|&side| side as i64).collect();
        let header = TensorProto { dims, data_type: Some(data_type), name: name.to_string(), raw_data: Vec::new() };
        self.initializers.push(Initializer { header, source });
        name.to_string()
    }

    fn integers(&mut self, name: &str, values: &[usize]) -> String {
        let bytes = values.iter().flat_map(|&value| (value as i64).to_le_bytes()).collect();
        self.constant(name, INT64, &[values.len()], Source::Bytes(bytes))
    }

    fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, FLOAT, dims, Source::Bytes(bytes))
    }

    fn parameter(&mut self, index: usize) -> String {
        let parameter = &self.network.parameters()[index];
        self.constant(&parameter.name, FLOAT, &parameter.shape, Source::Parameter(index))
    }

    /// Where the axis has no name, it has one value for each class.
    fn value(&self, name: &str, elem_type: i32, axes: &[&str], doc: &str) -> ValueInfoProto {
        let extent = |axis: &&str| match (*axis, axis.parse()) {
            ("", _) => Extent::Value(self.network.meta.classes.len() as i64),
            (_, Ok(number)) => Extent::Value(number),
            (name, Err(_)) => Extent::Name(name.to_string()),
        };
        let dim = axes.iter().map(|axis| DimensionProto { value: Some(extent(axis)) }).collect();
        let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) });
        ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }), doc_string: doc.into() }
    }

    fn output(&mut self, name: &str, elem_type: i32, axes: &[&str], doc: &str) {
        let value = self.value(name, elem_type, axes, doc);
        self.proto.output.push(value);
    }

    /// Height and width of `value`, whose axis `first` is the height.
    fn size_of(&mut self, value: &str, first: usize, name: &str) -> String {
        let attributes = vec![AttributeProto::int("start", first), AttributeProto::int("end", first + 2)];
        self.node("Shape", &[value], name, attributes)
    }

    /// Input: planes that are normalised already. Returns them and the name of their height and width.
    fn planes(&mut self) -> (String, String) {
        let Preprocessing { channels, scale, mean, std } = &self.network.meta.preprocessing;
        let order = match channels {
            Channels::Rgb => "red, green, blue",
            Channels::Bgr => "blue, green, red",
        };
        let doc = format!("Planes {order}: (x * {scale} - {mean:?}) / {std:?} of values 0 to 255.");
        let input = self.value(INPUT, FLOAT, &["batch", "3", "height", "width"], &doc);
        self.proto.input.push(input);
        (INPUT.into(), self.size_of(INPUT, 2, "size"))
    }

    /// Input: RGB pixels. Returns the normalised planes and the name of their height and width. The operations and their
    /// order are those of [`crate::normalise`], so that the values are the same to the last bit.
    fn photograph(&mut self) -> (String, String) {
        let doc = "Red, green and blue of each pixel, 0 to 255.";
        let input = self.value(INPUT, UINT8, &["batch", "height", "width", "3"], doc);
        self.proto.input.push(input);
        let size = self.size_of(INPUT, 1, "size");
        let Preprocessing { channels, scale, mean, std } = self.network.meta.preprocessing.clone();
        let x = self.node("Cast", &[INPUT], "image_float", vec![AttributeProto::int("to", FLOAT as usize)]);
        let mut x = self.node("Transpose", &[&x], "image_planes", vec![AttributeProto::ints("perm", &[0, 3, 1, 2])]);
        if channels == Channels::Bgr {
            let order = self.integers("bgr", &[2, 1, 0]);
            x = self.node("Gather", &[&x, &order], "image_bgr", vec![AttributeProto::int("axis", 1)]);
        }
        if scale != 1.0 {
            let scale = self.floats("preprocessing.scale", &[], &[scale]);
            x = self.node("Mul", &[&x, &scale], "image_scaled", Vec::new());
        }
        let mean = self.floats("preprocessing.mean", &[1, 3, 1, 1], &mean);
        x = self.node("Sub", &[&x, &mean], "image_centred", Vec::new());
        if std != [1.0; 3] {
            let std = self.floats("preprocessing.std", &[1, 3, 1, 1], &std);
            x = self.node("Div", &[&x, &std], "image_normalised", Vec::new());
        }
        (x, size)
    }

    /// Logits of normalised planes whose height and width are the value `size`.
    fn network(&mut self, planes: String, size: &str) -> Result<String> {
        let graph = self.network.graph();
        let axes = self.integers("axes", &[2, 3]);
        let mut origin = String::new();
        let mut values: Vec<String> = Vec::with_capacity(graph.nodes.len());
        for (id, node) in graph.nodes.iter().enumerate() {
            let is_last = id + 1 == graph.nodes.len();
            let of = |position: usize| values[node.inputs[position]].clone();
            let value = match &node.op {
                Op::Input => planes.clone(),
                Op::Frame { multiple } => {
                    let (framed, before) = self.frame(&of(0), size, *multiple);
                    origin = before;
                    framed
                }
                Op::Conv(conv) => self.convolve(&of(0), &node.name, conv),
                Op::MaxPool { ceil } => {
                    let mut attributes =
                        vec![AttributeProto::ints("kernel_shape", &[2, 2]), AttributeProto::ints("strides", &[2, 2])];
                    attributes.extend(ceil.then(|| AttributeProto::int("ceil_mode", 1)));
                    self.node("MaxPool", &[&of(0)], &node.name, attributes)
                }
                Op::Dropout { .. } => of(0),
                Op::ConvTranspose(up) => self.upsample(&of(0), &node.name, up)?,
                Op::Crop { from } => {
                    let target = &graph.nodes[node.inputs[1]];
                    let to_image = target.op == Op::Input;
                    let end =
                        if to_image { size.to_string() } else { self.size_of(&of(1), 2, &format!("{}_size", of(1))) };
                    let start = match from {
                        Corner::OfFrame => origin.clone(),
                        Corner::At(first) => {
                            let upsampled = if to_image { of(0) } else { of(1) };
                            self.integers(&format!("{upsampled}.crop"), &[*first; 2])
                        }
                    };
                    self.crop(&of(0), &start, &end, &axes, if is_last { LOGITS } else { &node.name })
                }
                Op::Add => self.node("Add", &[&of(0), &of(1)], &node.name, Vec::new()),
                Op::Concat => self.node("Concat", &[&of(0), &of(1)], &node.name, vec![AttributeProto::int("axis", 1)]),
            };
            values.push(value);
        }
        Ok(values.pop().unwrap_or_default())
    }

    /// Zeros around an image up to the next multiples of `multiple`, and the value that says where the image begins in them.
    fn frame(&mut self, planes: &str, size: &str, multiple: usize) -> (String, String) {
        let stride = self.integers("stride", &[multiple; 2]);
        let most = self.integers("stride_less_one", &[multiple - 1; 2]);
        let two = self.integers("two", &[2; 2]);
        let none = self.integers("none", &[0; 2]);
        let last = self.node("Add", &[size, &most], "size_plus_stride_less_one", Vec::new());
        let over = self.node("Mod", &[&last, &stride], "size_beyond_stride", Vec::new());
        let missing = self.node("Sub", &[&most, &over], "frame", Vec::new());
        let before = self.node("Div", &[&missing, &two], "frame_before", Vec::new());
        let after = self.node("Sub", &[&missing, &before], "frame_after", Vec::new());
        let sides = [none.as_str(), &before, &none, &after];
        let pads = self.node("Concat", &sides, "frame_sides", vec![AttributeProto::int("axis", 0)]);
        (self.node("Pad", &[planes, &pads], "image_framed", Vec::new()), before)
    }

    /// The part of `x` that starts at `start` (row, column) and has the height and width `size`.
    fn crop(&mut self, x: &str, start: &str, size: &str, axes: &str, name: &str) -> String {
        let end = self.node("Add", &[start, size], &format!("{name}_end"), Vec::new());
        self.node("Slice", &[x, start, &end, axes], name, Vec::new())
    }

    fn convolve(&mut self, x: &str, name: &str, conv: &Conv) -> String {
        let weight = self.parameter(conv.weight);
        let bias = conv.bias.map(|bias| self.parameter(bias));
        let attributes = vec![
            AttributeProto::ints("kernel_shape", &[conv.taps; 2]),
            AttributeProto::ints("pads", &[conv.padding; 4]),
        ];
        let inputs: Vec<&str> = [x, &weight].into_iter().chain(bias.as_deref()).collect();
        let mut y = self.node("Conv", &inputs, name, attributes);
        if let Some(norm) = &conv.norm {
            y = self.normalise(&y, norm);
        }
        match conv.activation {
            Activation::Identity => y,
            Activation::Relu => self.node("Relu", &[&y], &format!("{name}_relu"), Vec::new()),
        }
    }

    fn normalise(&mut self, x: &str, norm: &Norm) -> String {
        let [scale, shift, mean, var] = [norm.scale, norm.shift, norm.mean, norm.var].map(|i| self.parameter(i));
        let attributes = vec![AttributeProto::float("epsilon", NORM_EPSILON as f32)];
        self.node("BatchNormalization", &[x, &scale, &shift, &mean, &var], &format!("{x}_norm"), attributes)
    }

    fn upsample(&mut self, x: &str, name: &str, up: &ConvTranspose) -> Result<String> {
        let parameter = &self.network.parameters()[up.weight];
        let mut attributes = vec![
            AttributeProto::ints("kernel_shape", &[up.taps; 2]),
            AttributeProto::ints("strides", &[up.stride; 2]),
            AttributeProto::ints("pads", &[up.padding; 4]),
        ];
        let diagonal = match parameter.kind {
            ParameterKind::Upsampling => {
                with_values(&parameter.tensor, |values| class_diagonal(values, parameter.shape[0]))?
            }
            _ => None,
        };
        let weight = match diagonal {
            Some(values) => {
                let classes = parameter.shape[0];
                attributes.push(AttributeProto::int("group", classes));
                self.floats(&parameter.name, &[classes, 1, up.taps, up.taps], &values)
            }
            None => self.parameter(up.weight),
        };
        let bias = up.bias.map(|bias| self.parameter(bias));
        let inputs: Vec<&str> = [x, &weight].into_iter().chain(bias.as_deref()).collect();
        Ok(self.node("ConvTranspose", &inputs, name, attributes))
    }
}

/// The kernels `[K, k, k]` on the diagonal of `[K, K, k, k]`, if all others are zero.
fn class_diagonal(values: &[f32], classes: usize) -> Option<Vec<f32>> {
    let area = values.len() / (classes * classes);
    let mut diagonal = Vec::with_capacity(classes * area);
    for (index, kernel) in values.chunks_exact(area).enumerate() {
        match index / classes == index % classes {
            true => diagonal.extend_from_slice(kernel),
            false if kernel.iter().all(|&value| value == 0.0) => {}
            false => return None,
        }
    }
    Some(diagonal)
}
