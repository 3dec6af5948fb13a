//! How wide vectors are at most.

/// Lanes of the widest vector of any instruction set: arrays of so many values hold a vector of each.
pub(crate) const WIDEST: usize = 16;
