//! The front door: a file, its tensors by name, and their values.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::archive::reader::{Archive, KERAS_REMEDY, read_at, stream};
use crate::archive::record::LOCAL_SIGNATURE;
use crate::dtype::DType;
use crate::error::TorchError;
use crate::legacy;
use crate::limits::MAX_TENSORS;
use crate::pickle::machine::{MAX_PICKLE_BYTES, run};
use crate::pickle::value::{Arena, Id, Value};
use crate::tensor::{Storage, View};

/// Keys under which training scripts keep the state dict, in the order in which they are looked for; averaged weights come
/// last.
const STATE_DICT_KEYS: [&str; 12] = [
    "model_state_dict",
    "state_dict",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "ema",
];

/// Dictionaries within dictionaries that are looked into.
const MAX_NESTED_KEYS: usize = 3;

/// The two containers of `torch.save`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// A zip archive: torch 1.6 and later.
    Zip,
    /// A sequence of pickles and raw storages: before torch 1.6.
    Legacy,
}

/// A tensor's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its key in the state dict.
    pub name: String,
    /// The type it is stored as.
    pub dtype: DType,
    /// Its extents, slowest first; empty for a scalar.
    pub shape: Vec<usize>,
}

/// A plain value that a checkpoint holds besides its tensors.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A number; numpy's scalars too.
    Float(f64),
    /// Text.
    Text(String),
    /// Anything else, described in words; what it holds is not read.
    Other(String),
}

/// Something that a checkpoint holds besides its state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Scalar,
}

/// An open file. Reading its description reads none of its values.
#[derive(Debug)]
pub struct TorchFile<R = File> {
    file: R,
    tensors: Vec<TensorInfo>,
    views: Vec<View>,
    numbers: HashMap<String, usize>,
    storages: Vec<Storage>,
    state_dict_key: Option<String>,
    notes: Vec<Note>,
    values: Values,
}

/// Where storages lie.
#[derive(Debug)]
enum Values {
    Zip {
        archive: Archive,
        /// The archive's folder, with a slash.
        prefix: String,
        /// Storages whose checksum has been seen to match.
        verified: HashSet<String>,
    },
    Legacy {
        starts: HashMap<String, u64>,
    },
}

impl TorchFile<File> {
    /// Opens a file. Anything but a regular file is refused before it is opened.
    ///
    /// # Errors
    /// Every fault of the file's structure, and what the system refuses. Checksums of values are verified when they are
    /// read.
    pub fn open(path: &Path) -> Result<Self, TorchError> {
        let io = |source| TorchError::Io { offset: 0, source };
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(TorchError::NotAFile);
        }
        Self::new(File::open(path).map_err(io)?)
    }
}

impl<R: Read + Seek> TorchFile<R> {
    /// Reads the description of what `file` holds, from its first byte to its last.
    ///
    /// # Errors
    /// As [`TorchFile::open`].
    pub fn new(mut file: R) -> Result<Self, TorchError> {
        let length = file.seek(SeekFrom::End(0)).map_err(|source| TorchError::Io { offset: 0, source })?;
        let mut arena = Arena::default();
        let (root, values) = match container(&mut file, length)? {
            Container::Zip => open_zip(&mut file, length, &mut arena)?,
            Container::Legacy => {
                let opened = legacy::open(&mut file, length, &mut arena)?;
                (opened.root, Values::Legacy { starts: opened.starts })
            }
        };
        let mut opened = TorchFile {
            file,
            tensors: vec![],
            views: vec![],
            numbers: HashMap::new(),
            storages: std::mem::take(&mut arena.storages),
            state_dict_key: None,
            notes: vec![],
            values,
        };
        opened.check_storages()?;
        let state = opened.find_state_dict(&arena, root)?;
        opened.collect_tensors(&arena, state)?;
        Ok(opened)
    }

    /// Which container it is.
    pub fn container(&self) -> Container {
        match self.values {
            Values::Zip { .. } => Container::Zip,
            Values::Legacy { .. } => Container::Legacy,
        }
    }

    /// The tensors of the state dict, in its order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The key under which the state dict lies in a training checkpoint, with dots where it is nested; `None` where the file
    /// is the state dict itself.
    pub fn state_dict_key(&self) -> Option<&str> {
        self.state_dict_key.as_deref()
    }

