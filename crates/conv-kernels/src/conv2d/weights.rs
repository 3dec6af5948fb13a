//! Weights in the layout and domain of the kernels.

use crate::direct::{self, DirectWeights, RawWeights, Source};
use crate::epilogue::Epilogue;
use crate::plan::{self, Arithmetic, Forward, Layer};
use crate::shape::Geometry;
use crate::simd::{Isa, Precision};
use crate::winograd::{self, Filter, WinogradWeights};

/// Weights in the layout and domain of the kernels, for many forward passes with the same weights.
pub struct PreparedWeights {
    weights: Weights,
    /// The sizes that fix the layout: K, C and the kernel.
    key: [usize; 4],
}

/// Weights in the layout of an arithmetic.
pub(super) enum Weights {
    Direct(DirectWeights),
    Winograd(Filter, WinogradWeights),
}

impl Weights {
    /// For the forward pass, with products of this precision.
    pub(super) fn new(arithmetic: Arithmetic, products: Precision, isa: Isa, g: &Geometry, w: &[f32]) -> Weights {
        match arithmetic {
            Arithmetic::Definition => Weights::Direct(DirectWeights::new(isa, RawWeights::new(g, w, false), products)),
            Arithmetic::Winograd(filter) => {
                Weights::Winograd(filter, winograd::weights(filter, isa, g, w, false, products))
            }
        }
    }
}

impl PreparedWeights {
    pub(super) fn new(weights: Weights, key: [usize; 4]) -> PreparedWeights {
        PreparedWeights { weights, key }
    }

    /// K, C and the kernel that they were prepared for.
    pub(super) fn key(&self) -> [usize; 4] {
        self.key
    }

    /// Whether they serve a layer with this key: one of the same channels and kernel whose forward pass goes the way that they
    /// were prepared for, with the same taps.
    pub(super) fn fit(&self, layer: &Layer, key: [usize; 4]) -> bool {
        let (arithmetic, same_taps) = match &self.weights {
            Weights::Direct(weights) => (Arithmetic::Definition, *weights.taps() == layer.geometry.busy_taps()),
            Weights::Winograd(filter, _) => (Arithmetic::Winograd(*filter), true),
        };
        self.key == key && same_taps && arithmetic == layer.arithmetic().0
    }

    /// The forward pass of a layer that they [`fit`](Self::fit). Factors are those of the weights, whatever the layer asks for.
    pub(super) fn multiply(&self, isa: Isa, layer: &Layer, x: &[f32], epilogue: Epilogue, y: &mut [f32]) {
        let g = &layer.geometry;
        let precision = match &self.weights {
            Weights::Direct(weights) => weights.precision(),
            Weights::Winograd(..) => layer.precision,
        };
        match (&self.weights, plan::forward(&Layer { precision, ..*layer }).0) {
            (Weights::Direct(weights), Forward::Direct(loops)) => {
                direct::forward(loops, isa, g, x, Source::Packed(weights), epilogue, y);
            }
            (Weights::Winograd(filter, weights), _) => {
                winograd::forward_by_tiles(*filter, isa, g, x, weights, epilogue, y);
            }
            (Weights::Direct(_), Forward::Winograd(..)) => debug_assert!(false, "weights that do not fit"),
        }
    }
}
