//! The network as data: a list of operations, each behind those it reads, over a list of parameters.
//!
//! A family of networks builds one ([`families`](super::families)); everything that has to know the network walks
//! it: the [executor](super::executor), forward and for gradients; the sizes of its maps, what it costs and what a pixel of
//! its output depends on ([`maps`](super::maps)); values to start from (`initial`); the ONNX writer, state
//! dicts and weights files.
//!
//! `N` images, `K` classes, `C` channels in, `O` channels out, `H x W` pixels, `k` taps a side.

use conv_kernels::Activation;

use super::parameter::{Initial, ParameterKind, ParameterSpec};

/// Position of a node in its graph.
pub type NodeId = usize;

/// An operation and what it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Published name where there is one (`conv1_1`, `pool3`); unique in the graph.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// The maps it reads, all before it.
    pub inputs: Vec<NodeId>,
}

/// What a node computes from maps `[N, C, H, W]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The normalised image, `[N, 3, H, W]`. Always the first node, and the only one of its kind.
    Input,
    /// Zeros around the image, up to the next multiples of `multiple`; the image is in the middle, and where the sum is odd
    /// one more row is below and one more column on the right. At most one in a graph, behind the input.
    Frame {
        /// What the sides are multiples of.
        multiple: usize,
    },
    /// Convolution, the batch normalisation behind it if it has one, and the activation.
    Conv(Conv),
    /// Maximum over 2 x 2 windows with stride 2.
    MaxPool {
        /// Whether windows at odd borders are cut off (Caffe) rather than left out. For even sides there is no difference.
        ceil: bool,
    },
    /// In training, sets values to zero with the configured probability and scales the others (Srivastava et al. 2014).
    Dropout {
        /// Which of the network's dropouts it is, from 0: selects the random stream.
        index: usize,
    },
    /// Transposed convolution.
    ConvTranspose(ConvTranspose),
    /// As many rows and columns of the first input as the second has.
    Crop {
        /// Where they begin.
        from: Corner,
    },
    /// The sum of two maps of one shape.
    Add,
    /// The channels of the first input, then those of the second; one height and width.
    Concat,
}

/// A convolution, as indices into the parameter list.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// `[O, C / groups, k, k]`.
    pub weight: usize,
    /// `[O]`.
    pub bias: Option<usize>,
    /// The batch normalisation behind it.
    pub norm: Option<Norm>,
    /// Applied last.
    pub activation: Activation,
    /// Taps a side.
    pub taps: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Pixels between the windows.
    pub stride: usize,
    /// Pixels between the taps.
    pub dilation: usize,
    /// Groups of channels that do not mix.
    pub groups: usize,
}

/// A batch normalisation (Ioffe & Szegedy 2015), as indices into the parameter list; `[O]` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    /// Factor.
    pub scale: usize,
    /// Summand.
    pub shift: usize,
    /// Running mean.
    pub mean: usize,
    /// Running variance.
    pub var: usize,
}

/// A transposed convolution, as indices into the parameter list.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose {
    /// `[C, O, k, k]`.
    pub weight: usize,
    /// `[O]`.
    pub bias: Option<usize>,
    /// Taps a side.
    pub taps: usize,
    /// Factor by which the map grows.
    pub stride: usize,
    /// Pixels cut from each side of the result.
    pub padding: usize,
}

/// Where a crop begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corner {
    /// So many rows and columns from the top left.
    At(usize),
    /// Where the image begins in its frame.
    OfFrame,
}

/// A network without its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Operations, each behind those it reads. The last one gives the logits `[N, K, H, W]`.
    pub nodes: Vec<Node>,
    /// What can be learnt or loaded, in the order in which weights files hold it.
    pub parameters: Vec<ParameterSpec>,
}

