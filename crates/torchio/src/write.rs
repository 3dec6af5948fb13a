//! Writes a state dict as `torch.save(state_dict, path)` does since torch 1.6: a zip archive without compression that holds
//! a pickle of protocol 2, which describes the tensors, and an entry of little-endian values for each.
//!
//! ```text
//! archive/data.pkl    {name: tensor}: storages by number, shapes, strides
//! archive/byteorder   "little"
//! archive/data/0      the values of the first tensor, aligned to 64 bytes
//! archive/data/1      ..
//! archive/version     "3\n"
//! ```
//!
//! Source: `torch/serialization.py` and `caffe2/serialize/inline_container.cc` of PyTorch. What is written is within what
//! `torch.load(weights_only=True)` reads. The folder in the archive is always `archive`, and times are left out, so that
//! equal state dicts are equal files.
//!
//! Not implemented: element types other than 32-bit floats; archives of 4 GiB and more (zip64).

use std::collections::HashSet;
use std::io::{self, Write};

use crate::archive::writer::{ARCHIVE_END_BYTES, ArchiveWriter, MAX_ARCHIVE_BYTES, entry_bytes};
use crate::limits::{MAX_NAME_BYTES, MAX_RANK, MAX_TENSORS};
use crate::pickle::program::state_dict;

/// The folder in the archive. PyTorch uses the file's name; any will do.
const FOLDER: &str = "archive";

/// Values that are turned into bytes at a time.
const BLOCK_VALUES: usize = 1 << 14;

/// Why a state dict could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system refused.
    #[error("cannot write: {source}")]
    Io {
        /// What the system said.
        source: io::Error,
    },
    /// More tensors than a file is read with.
    #[error("the state dict has {found} tensors; expected at most {limit}: split it into several files")]
    TooManyTensors {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A tensor's name or shape that the format, or this crate's reader, does not take.
    #[error("tensor '{name}' {reason}")]
    Tensor {
        /// Its name, or the beginning of it.
        name: String,
        /// What is wrong, as the rest of the sentence.
        reason: String,
    },
    /// The archive would need zip's 64-bit extension.
    #[error("the archive would take {bytes} bytes; expected at most {limit}: write safetensors instead")]
    TooLarge {
        /// An upper bound of its length.
        bytes: u64,
        /// The longest possible archive.
        limit: u64,
    },
    /// A tensor was given more or fewer values than its shape has.
    #[error("tensor '{name}' was given {found} values; expected the {expected} of its shape, in row-major order")]
    ValueCount {
        /// Its name.
        name: String,
        /// Values given.
        found: u64,
        /// Values of the shape.
        expected: u64,
    },
    /// Values were given for more or fewer tensors than were announced.
    #[error("values were given for {found} tensors; expected the {expected} that were announced, in their order")]
    TensorCount {
        /// Tensors that got values, or would have.
        found: usize,
        /// Tensors announced.
        expected: usize,
    },
}

impl From<io::Error> for WriteError {
    fn from(source: io::Error) -> Self {
        Self::Io { source }
    }
}

/// Writes one state dict of 32-bit floats. The tensors are announced first; their values follow one tensor at a time and go
/// straight to the output, so that no tensor is held in memory here.
///
/// ```
/// use torchio::{StateDictWriter, TorchFile};
///
/// let mut writer = StateDictWriter::new(Vec::new(), &[("conv.weight", &[1, 2, 1, 1][..]), ("conv.bias", &[1])])?;
/// writer.tensor([&[0.5, -0.5][..]])?;
/// writer.tensor([&[2.0][..]])?;
/// let bytes = writer.finish()?;
///
/// let mut file = TorchFile::new(std::io::Cursor::new(bytes))?;
/// assert_eq!(file.read_f32("conv.weight")?, [0.5, -0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StateDictWriter<W> {
    archive: ArchiveWriter<W>,
    /// Name and number of values of each tensor.
    tensors: Vec<(String, u64)>,
    /// Tensors whose values are written.
    written: usize,
}

