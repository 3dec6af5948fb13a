//! Splits: what folders and lists call them, and the draw for a data set that says nothing about them.

use crate::dataset::entry::{Fault, Listing};
use crate::dataset::listing::{Files, unlisted};
use crate::rng::{Purpose, Rng};

/// The share of a folder without lists that becomes its `val` split: one in five.
const VAL_ONE_IN: usize = 5;

/// Seed of the draw, the same in every command: another one would move images between training and validation.
const SPLIT_SEED: u64 = 0;

/// The split that a folder or list of this name, in any case, holds.
pub(super) fn split_name(name: &str) -> Option<&'static str> {
    match name.to_lowercase().as_str() {
        "train" | "training" => Some("train"),
        "val" | "valid" | "validation" => Some("val"),
        "test" | "testing" => Some("test"),
        _ => None,
    }
}

/// Draws one of five `ids` for `val`; the others are `train`. The draw depends on the names alone. Images without a mask
/// and masks without an image are faults of `train`, whatever side they would fall on.
pub(super) fn draw(files: &mut Files, mut ids: Vec<String>) -> Vec<Listing> {
    ids.sort();
    ids.dedup();
    let in_val = drawn_val(ids.len());
    let listed = |side: bool| {
        let ids = ids.iter().zip(&in_val).filter(move |(_, v)| **v == side);
        unlisted(ids.map(|(id, _)| id.clone()))
    };
    let mut train = files.resolve("train", listed(false));
    let mut val = files.resolve("val", listed(true));
    let unpaired: Vec<Fault> = val.faults.extract_if(.., |f| f.code.starts_with("missing")).collect();
    for fault in &unpaired {
        val.entries.retain(|e| Some(&e.id) != fault.id.as_ref());
    }
    train.faults.extend(unpaired);
    vec![train, val]
}

/// The draw from every image and mask there is.
pub(super) fn draw_all(files: &mut Files) -> Vec<Listing> {
    let ids = files.all_ids();
    draw(files, ids)
}

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
