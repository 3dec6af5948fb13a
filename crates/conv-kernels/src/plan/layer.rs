//! What a choice may look at.

use super::options::{Algorithm, Purpose};
use crate::shape::Geometry;
use crate::simd::Precision;
use crate::winograd::Filter;

/// A pass of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// [`Conv2d::forward`](crate::Conv2d::forward): weights as they are stored.
    Forward,
    /// [`Conv2d::forward_prepared`](crate::Conv2d::forward_prepared).
    ForwardPrepared,
    /// [`Conv2d::backward_data`](crate::Conv2d::backward_data), the gradient of the input.
    BackwardData,
    /// [`Conv2d::backward_weight`](crate::Conv2d::backward_weight), the gradient of the weight.
    BackwardWeight,
}

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// The products of the definition.
    Definition,
    /// Those of a minimal filtering.
    Winograd(Filter),
}

impl Arithmetic {
    /// Whether maxima over windows of 2x2 pixels are taken in passing: where a tile is whole windows.
    pub(crate) fn pools(self) -> bool {
        match self {
            Arithmetic::Definition => false,
            Arithmetic::Winograd(filter) => filter.tile() % 2 == 0,
        }
    }
}

/// A pass of a layer: everything that the choice of its arithmetic depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    /// Its sizes; those of the transposed convolution for [`Pass::BackwardData`].
    pub geometry: Geometry,
    /// Which pass.
    pub pass: Pass,
    /// How exactness is traded for speed.
    pub algorithm: Algorithm,
    /// What forward passes are for.
    pub purpose: Purpose,
    /// What factors of forward products may be rounded to.
    pub precision: Precision,
    /// f32 values in a vector.
    pub lanes: usize,
}

impl Layer {
    /// Whether it has a square kernel of this side.
    pub(super) fn is(&self, side: usize) -> bool {
        self.geometry.kernel == [side; 2]
    }

    /// Whether fewer multiplications were allowed at all.
    pub(super) fn may_filter(&self) -> bool {
        self.algorithm != Algorithm::Direct
    }

    /// Whether errors are seen once and go into no gradient.
    pub(super) fn for_inference(&self) -> bool {
        let gradient = matches!(self.pass, Pass::BackwardData | Pass::BackwardWeight);
        self.purpose == Purpose::Inference && !gradient
    }

    /// Weights of a tap: C K.
    pub(super) fn channel_pairs(&self) -> usize {
        self.geometry.channels * self.geometry.out_channels
    }

    /// The sizes with only the taps that meet anything but padding.
    pub(super) fn busy(&self) -> Geometry {
        self.geometry.with_taps(&self.geometry.busy_taps())
    }
}

/// A layer whose arithmetic is known: everything that the choice of its loops depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved {
    pub layer: Layer,
    pub arithmetic: Arithmetic,
    /// What factors are rounded to.
    pub products: Precision,
}

impl Resolved {
    /// Whether its arithmetic is this filter's.
    pub(super) fn filters_by(&self, filter: Filter) -> bool {
        self.arithmetic == Arithmetic::Winograd(filter)
    }

    /// Whether its arithmetic is the definition's.
    pub(super) fn as_defined(&self) -> bool {
        self.arithmetic == Arithmetic::Definition
    }

    /// Whether weights come as they are stored: prepared ones, and those that are prepared on the way to bf16, do not.
    pub(super) fn raw(&self) -> bool {
        self.layer.pass != Pass::ForwardPrepared && self.products == Precision::F32
    }

    /// Whether weights would leave the caches before they are used, and the input at the points (36 values for each of its
    /// tiles and channels) would not.
    pub(super) fn weights_outweigh_tiles(&self) -> bool {
        let g = &self.layer.geometry;
        self.layer.is(7) || (self.layer.channel_pairs() >= 256 * 256 && g.tiles(4) * g.channels <= 80_000)
    }
}
