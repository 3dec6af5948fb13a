//! The container before torch 1.6: five pickles (a magic number, a version, facts about the machine, the object, the
//! keys of the storages), then each storage as its number of elements and its bytes. No checksums.
//!
//! Source: `_legacy_save` in `torch/serialization.py`.

use std::collections::HashMap;
use std::io::{Read, Seek};

use crate::archive::reader::read_at;
use crate::error::TorchError;
use crate::pickle::machine::{MAX_PICKLE_BYTES, run};
use crate::pickle::value::{Arena, Id, Value};

/// `torch.serialization.MAGIC_NUMBER`.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The same in protocols 0 and 1, which write numbers in decimal.
pub(crate) const MAGIC_LINE: &[u8] = b"L119547037146038801333356L\n";

/// `torch.serialization.PROTOCOL_VERSION`.
const VERSION: i128 = 1001;

/// What a file of this container holds.
pub(crate) struct Legacy {
    pub root: Id,
    /// First byte of each storage's elements, by key.
    pub starts: HashMap<String, u64>,
}

/// Reads the pickles and checks every storage's place and size.
pub(crate) fn open(file: &mut (impl Read + Seek), length: u64, arena: &mut Arena) -> Result<Legacy, TorchError> {
    let mut bytes = vec![0; length.min(MAX_PICKLE_BYTES) as usize];
    read_at(file, 0, &mut bytes)?;
    let mut at = 0;
    let mut next = |arena: &mut Arena| -> Result<Id, TorchError> {
        let (id, taken) = run(&bytes[at..], arena).map_err(|fault| match fault {
            TorchError::Pickle { offset, reason } => TorchError::Pickle { offset: offset + at, reason },
            TorchError::Harmful { offset, module, name } => TorchError::Harmful { offset: offset + at, module, name },
            other => other,
        })?;
        at += taken;
        Ok(id)
    };
    for (what, expected) in [("the magic number", MAGIC), ("the version of the format", VERSION)] {
        let id = next(arena)?;
        if !matches!(arena.get(id), Value::Int(found) if *found == expected) {
            return Err(TorchError::Unsupported {
                what,
                found: shown(arena, id),
                expected: "the one that PyTorch wrote before version 1.6",
            });
        }
    }
    let system = next(arena)?;
    if entry(arena, system, "little_endian").is_some_and(|id| matches!(arena.get(id), Value::Bool(false))) {
        return Err(TorchError::Unsupported {
            what: "the order of bytes",
            found: "highest first".to_string(),
            expected: "lowest first",
        });
    }
    let root = next(arena)?;
    let keys = next(arena)?;
    let keys: Option<Vec<String>> = arena
        .items(keys)
        .and_then(|keys| keys.iter().map(|&key| arena.text(key).map(|text| text.into_owned())).collect());
    let Some(keys) = keys else {
        return Err(TorchError::Pickle { offset: at, reason: "the list of storages is not a list of text".into() });
    };
    Ok(Legacy { root, starts: storages(file, length, at as u64, &keys, arena)? })
}

fn shown(arena: &Arena, id: Id) -> String {
    match arena.get(id) {
        Value::Int(number) => number.to_string(),
        _ => arena.describe(id),
    }
}

fn entry(arena: &Arena, dict: Id, key: &str) -> Option<Id> {
    match arena.get(dict) {
        Value::Dict(pairs) => {
            pairs.iter().find(|(k, _)| arena.text(*k).as_deref() == Some(key)).map(|(_, value)| *value)
        }
        _ => None,
    }
}

/// Walks the storages from `at` to the end of the file.
fn storages(
    file: &mut (impl Read + Seek),
    length: u64,
    mut at: u64,
    keys: &[String],
    arena: &Arena,
) -> Result<HashMap<String, u64>, TorchError> {
    let fault = |key: &str, what, found: String, expected: String| TorchError::Storage {
        key: key.to_string(),
        what,
        found,
        expected,
    };
    // Views share key, type and elements with what they look at.
    let mut described = HashMap::new();
    for storage in &arena.storages {
        let facts = (storage.dtype, storage.elements);
        let (dtype, elements) = *described.entry(storage.key.as_str()).or_insert(facts);
        if (dtype, elements) != facts {
            let (found, expected) = (format!("{} {}", facts.1, facts.0), format!("{elements} {dtype}"));
            return Err(fault(&storage.key, "its description", found, expected));
        }
    }
    let mut starts = HashMap::new();
    for key in keys {
        let Some(&(dtype, elements)) = described.get(key.as_str()) else {
            return Err(fault(key, "its description", "missing".into(), "one in the object".into()));
        };
        let mut count = [0; 8];
        read_at(file, at, &mut count)?;
        let count = u64::from_le_bytes(count);
        if count != elements {
            return Err(fault(key, "its number of elements", count.to_string(), elements.to_string()));
        }
        let left = length - at - 8;
        let Some(size) = elements.checked_mul(dtype.width()).filter(|&size| size <= left) else {
            let expected = format!("{elements} elements of {} bytes: the file was cut off", dtype.width());
            return Err(fault(key, "what is left of the file", format!("{left} bytes"), expected));
        };
        if starts.insert(key.clone(), at + 8).is_some() {
            return Err(fault(key, "its place in the list", "a second one".into(), "one".into()));
        }
        at += 8 + size;
    }
    if let Some(key) = described.keys().find(|key| !starts.contains_key(**key)) {
        return Err(fault(key, "its content", "missing".into(), "elements at the end of the file".into()));
    }
    match length - at {
        0 => Ok(starts),
        more => Err(TorchError::Limit { offset: at, what: "what follows the last storage", found: more, limit: 0 }),
    }
}
