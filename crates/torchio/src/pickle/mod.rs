//! Python's pickles as a state dict needs them, without Python: nothing in them is ever called.
//!
//! Source: the opcodes and their arguments as CPython's `Lib/pickletools.py` describes them.
//!
//! In: the bytes of a pickle. Out: plain values in an arena, among them tensors as views on storages that are named, not
//! read. `machine` runs the instructions, protocols 0 to 5, within limits; `value` is what they build, with the few names
//! that have a meaning here. In the other direction, `program` writes the pickle of a state dict in protocol 2.

pub(crate) mod machine;
pub(crate) mod program;
pub(crate) mod value;
