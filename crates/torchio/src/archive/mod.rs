//! The zip archive that `torch.save` has written since torch 1.6: a pickle, and one entry of raw values for each storage.
//!
//! Source: PKWARE's APPNOTE 6.3.10, sections 4.3 (structure), 4.4 (fields) and 4.5.3 (zip64), of which only what PyTorch
//! writes is read: one disk, nothing compressed, nothing encrypted, sizes in zip64 fields where they need more than 32 bits.
//!
//! `record` has the fixed records of the format; `reader` turns a file into entries by name; `writer` turns entries into a
//! file.

pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod writer;
