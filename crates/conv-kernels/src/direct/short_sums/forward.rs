//! The forward pass and the data gradient of short sums.

use rayon::prelude::*;

use super::super::weights::{DirectWeights, GROUP};
use super::lines::Lines;
use super::taps::TapMul;
use crate::epilogue::Activation;
use crate::memory::{Cut, Sharded};
use crate::shape::Geometry;
use crate::simd::Isa;

/// Places whose lines a task lays out together, as far as rows are not longer.
const TASK_PLACES: usize = 3840;

/// out = x * w + bias, then the activation; weights are f32.
pub(crate) fn forward(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: &DirectWeights,
    bias: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    let (channels, [height, width]) = (g.out_channels, g.out_size);
    // As many tasks for each thread. The cut may follow their number, since it changes no output value.
    let (all, most) = (g.batch * height, (TASK_PLACES / Lines::padded(g)[1]).max(1));
    let rows = all.div_ceil(all.div_ceil(most).next_multiple_of(2 * rayon::current_num_threads()));
    let cut = Cut { size: [g.batch, channels, height, width], cell: 1, cells: rows * width, channels };
    let sharded = Sharded::new(out, cut);
    (0..cut.shards().0).into_par_iter().for_each(|task| {
        let mut shard = sharded.claim(task, 0);
        let lines = Lines::new(g, x, shard.cells.start / width..shard.cells.end.div_ceil(width));
        isa.run(TapMul {
            a: weights.words(),
            group: GROUP,
            b: &lines.values,
            taps: &lines.taps(),
            segments: &lines.segments(),
            to: &mut shard,
            bias,
            floor: activation.floor(),
        });
    });
}
