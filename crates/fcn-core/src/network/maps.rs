//! What follows from the graph alone: the sizes of the maps, the arithmetic and memory of a pass, and on which pixels of
//! the image a pixel of the output depends.
//!
//! Receptive field arithmetic is that of Dumoulin & Visin, "A guide to convolution arithmetic for deep learning" (2016),
//! carried through transposed convolutions, crops and joins: for every map, pixel `i` reads the image's pixels
//! `step * i + low` to `step * i + high` along each axis.

use super::graph::{Corner, Graph, Node, Op};

/// Channels, height and width of one image's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSize {
    /// `C`.
    pub channels: usize,
    /// `H`.
    pub height: usize,
    /// `W`.
    pub width: usize,
}

impl MapSize {
    /// `H W`.
    pub fn pixels(&self) -> u64 {
        self.height as u64 * self.width as u64
    }

    /// `C H W`.
    pub fn values(&self) -> u64 {
        self.channels as u64 * self.pixels()
    }
}

/// Which pixels of the image a pixel of a map depends on, along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reach {
    /// Pixels of the image from one pixel of the map to the next.
    pub step: f64,
    /// First pixel that pixel 0 depends on; negative where it is before the image.
    pub low: f64,
    /// Last one.
    pub high: f64,
}

impl Graph {
    /// The size of every node's map for an image of `height x width` pixels.
    pub fn map_sizes(&self, height: usize, width: usize) -> Vec<MapSize> {
        let image = MapSize { channels: 3, height, width };
        let mut sizes: Vec<MapSize> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let of = |position: usize| node.inputs.get(position).map_or(image, |&input| sizes[input]);
            let size = self.map_size(node, of);
            sizes.push(size);
        }
        sizes
    }

    fn map_size(&self, node: &Node, of: impl Fn(usize) -> MapSize) -> MapSize {
        let x = of(0);
        let sides = |channels: usize, side: &dyn Fn(usize) -> usize| MapSize {
            channels,
            height: side(x.height),
            width: side(x.width),
        };
        match &node.op {
            Op::Input | Op::Dropout { .. } | Op::Add => x,
            Op::Frame { multiple } => sides(x.channels, &|side| side.max(1).next_multiple_of(*multiple)),
            Op::Conv(conv) => {
                let window = conv.dilation * (conv.taps - 1) + 1;
                let outputs = self.parameters[conv.weight].shape[0];
                sides(outputs, &|side| match (side + 2 * conv.padding).checked_sub(window) {
                    Some(rest) => rest / conv.stride + 1,
                    None => 0,
                })
            }
            Op::MaxPool { ceil } => sides(x.channels, &|side| if *ceil { side.div_ceil(2) } else { side / 2 }),
            Op::ConvTranspose(up) => {
                let outputs = self.parameters[up.weight].shape[1];
                sides(outputs, &|side| match side {
                    0 => 0,
                    side => (up.stride * (side - 1) + up.taps).saturating_sub(2 * up.padding),
                })
            }
            Op::Crop { .. } => MapSize { channels: x.channels, ..of(1) },
            Op::Concat => MapSize { channels: x.channels + of(1).channels, ..x },
        }
    }

    /// Multiply-adds of each convolution, plain or transposed, of one image of `height x width` pixels: each value of a
    /// convolution's kernel is used once for each pixel of its output, each of a transposed one's once for each pixel of
    /// its input. Normalisation, activation and pooling are left out, as is usual.
    pub fn multiply_adds(&self, height: usize, width: usize) -> Vec<(&str, u64)> {
        let sizes = self.map_sizes(height, width);
        let count = |(id, node): (usize, &'_ Node)| match &node.op {
            Op::Conv(conv) => Some(self.parameters[conv.weight].len() as u64 * sizes[id].pixels()),
            Op::ConvTranspose(up) => Some(self.parameters[up.weight].len() as u64 * sizes[node.inputs[0]].pixels()),
            _ => None,
        };
        self.nodes.iter().enumerate().filter_map(|(id, node)| Some((node.name.as_str(), count((id, node))?))).collect()
    }

    /// Values of one image's maps that the way back reads again: the result of every convolution, of every normalisation
    /// behind one, and of every join of channels. Of what goes into a pooling only the result is read again, a quarter.
    pub fn values_kept_for_backward(&self, height: usize, width: usize) -> u64 {
        let (sizes, readers) = (self.map_sizes(height, width), self.readers());
        let kept = |(id, node): (usize, &Node)| match &node.op {
            Op::Conv(conv) => {
                let maps = if conv.norm.is_some() { 2 } else { 1 };
                let values = sizes[id].values();
                if self.is_pooled_in_passing(id, &readers) { (maps - 1) * values + values / 4 } else { maps * values }
            }
            Op::Concat => sizes[id].values(),
            _ => 0,
        };
        self.nodes.iter().enumerate().map(kept).sum()
    }

    /// The most values that are held at once for each pixel of the image while a pass goes forward: the maps that are
    /// still to be read, and the one that is being made. The image and its frame are left out.
    pub fn peak_values_per_pixel(&self) -> f64 {
        let reach = self.reaches();
        let channels = self.map_sizes(1, 1);
        let values = |id: usize| channels[id].channels as f64 / (reach[id].step * reach[id].step);
        let mut left = self.readers();
        let (mut held, mut peak) = (0.0f64, 0.0f64);
        for (id, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.op != Op::Input) {
            let is_image = |id: usize| matches!(self.nodes[id].op, Op::Input | Op::Frame { .. });
            held += if is_image(id) { 0.0 } else { values(id) };
            peak = peak.max(held);
            for &input in &node.inputs {
                left[input] -= 1;
                held -= if left[input] == 0 && !is_image(input) { values(input) } else { 0.0 };
            }
        }
        peak
    }

    /// On which pixels of the image the pixels of each map depend. Frames count as nothing: what they shift, the crop
    /// at the end shifts back.
    pub fn reaches(&self) -> Vec<Reach> {
        let image = Reach { step: 1.0, low: 0.0, high: 0.0 };
        let mut reaches: Vec<Reach> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let x = node.inputs.first().map_or(image, |&input| reaches[input]);
            let over = |stride: f64, first: f64, last: f64| Reach {
                step: x.step * stride,
                low: x.low + x.step * first,
                high: x.high + x.step * last,
            };
            let reach = match &node.op {
                Op::Input | Op::Frame { .. } | Op::Dropout { .. } => x,
                Op::Conv(conv) => {
                    let first = -(conv.padding as f64);
                    over(conv.stride as f64, first, first + (conv.dilation * (conv.taps - 1)) as f64)
                }
                Op::MaxPool { .. } => over(2.0, 0.0, 1.0),
                Op::ConvTranspose(up) => {
                    // Pixel j of the result reads pixels i with stride * i - padding <= j <= stride * i - padding + k - 1.
                    let (stride, padding) = (up.stride as f64, up.padding as f64);
                    over(1.0 / stride, (padding + 1.0 - up.taps as f64) / stride, padding / stride)
                }
                Op::Crop { from: Corner::OfFrame } => x,
                Op::Crop { from: Corner::At(first) } => over(1.0, *first as f64, *first as f64),
                Op::Add | Op::Concat => {
                    let y = reaches[node.inputs[1]];
                    Reach { step: x.step, low: x.low.min(y.low), high: x.high.max(y.high) }
                }
            };
            reaches.push(reach);
        }
        reaches
    }

    /// Pixels of the image from one pixel of the coarsest map to the next.
    pub fn coarsest_stride(&self) -> usize {
        self.reaches().iter().map(|reach| reach.step as usize).max().unwrap_or(1)
    }

    /// How far, in pixels of the image, a pixel of the output may look to any side, rounded up to the coarsest stride.
    /// What is cut off a tile by this margin depends on nothing beyond the tile.
    pub fn margin(&self) -> usize {
        let Some(last) = self.reaches().last().copied() else { return 0 };
        (last.high.max(-last.low).max(0.0).ceil() as usize).next_multiple_of(self.coarsest_stride())
    }
}