impl<W: Write> StateDictWriter<W> {
    /// Begins a file with these tensors: name, and extents from the slowest axis to the fastest (none for a scalar).
    /// Nothing is written if they are refused. A file or a socket should be buffered.
    ///
    /// # Errors
    /// `TooManyTensors`; `Tensor` for a name that is longer than 256 bytes or occurs twice, and for a shape of more than
    /// 32 axes or of more values than memory can hold; `TooLarge`; `Io`.
    pub fn new(out: W, tensors: &[(impl AsRef<str>, impl AsRef<[usize]>)]) -> Result<Self, WriteError> {
        let described: Vec<(String, u64)> = checked(tensors)?;
        let pickle = state_dict(tensors.iter().map(|(name, shape)| (name.as_ref(), shape.as_ref())));
        let small = [("data.pkl", &pickle[..]), ("byteorder", b"little"), VERSION];
        let small_bytes = small.iter().map(|(name, content)| entry_bytes(&path(name), content.len() as u64));
        let value_bytes = described.iter().enumerate();
        let value_bytes = value_bytes.map(|(i, (_, values))| entry_bytes(&storage(i), values.saturating_mul(4)));
        let bytes = small_bytes.chain(value_bytes).fold(ARCHIVE_END_BYTES, u64::saturating_add);
        if bytes > MAX_ARCHIVE_BYTES {
            return Err(WriteError::TooLarge { bytes, limit: MAX_ARCHIVE_BYTES });
        }
        let mut archive = ArchiveWriter::new(out);
        for (name, content) in &small[..2] {
            archive.entry(path(name), content)?;
        }
        Ok(Self { archive, tensors: described, written: 0 })
    }

    /// Writes the values of the next tensor in row-major order, given in one piece (`[values]`) or in several. The pieces
    /// are gone through twice: the checksum of the values is written before them.
    ///
    /// # Errors
    /// `ValueCount` and `TensorCount`, and then nothing was written; `Io`.
    pub fn tensor<'a, P>(&mut self, pieces: P) -> Result<(), WriteError>
    where
        P: IntoIterator<Item = &'a [f32]>,
        P::IntoIter: Clone,
    {
        let index = self.written;
        let Some((name, expected)) = self.tensors.get(index) else {
            return Err(WriteError::TensorCount { found: index + 1, expected: self.tensors.len() });
        };
        let pieces = pieces.into_iter();
        let found = pieces.clone().map(|piece| piece.len() as u64).sum();
        if found != *expected {
            return Err(WriteError::ValueCount { name: name.clone(), found, expected: *expected });
        }
        let mut crc32 = crc32fast::Hasher::new();
        for piece in pieces.clone() {
            little_endian(piece, |block| {
                crc32.update(block);
                Ok(())
            })?;
        }
        self.archive.begin(storage(index), 4 * found, crc32.finalize())?;
        for piece in pieces {
            little_endian(piece, |block| self.archive.content(block))?;
        }
        self.written += 1;
        Ok(())
    }

    /// Ends the file, flushes the output and returns it.
    ///
    /// # Errors
    /// `TensorCount` if values are missing; `Io`.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if self.written != self.tensors.len() {
            return Err(WriteError::TensorCount { found: self.written, expected: self.tensors.len() });
        }
        let (name, content) = VERSION;
        self.archive.entry(path(name), content)?;
        Ok(self.archive.finish()?)
    }
}

/// The version of the archive's layout, which PyTorch compares with those it reads; the last entry.
const VERSION: (&str, &[u8]) = ("version", b"3\n");

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// The entry of the values of tensor `index`.
fn storage(index: usize) -> String {
    path(&format!("data/{index}"))
}

/// Names and numbers of values, once they are known to be what the reader takes.
fn checked(tensors: &[(impl AsRef<str>, impl AsRef<[usize]>)]) -> Result<Vec<(String, u64)>, WriteError> {
    if tensors.len() > MAX_TENSORS {
        return Err(WriteError::TooManyTensors { found: tensors.len(), limit: MAX_TENSORS });
    }
    let mut names = HashSet::new();
    let check = |(name, shape): &(_, _)| {
        let (name, shape): (&str, &[usize]) = (AsRef::<str>::as_ref(name), AsRef::<[usize]>::as_ref(shape));
        let refuse = |reason| Err(WriteError::Tensor { name: name.chars().take(MAX_NAME_BYTES).collect(), reason });
        if name.len() > MAX_NAME_BYTES {
            return refuse(format!(".. has a name of {} bytes; expected at most {MAX_NAME_BYTES}", name.len()));
        }
        if !names.insert(name.to_string()) {
            return refuse("is in the state dict twice; expected each name once".into());
        }
        if shape.len() > MAX_RANK {
            return refuse(format!("has {} axes; expected at most {MAX_RANK}", shape.len()));
        }
        // Any product of some of the extents must be a number too: they are the strides.
        match shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent.max(1))) {
            Some(_) => Ok((name.to_string(), shape.iter().product::<usize>() as u64)),
            None => refuse(format!("has shape {shape:?}, which is more than {} values", usize::MAX)),
        }
    };
    tensors.iter().map(check).collect()
}

