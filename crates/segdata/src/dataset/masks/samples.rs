//! The samples of several lists, each once.

use std::collections::HashMap;

use crate::dataset::split::Split;

/// Every sample of `splits` once, in the order of its first mention, and the position there of each sample by its key. Two
/// mentions with the same files, or the same record, are one sample.
pub(crate) fn samples(splits: &[Split]) -> (Vec<(&Split, usize)>, HashMap<String, usize>) {
    let mut at = HashMap::new();
    let mut samples: Vec<(&Split, usize)> = Vec::new();
    for split in splits {
        for i in 0..split.len() {
            at.entry(split.key(i)).or_insert_with(|| {
                samples.push((split, i));
                samples.len() - 1
            });
        }
    }
    (samples, at)
}