impl Conv {
    /// Why no kernel computes this convolution yet; `None` where one does.
    pub fn unsupported(&self) -> Option<String> {
        let Conv { stride, dilation, groups, .. } = *self;
        let what = match () {
            _ if stride != 1 => format!("a stride of {stride}"),
            _ if dilation != 1 => format!("a dilation of {dilation}"),
            _ if groups != 1 => format!("{groups} groups"),
            _ => return None,
        };
        Some(format!("{what}; convolutions are computed with stride 1, dilation 1 and one group"))
    }
}

impl Graph {
    /// The multiple to which images are framed; `None` where they are not.
    pub fn frame(&self) -> Option<usize> {
        self.nodes.iter().find_map(|node| match node.op {
            Op::Frame { multiple } => Some(multiple),
            _ => None,
        })
    }

    /// How many nodes read each node; the last one is read once, from outside.
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|&input| readers[input] += 1);
        if let Some(last) = readers.last_mut() {
            *last += 1;
        }
        readers
    }

    /// The convolutions with their names, in order.
    pub fn convolutions(&self) -> impl Iterator<Item = (&str, &Conv)> {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Conv(conv) => Some((node.name.as_str(), conv)),
            _ => None,
        })
    }

    /// Refuses operations for which no kernel exists.
    ///
    /// # Errors
    /// A sentence that names the node.
    pub fn check(&self) -> std::result::Result<(), String> {
        match self.convolutions().find_map(|(name, conv)| Some((name, conv.unsupported()?))) {
            Some((name, why)) => Err(format!("{name} has {why}")),
            None => Ok(()),
        }
    }

    /// Whether the maximum behind convolution `id` can be taken in passing: nothing else reads the convolution.
    pub fn is_pooled_in_passing(&self, id: NodeId, readers: &[usize]) -> bool {
        let pooled = |node: &Node| matches!(node.op, Op::MaxPool { .. }) && node.inputs == [id];
        matches!(self.nodes[id].op, Op::Conv(_)) && readers[id] == 1 && self.nodes.iter().any(pooled)
    }

    fn push(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> NodeId {
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec() });
        self.nodes.len() - 1
    }

    fn parameter(&mut self, name: String, kind: ParameterKind, initial: Initial, shape: &[usize]) -> usize {
        self.parameters.push(ParameterSpec { name, kind, initial, shape: shape.to_vec() });
        self.parameters.len() - 1
    }
}

/// How a convolution of a family looks: what [`GraphBuilder::conv`] needs beside its name and channels.
#[derive(Clone, Copy, Debug)]
pub struct ConvStyle {
    /// Taps a side.
    pub taps: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Whether a batch normalisation takes the place of the bias, which it would subtract again.
    pub normalised: bool,
    /// Applied last.
    pub activation: Activation,
    /// What the weight starts from.
    pub initial: Initial,
}

/// Adds nodes and their parameters to a graph.
#[derive(Debug)]
pub struct GraphBuilder {
    graph: Graph,
}

impl GraphBuilder {
    /// A graph of an input, and the input.
    pub fn new() -> (Self, NodeId) {
        let mut graph = Graph::default();
        let input = graph.push("image", Op::Input, &[]);
        (GraphBuilder { graph }, input)
    }

    /// A convolution with stride 1.
    pub fn conv(&mut self, name: &str, x: NodeId, [outputs, inputs]: [usize; 2], style: ConvStyle) -> NodeId {
        let ConvStyle { taps, padding, normalised, activation, initial } = style;
        let mut add = |role: &str, kind, initial, shape: &[usize]| {
            self.graph.parameter(format!("{name}.{role}"), kind, initial, shape)
        };
        let weight = add("weight", ParameterKind::Weight, initial, &[outputs, inputs, taps, taps]);
        let (mut bias, mut norm) = (None, None);
        if normalised {
            norm = Some(Norm {
                scale: add("norm.weight", ParameterKind::NormScale, Initial::One, &[outputs]),
                shift: add("norm.bias", ParameterKind::NormShift, Initial::Zero, &[outputs]),
                mean: add("norm.running_mean", ParameterKind::RunningMean, Initial::Zero, &[outputs]),
                var: add("norm.running_var", ParameterKind::RunningVar, Initial::One, &[outputs]),
            });
        } else {
            bias = Some(add("bias", ParameterKind::Bias, Initial::Zero, &[outputs]));
        }
        let conv = Conv { weight, bias, norm, activation, taps, padding, stride: 1, dilation: 1, groups: 1 };
        self.graph.push(name, Op::Conv(conv), &[x])
    }

