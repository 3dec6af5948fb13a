//! The split of a data set that brings no lists: one sample in five is held out.

use crate::rng::{Purpose, Rng};

/// The share of a folder without lists that becomes its `val` split: one in five.
const VAL_ONE_IN: usize = 5;

/// Seed of the draw, the same in every command: another one would move images between training and validation.
const SPLIT_SEED: u64 = 0;

/// Which of `samples` samples, in the order of their names, are in `val`. The draw depends on the number of samples
/// alone; fewer than two samples are all in `train`.
pub(super) fn drawn_val(samples: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..samples).collect();
    Rng::derive(SPLIT_SEED, Purpose::Split, &[]).shuffle(&mut order);
    let val = if samples < 2 { 0 } else { (samples / VAL_ONE_IN).max(1) };
    let mut in_val = vec![false; samples];
    order.iter().take(val).for_each(|&i| in_val[i] = true);
    in_val
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draw_is_the_same_in_every_version() {
        let held_out = |samples: usize| {
            let in_val = drawn_val(samples);
            (0..samples).filter(|&i| in_val[i]).collect::<Vec<_>>()
        };
        let cases: [(usize, &[usize]); 5] = [(0, &[]), (1, &[]), (2, &[0]), (10, &[4, 8]), (25, &[2, 10, 12, 14, 17])];
        for (samples, expected) in cases {
            assert_eq!(held_out(samples), expected, "{samples} samples");
        }
    }
}
