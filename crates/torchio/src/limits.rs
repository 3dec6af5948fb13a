//! The most that a file may hold, for reading and for writing alike: a file that is written is a file that is read.

/// The most tensors of a file: each takes more in memory than in the file. The largest published models have some thousands.
pub(crate) const MAX_TENSORS: usize = 1 << 15;

/// The most axes a tensor may have.
pub(crate) const MAX_RANK: usize = 32;

/// The longest text that is looked at: names, keys, codes. Longer ones are kept and mean nothing.
pub(crate) const MAX_NAME_BYTES: usize = 256;