    /// A convolution of one tap to the scores of `classes`, which start at zero.
    pub fn score(&mut self, name: &str, x: NodeId, classes: usize, inputs: usize) -> NodeId {
        let style = ConvStyle {
            taps: 1,
            padding: 0,
            normalised: false,
            activation: Activation::Identity,
            initial: Initial::Zero,
        };
        self.conv(name, x, [classes, inputs], style)
    }

    /// Bilinear upsampling of score maps by `stride`, as a transposed convolution of `2 stride` taps without bias, whose
    /// kernel is learnt only on request.
    pub fn upsample(&mut self, name: &str, x: NodeId, classes: usize, stride: usize, padding: usize) -> NodeId {
        let (kind, taps) = (ParameterKind::Upsampling, 2 * stride);
        let shape = [classes, classes, taps, taps];
        let weight = self.graph.parameter(format!("{name}.weight"), kind, Initial::Bilinear, &shape);
        self.graph.push(name, Op::ConvTranspose(ConvTranspose { weight, bias: None, taps, stride, padding }), &[x])
    }

    /// A learnt transposed convolution of 2 x 2 taps with stride 2 and a bias: doubles the sides.
    pub fn up_convolution(&mut self, name: &str, x: NodeId, [outputs, inputs]: [usize; 2]) -> NodeId {
        let initial = Initial::HeNormal { fan_in: inputs };
        let kind = ParameterKind::TransposedWeight;
        let weight = self.graph.parameter(format!("{name}.weight"), kind, initial, &[inputs, outputs, 2, 2]);
        let bias = self.graph.parameter(format!("{name}.bias"), ParameterKind::Bias, Initial::Zero, &[outputs]);
        let op = ConvTranspose { weight, bias: Some(bias), taps: 2, stride: 2, padding: 0 };
        self.graph.push(name, Op::ConvTranspose(op), &[x])
    }

    /// An operation without parameters.
    pub fn add(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> NodeId {
        self.graph.push(name, op, inputs)
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_without_a_kernel_is_refused_with_a_sentence() {
        let (mut builder, image) = GraphBuilder::new();
        builder.score("score", image, 2, 3);
        let graph = builder.finish();
        assert_eq!(graph.check(), Ok(()));
        type Change = fn(&mut Conv);
        let cases: [(Change, &str); 3] = [
            (|conv| conv.stride = 2, "score has a stride of 2"),
            (|conv| conv.dilation = 4, "score has a dilation of 4"),
            (|conv| conv.groups = 3, "score has 3 groups"),
        ];
        for (change, expected) in cases {
            let mut changed = graph.clone();
            for node in &mut changed.nodes {
                if let Op::Conv(conv) = &mut node.op {
                    change(conv);
                }
            }
            let found = changed.check().unwrap_err();
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn a_maximum_is_taken_in_passing_where_nothing_else_reads_the_convolution() {
        let (mut builder, image) = GraphBuilder::new();
        let conv = builder.score("a", image, 3, 3);
        let pool = builder.add("pool", Op::MaxPool { ceil: true }, &[conv]);
        let graph = builder.finish();
        assert!(graph.is_pooled_in_passing(conv, &graph.readers()));
        let mut branched = graph.clone();
        branched.nodes.push(Node { name: "sum".into(), op: Op::Add, inputs: vec![conv, pool] });
        assert!(!branched.is_pooled_in_passing(conv, &branched.readers()));
    }
}
