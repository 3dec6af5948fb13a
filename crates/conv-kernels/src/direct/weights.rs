//! Weights as a direct product takes them: as they are stored, or packed.

use std::ops::Range;

use rayon::prelude::*;

use crate::gemm::{PairRows, Transpose};
use crate::memory::Scratch;
use crate::shape::{Geometry, Taps};
use crate::simd::{Isa, Precision};

/// Rows of weights that are stored together, column by column.
pub(crate) const GROUP: usize = 32;

/// Columns of weights that one task packs.
const PACKED_DEPTH: usize = 1024;

/// Weights as the rows of a product: of the forward pass, or `turned`, of the data gradient.
#[derive(Clone)]
pub(crate) struct RawWeights<'a> {
    /// `[K, C, R, S]`.
    w: &'a [f32],
    turned: bool,
    /// Rows of the product.
    rows: usize,
    /// Channels that are summed over.
    channels: usize,
    /// Values of a kernel.
    window: usize,
    /// Distances of the kernels of two rows and of two channels.
    strides: [usize; 2],
    /// The values that meet anything but padding, and what else makes a square.
    taps: Taps,
    /// Their places in a kernel as it is stored, in the order of the product.
    places: Vec<usize>,
}

impl<'a> RawWeights<'a> {
    /// What is multiplied of `w` in the forward pass, or in the data gradient; `g` is then the transposed geometry.
    pub(crate) fn new(g: &Geometry, w: &'a [f32], turned: bool) -> RawWeights<'a> {
        let (window, taps) = (g.window(), g.busy_taps());
        let at = |row: usize, column: usize| {
            let tap = row * g.kernel[1] + column;
            if turned { window - 1 - tap } else { tap }
        };
        let places = taps.rows.clone().flat_map(|row| taps.columns.clone().map(move |column| at(row, column)));
        let places = places.collect();
        let strides = g.kernel_strides(turned);
        RawWeights { w, turned, rows: g.out_channels, channels: g.channels, window, strides, taps, places }
    }

    /// Columns of the product.
    fn depth(&self) -> usize {
        self.channels * self.places.len()
    }

    /// Packs the group of rows that begins at `first`: `[depth][GROUP]`. `depth` is whole kernels if the weights are turned
    /// or some taps are left out.
    pub(super) fn pack(&self, isa: Isa, first: usize, depth: Range<usize>, to: &mut [f32]) {
        let rows = GROUP.min(self.rows - first);
        let (window, each) = (self.window, self.places.len());
        let [row, channel] = self.strides;
        if !self.turned && each == window {
            let from = &self.w[first * row + depth.start..];
            let columns = depth.len();
            // The rows are too many streams for the processor to foresee.
            return isa.run(Transpose { rows, columns, from, from_stride: row, to, to_stride: GROUP, ahead: 32 });
        }
        let (nearest, farthest) = self.places.iter().fold((window, 0), |(a, b), place| (a.min(*place), b.max(*place)));
        let columns = farthest + 1 - nearest;
        let mut kernels = Scratch::take(columns * GROUP);
        for (c, to) in (depth.start / each..).zip(to.chunks_mut(each * GROUP).take(depth.len() / each)) {
            let from = &self.w[c * channel + first * row + nearest..];
            if window == 1 {
                to[..rows].copy_from_slice(&from[..rows]);
                continue;
            }
            isa.run(Transpose {
                rows,
                columns,
                from,
                from_stride: row,
                to: &mut kernels,
                to_stride: GROUP,
                ahead: channel,
            });
            for (to, place) in to.chunks_mut(GROUP).zip(&self.places) {
                to.copy_from_slice(&kernels[(place - nearest) * GROUP..][..GROUP]);
            }
        }
    }
}

/// Weights in the layout of the forward product: groups of rows, each `[depth][GROUP]` of values or pairs.
pub(crate) struct DirectWeights {
    packed: Scratch,
    pub(super) precision: Precision,
    /// What there is of each kernel.
    taps: Taps,
}

impl DirectWeights {
    /// Packs all weights, for products of this precision; turned ones as f32 only.
    pub(crate) fn new(isa: Isa, raw: RawWeights, precision: Precision) -> DirectWeights {
        let share = precision.words(raw.depth()) * GROUP;
        let mut packed = Scratch::take(raw.rows.div_ceil(GROUP) * share);
        // Whole pairs of whole kernels.
        let pair = 2 * raw.places.len();
        let step = (PACKED_DEPTH / pair).max(1) * pair;
        packed.par_chunks_mut(share).enumerate().for_each(|(group, to)| {
            to.par_chunks_mut(precision.words(step) * GROUP).enumerate().for_each(|(i, to)| {
                let depth = i * step..((i + 1) * step).min(raw.depth());
                if precision == Precision::F32 {
                    return raw.pack(isa, group * GROUP, depth, to);
                }
                let mut values = Scratch::take(step * GROUP);
                raw.pack(isa, group * GROUP, depth.clone(), &mut values);
                isa.run(PairRows { rows: depth.len(), from: &values, to, stride: GROUP });
            });
        });
        DirectWeights { packed, precision, taps: raw.taps }
    }

    /// What there is of each kernel.
    pub(crate) fn taps(&self) -> &Taps {
        &self.taps
    }

    /// What the values are rounded to.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Groups of [`GROUP`] rows, each `[depth][GROUP]` of values or pairs.
    pub(super) fn words(&self) -> &[f32] {
        &self.packed
    }
}

/// Where the product takes its weights from.
#[derive(Clone)]
pub(crate) enum Source<'a> {
    /// Packed once, for any number of passes.
    Packed(&'a DirectWeights),
    /// As they are stored.
    Raw(RawWeights<'a>),
}

impl Source<'_> {
    /// What there is of each kernel.
    pub(super) fn taps(&self) -> &Taps {
        match self {
            Source::Packed(packed) => &packed.taps,
            Source::Raw(raw) => &raw.taps,
        }
    }
}