    /// What is beside the tensors: epoch, architecture, the optimiser's state in words.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The values of a float tensor in row-major order; half, bfloat16 and double are converted.
    ///
    /// # Errors
    /// `NoSuchTensor`, `WrongType`; a checksum that does not match; what the system refuses.
    pub fn read_f32(&mut self, name: &str) -> Result<Vec<f32>, TorchError> {
        let Some(&number) = self.numbers.get(name) else {
            return Err(TorchError::NoSuchTensor { name: name.to_string(), tensors: self.tensors.len() });
        };
        let dtype = self.tensors[number].dtype;
        let Some(convert) = dtype.converter() else {
            return Err(TorchError::WrongType { name: name.to_string(), found: dtype });
        };
        let view = self.views[number].clone();
        // Bytes of the storage that the tensor looks at.
        let span = view.span();
        let start = (self.storages[view.storage].view.0 + view.offset) * dtype.width();
        let end = start + span as u64 * dtype.width();
        let mut values = Vec::with_capacity(span);
        self.read_storage(view.storage, start, end, &mut |bytes| convert(bytes, &mut values))?;
        if view.negated {
            values.iter_mut().for_each(|value| *value = -*value);
        }
        Ok(if view.is_contiguous() { values } else { view.gather(&values) })
    }

    /// Hands bytes `start..end` of a storage to `sink`, in pieces of whole elements.
    fn read_storage(
        &mut self,
        storage: usize,
        start: u64,
        end: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TorchError> {
        let key = &self.storages[storage].key;
        match &mut self.values {
            Values::Legacy { starts } => {
                let first = starts.get(key).copied().unwrap_or_default();
                stream(&mut self.file, first + start, end - start, &mut |_, block| sink(block))
            }
            Values::Zip { archive, prefix, verified } => {
                let name = entry_name(prefix, key);
                if verified.contains(key) {
                    let first = archive.entry(&name)?.start;
                    return stream(&mut self.file, first + start, end - start, &mut |_, block| sink(block));
                }
                // All of it, for the checksum.
                archive.stream(&mut self.file, &name, &mut |at, block| {
                    let inside = |position: u64| position.clamp(at, at + block.len() as u64) - at;
                    sink(&block[inside(start) as usize..inside(end) as usize]);
                })?;
                verified.insert(key.clone());
                Ok(())
            }
        }
    }

    /// Every storage must have the size that its type and number of elements ask for. The older container's were
    /// checked while they were found.
    fn check_storages(&self) -> Result<(), TorchError> {
        let Values::Zip { archive, prefix, .. } = &self.values else { return Ok(()) };
        for Storage { key, dtype, elements, .. } in &self.storages {
            let found = archive.entry(&entry_name(prefix, key))?.size;
            if elements.checked_mul(dtype.width()) != Some(found) {
                return Err(TorchError::Storage {
                    key: key.clone(),
                    what: "its size in bytes",
                    found: found.to_string(),
                    expected: format!("{elements} elements of {} bytes", dtype.width()),
                });
            }
        }
        Ok(())
    }

    /// The dictionary that holds the tensors; everything beside it becomes a note.
    fn find_state_dict(&mut self, arena: &Arena, root: Id) -> Result<Id, TorchError> {
        let Value::Dict(pairs) = arena.get(root) else {
            return Err(TorchError::NotATensor {
                place: "the file's object".to_string(),
                found: arena.describe(root),
                expected: "a dictionary of tensors: torch.save(model.state_dict(), 'weights.pth') instead of the whole model",
            });
        };
        let (mut pairs, mut state, mut path) = (pairs, root, Vec::new());
        while path.len() < MAX_NESTED_KEYS
            && let Some((key, nested)) = keyed_dict(arena, pairs)
            && let Value::Dict(inner) = arena.get(nested)
        {
            for (id, value) in pairs.iter().filter(|(_, value)| *value != nested) {
                let key = arena.text(*id).map_or_else(|| arena.describe(*id), |text| text.into_owned());
                self.notes.push(Note { key, value: scalar(arena, *value) });
            }
            path.push(key);
            (state, pairs) = (nested, inner);
        }
        self.state_dict_key = (!path.is_empty()).then(|| path.join("."));
        Ok(state)
    }

    fn collect_tensors(&mut self, arena: &Arena, state: Id) -> Result<(), TorchError> {
        let Value::Dict(pairs) = arena.get(state) else { return Ok(()) };
        if pairs.len() > MAX_TENSORS {
            let (found, limit) = (pairs.len() as u64, MAX_TENSORS as u64);
            return Err(TorchError::Limit { offset: 0, what: "the number of tensors", found, limit });
        }
        for &(id, value) in pairs {
            let Some(name) = arena.text(id).map(|text| text.into_owned()) else {
                return Err(TorchError::NotATensor {
                    place: "a key of the state dict".to_string(),
                    found: arena.describe(id),
                    expected: "short text",
                });
            };
            // Trainers put other things among the tensors, such as the values of the masks.
            let Value::Tensor(view) = arena.get(value) else {
                self.notes.push(Note { key: name, value: scalar(arena, value) });
                continue;
            };
            let storage = &self.storages[view.storage];
            view.check(&name, storage)?;
            if self.numbers.insert(name.clone(), self.tensors.len()).is_some() {
                return Err(TorchError::Duplicate { name });
            }
            self.tensors.push(TensorInfo { name, dtype: storage.dtype, shape: view.shape.clone() });
            self.views.push(View::clone(view));
        }
        if self.tensors.is_empty() {
            return Err(TorchError::NotATensor {
                place: "the file's dictionary".to_string(),
                found: format!("without a tensor ({})", arena.describe(state)),
                expected: "a dictionary of tensors, or one under 'model_state_dict', 'state_dict' or 'model'",
            });
        }
        Ok(())
    }
}

/// The dictionary under the first of the known keys, unless there are tensors beside it.
fn keyed_dict(arena: &Arena, pairs: &[(Id, Id)]) -> Option<(&'static str, Id)> {
    if pairs.iter().any(|(_, value)| matches!(arena.get(*value), Value::Tensor(_))) {
        return None;
    }
    STATE_DICT_KEYS.iter().find_map(|wanted| {
        let of_key = pairs.iter().filter(|(id, _)| arena.text(*id).as_deref() == Some(wanted));
        let mut dicts = of_key.map(|(_, value)| *value).filter(|value| matches!(arena.get(*value), Value::Dict(_)));
        dicts.next().map(|dict| (*wanted, dict))
    })
}

fn scalar(arena: &Arena, id: Id) -> Scalar {
    match arena.get(id) {
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Int(value) => Scalar::Int(*value),
        Value::Float(value) => Scalar::Float(*value),
        _ => match arena.text(id) {
            Some(text) => Scalar::Text(text.into_owned()),
            None => Scalar::Other(arena.describe(id)),
        },
    }
}

fn entry_name(prefix: &str, key: &str) -> String {
    format!("{prefix}data/{key}")
}

fn container(file: &mut (impl Read + Seek), length: u64) -> Result<Container, TorchError> {
    const HDF5_MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
    const TAR_MAGIC: std::ops::Range<usize> = 257..262;
    let mut head = vec![0; length.min(512) as usize];
    read_at(file, 0, &mut head)?;
    if head.starts_with(&LOCAL_SIGNATURE.to_le_bytes()) {
        return Ok(Container::Zip);
    }
    if head.starts_with(HDF5_MAGIC) {
        return Err(TorchError::Unsupported {
            what: "the container",
            found: "HDF5, as Keras writes .h5 files".to_string(),
            expected: KERAS_REMEDY,
        });
    }
    let is_pickle = matches!(head[..], [0x80, 1..=5, ..]) || head.starts_with(legacy::MAGIC_LINE);
    if is_pickle {
        return Ok(Container::Legacy);
    }
    if head.get(TAR_MAGIC) == Some(b"ustar") {
        return Err(TorchError::Unsupported {
            what: "the container",
            found: "a tar archive, as torch 0.1 wrote them".to_string(),
            expected: "a zip archive or a pickle: load the file with PyTorch and save its state dict again",
        });
    }
    let shown: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let found = if shown.is_empty() { "nothing".to_string() } else { shown.join(" ") };
    Err(TorchError::NotTorch { found })
}

fn open_zip(file: &mut (impl Read + Seek), length: u64, arena: &mut Arena) -> Result<(Id, Values), TorchError> {
    const PICKLE: &str = "data.pkl";
    let archive = Archive::open(file, length)?;
    let prefixes: Vec<String> = archive
        .names()
        .filter_map(|name| name.strip_suffix(PICKLE))
        .filter(|p| p.ends_with('/'))
        .map(Into::into)
        .collect();
    let [prefix] = &prefixes[..] else {
        let reason = if prefixes.is_empty() { "is missing from the archive" } else { "is in the archive twice" };
        return Err(TorchError::Entry { name: PICKLE.to_string(), reason });
    };
    let prefix = prefix.clone();
    let order_name = format!("{prefix}byteorder");
    if archive.entry(&order_name).is_ok() {
        let order = archive.read(file, &order_name, 64)?;
        if order != b"little" {
            return Err(TorchError::Unsupported {
                what: "the order of bytes",
                found: String::from_utf8_lossy(&order).into_owned(),
                expected: "little",
            });
        }
    }
    let pickle = archive.read(file, &format!("{prefix}{PICKLE}"), MAX_PICKLE_BYTES)?;
    let (root, taken) = run(&pickle, arena)?;
    if taken != pickle.len() {
        let reason = format!("ends before the {} bytes of its entry do", pickle.len());
        return Err(TorchError::Pickle { offset: taken, reason });
    }
    Ok((root, Values::Zip { archive, prefix, verified: HashSet::new() }))
}