/// Gives values to `take` as little-endian bytes, a block at a time.
fn little_endian(values: &[f32], mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4 * BLOCK_VALUES.min(values.len()));
    for block in values.chunks(BLOCK_VALUES) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|value| value.to_le_bytes()));
        take(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::file::{Container, TorchFile};

    type Tensors = Vec<(String, Vec<usize>)>;

    fn written(tensors: &Tensors, values: &[Vec<f32>], pieces_of: usize) -> Result<Vec<u8>, WriteError> {
        let mut writer = StateDictWriter::new(Vec::new(), tensors)?;
        for values in values {
            match pieces_of {
                0 => writer.tensor([&values[..]])?,
                size => writer.tensor(values.chunks(size))?,
            }
        }
        writer.finish()
    }

    fn tensors(list: &[(&str, &[usize])]) -> Tensors {
        list.iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect()
    }

    proptest! {
        #[test]
        fn a_state_dict_returns_bit_for_bit_however_it_is_cut(
            shapes in proptest::collection::vec(proptest::collection::vec(0usize..5, 0..5), 1..6),
            seed in any::<u32>(), pieces_of in 1usize..9,
        ) {
            let tensors: Tensors = shapes.into_iter().enumerate().map(|(i, s)| (format!("layer.{i}\u{fc}"), s)).collect();
            // Any bits: infinities, NaN, subnormal numbers.
            let value = |i: usize| f32::from_bits((i as u32).wrapping_mul(0x9e37_79b9) ^ seed);
            let values: Vec<Vec<f32>> = tensors.iter().map(|(_, s)| (0..s.iter().product()).map(value).collect()).collect();
            let bytes = written(&tensors, &values, 0).unwrap();
            prop_assert_eq!(&bytes, &written(&tensors, &values, pieces_of).unwrap());
            let mut file = TorchFile::new(Cursor::new(bytes)).unwrap();
            prop_assert_eq!(file.container(), Container::Zip);
            for ((name, shape), values) in tensors.iter().zip(&values) {
                let info = file.tensors().iter().find(|info| info.name == *name).unwrap();
                prop_assert_eq!(&info.shape, shape);
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&file.read_f32(name).unwrap()), bits(values));
            }
        }
    }

    #[test]
    fn what_cannot_be_written_is_named_before_a_byte_is() {
        let (long, many) = ("n".repeat(300), (0..=MAX_TENSORS).map(|i| (i.to_string(), vec![])).collect());
        let cases: [(Tensors, &str); 6] = [
            (tensors(&[("a", &[1]), ("a", &[2])]), "'a' is in the state dict twice"),
            (tensors(&[(&long, &[1])]), "a name of 300 bytes; expected at most 256"),
            (tensors(&[("a", &[1; 33])]), "33 axes"),
            (tensors(&[("a", &[0, usize::MAX, 2])]), "more than"),
            (tensors(&[("a", &[1 << 29]), ("b", &[1 << 29])]), "expected at most 4294967295: write safetensors"),
            (many, "32769 tensors"),
        ];
        let mut wrong = vec![];
        for (tensors, expected) in cases {
            let mut out = vec![];
            let error = StateDictWriter::new(&mut out, &tensors).err().map(|error| error.to_string());
            if !out.is_empty() || !error.as_ref().is_some_and(|error| error.contains(expected)) {
                wrong.push((expected, error));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn missing_and_surplus_values_are_named() {
        let two = tensors(&[("a", &[2]), ("b", &[])]);
        let cases = [
            (vec![vec![1.0]], "'a' was given 1 values; expected the 2"),
            (vec![vec![1.0; 2]], "for 1 tensors; expected the 2"),
            (vec![vec![1.0; 2], vec![1.0], vec![]], "for 3 tensors; expected the 2"),
        ];
        for (values, expected) in cases {
            let error = written(&two, &values, 0).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_the_system_refuses_is_the_source() {
        let out = &mut [0u8; 10][..];
        let error = StateDictWriter::new(out, &tensors(&[("a", &[2])])).unwrap_err();
        assert!(std::error::Error::source(&error).is_some(), "{error}");
    }
}
