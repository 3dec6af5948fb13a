//! The split of a data set that brings no lists: one sample in five is held out, drawn from a seed.

use crate::rng::{Purpose, Rng};

/// The share of a folder without lists that becomes its `val` split: one in five.
const VAL_ONE_IN: usize = 5;

/// Which of `samples` samples, in the order of their names, are in `val`. The draw depends on the seed and the number
/// of samples alone; fewer than two samples are all in `train`.
pub(super) fn drawn_val(samples: usize, seed: u64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..samples).collect();
    Rng::derive(seed, Purpose::Split, &[]).shuffle(&mut order);
    let val = if samples < 2 { 0 } else { (samples / VAL_ONE_IN).max(1) };
    let mut in_val = vec![false; samples];
    order.iter().take(val).for_each(|&i| in_val[i] = true);
    in_val
}
