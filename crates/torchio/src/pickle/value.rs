//! What a pickle builds: plain values in an arena, and the few names that have a meaning here.
//!
//! Values refer to each other by number, so that the machine can change a list that it has put into a dictionary before,
//! and so that a value which occurs a billion times by way of shared parts still takes its own space only once.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::dtype::DType;
use crate::limits::{MAX_NAME_BYTES, MAX_RANK};
use crate::tensor::{Storage, View};

/// Number of a value in its [`Arena`].
pub(crate) type Id = u32;

/// A value.
#[derive(Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Tuple(Box<[Id]>),
    /// A list or a set.
    List(Vec<Id>),
    /// Pairs in the order in which they were set.
    Dict(Vec<(Id, Id)>),
    /// A name with a meaning.
    Global(Global),
    /// Index into [`Arena::storages`].
    Storage(usize),
    Tensor(Box<View>),
    /// A numpy type: kind and bytes (`f8`), and whether the highest byte comes first.
    NumpyType(Box<str>, bool),
    /// A name without a meaning, or anything made with it: index into [`Arena::names`].
    Opaque(usize),
}

/// The names that have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    /// `collections.OrderedDict` or `dict`.
    Dict,
    /// `torch.Size`: a tuple.
    Size,
    /// A storage class.
    Storage(DType),
    /// `_rebuild_tensor(storage, offset, size, stride)`; `_rebuild_tensor_v2(.., requires_grad, hooks, metadata)`.
    RebuildTensor,
    /// `_rebuild_parameter(tensor, ...)`.
    RebuildParameter,
    /// `_rebuild_from_type_v2(function, type, arguments, state)`.
    RebuildFromType,
    /// `numpy.core.multiarray.scalar(dtype, bytes)`.
    NumpyScalar,
    /// `numpy.dtype(code, ...)`.
    NumpyType,
    /// `_codecs.encode(text, 'latin1')`: bytes in protocol 2.
    Encode,
}

impl Global {
    /// The meaning of a name.
    pub fn of(module: &str, name: &str) -> Option<Global> {
        Some(match (module, name) {
            ("collections", "OrderedDict") | ("builtins" | "__builtin__", "dict") => Global::Dict,
            ("torch", "Size") => Global::Size,
            ("torch" | "torch.cuda", class) if class.ends_with("Storage") => Global::Storage(DType::of_storage(class)?),
            ("torch.storage", "UntypedStorage" | "_UntypedStorage") => Global::Storage(DType::U8),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Global::RebuildFromType,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Global::NumpyScalar,
            ("numpy", "dtype") => Global::NumpyType,
            ("_codecs", "encode") => Global::Encode,
            _ => return None,
        })
    }
}

/// Whether a name reaches the operating system, the interpreter or the network. No file of tensors needs one.
pub(crate) fn is_harmful(module: &str, name: &str) -> bool {
    const MODULES: [&str; 19] = [
        "os",
        "posix",
        "nt",
        "sys",
        "subprocess",
        "shutil",
        "socket",
        "runpy",
        "importlib",
        "pty",
        "ctypes",
        "pickle",
        "_pickle",
        "marshal",
        "webbrowser",
        "types",
        "timeit",
        "pdb",
        "bdb",
    ];
    // A bag of options, as training scripts keep.
    const HARMLESS: (&str, &str) = ("types", "SimpleNamespace");
    const BUILTINS: [&str; 13] = [
        "eval",
        "exec",
        "execfile",
        "compile",
        "open",
        "file",
        "input",
        "__import__",
        "getattr",
        "setattr",
        "apply",
        "breakpoint",
        "globals",
    ];
    let package = module.split('.').next().unwrap_or_default();
    match package {
        "builtins" | "__builtin__" => BUILTINS.contains(&name.split('.').next().unwrap_or_default()),
        _ => MODULES.contains(&package) && (module, name) != HARMLESS,
    }
}

/// The most different opaque names in one file.
const MAX_NAMES: usize = 4096;

/// Values that calls may copy from others in all: pairs of dictionaries and bytes of encoded text. A call repeated on
/// one large value must not cost its size every time.
const MAX_COPIED: usize = 1 << 20;

/// All values of a pickle.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    values: Vec<Value>,
    pub storages: Vec<Storage>,
    storage_numbers: HashMap<Storage, usize>,
    /// `module.name` of opaque values.
    names: Vec<String>,
    name_numbers: HashMap<String, usize>,
    copied: usize,
}

impl Arena {
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn add(&mut self, value: Value) -> Id {
        self.values.push(value);
        (self.values.len() - 1) as Id
    }

    pub fn get(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut Value> {
        self.values.get_mut(id as usize)
    }

    /// The value of a storage, one number for equal ones.
    pub fn storage(&mut self, storage: Storage) -> Value {
        let next = self.storages.len();
        let number = *self.storage_numbers.entry(storage.clone()).or_insert(next);
        if number == next {
            self.storages.push(storage);
        }
        Value::Storage(number)
    }

    /// An opaque value of a name; `None` where there are too many names.
    pub fn opaque(&mut self, name: String) -> Option<Value> {
        if let Some(&number) = self.name_numbers.get(&name) {
            return Some(Value::Opaque(number));
        }
        if self.names.len() == MAX_NAMES {
            return None;
        }
        self.names.push(name.clone());
        self.name_numbers.insert(name, self.names.len() - 1);
        Some(Value::Opaque(self.names.len() - 1))
    }

    /// The text of a short string; strings of Python 2 are bytes here.
    pub fn text(&self, id: Id) -> Option<Cow<'_, str>> {
        match self.get(id) {
            Value::Text(text) if text.len() <= MAX_NAME_BYTES => Some(Cow::Borrowed(text)),
            Value::Bytes(bytes) if bytes.len() <= MAX_NAME_BYTES => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    /// A number that counts something.
    pub fn count(&self, id: Id) -> Option<u64> {
        match self.get(id) {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A short tuple or list of numbers that count something.
    fn counts(&self, id: Id) -> Option<Vec<usize>> {
        let items = self.items(id).filter(|items| items.len() <= MAX_RANK)?;
        items.iter().map(|&item| usize::try_from(self.count(item)?).ok()).collect()
    }

    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Some(items),
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// What a value is, for an error.
    pub fn describe(&self, id: Id) -> String {
        match self.get(id) {
            Value::None => "None".into(),
            Value::Bool(_) => "a truth value".into(),
            Value::Int(_) => "an integer".into(),
            Value::Float(_) => "a number".into(),
            Value::Text(_) => "text".into(),
            Value::Bytes(_) => "bytes".into(),
            Value::Tuple(items) => format!("a tuple of {}", items.len()),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Dict(pairs) => format!("a dictionary of {}", pairs.len()),
            Value::Global(global) => format!("the name {global:?}"),
            Value::Storage(_) => "a storage".into(),
            Value::Tensor(_) => "a tensor".into(),
            Value::NumpyType(code, _) => format!("the numpy type {code}"),
            Value::Opaque(number) => match self.names.get(*number) {
                Some(name) => format!("an object of {name}"),
                None => "an object".into(),
            },
        }
    }

    /// What calling `function` gives; `None` where the arguments are not those it takes.
    pub fn call(&mut self, function: Id, arguments: Id) -> Option<Id> {
        match *self.get(function) {
            Value::Global(global) => self.call_global(global, arguments),
            Value::Opaque(number) => Some(self.add(Value::Opaque(number))),
            _ => None,
        }
    }

    fn call_global(&mut self, global: Global, arguments: Id) -> Option<Id> {
        let arguments = self.items(arguments)?;
        let argument = |index: usize| arguments.get(index).copied();
        let value = match global {
            Global::Dict => match argument(0) {
                None => Value::Dict(vec![]),
                Some(pairs) => self.dict_of(pairs)?,
            },
            Global::Size => {
                let size = argument(0)?;
                self.items(size)?;
                return Some(size);
            }
            Global::RebuildTensor => {
                let Value::Storage(storage) = *self.get(argument(0)?) else { return None };
                let (offset, shape, strides) = (argument(1)?, argument(2)?, argument(3)?);
                let (shape, strides) = (self.counts(shape)?, self.counts(strides)?);
                let negated = self.is_negated(argument(6))?;
                Value::Tensor(Box::new(View { storage, offset: self.count(offset)?, shape, strides, negated }))
            }
            Global::RebuildParameter => {
                let tensor = argument(0)?;
                return matches!(self.get(tensor), Value::Tensor(_)).then_some(tensor);
            }
            Global::RebuildFromType => {
                let (function, inner) = (argument(0)?, argument(2)?);
                return match *self.get(function) {
                    Value::Global(inside @ (Global::RebuildTensor | Global::RebuildParameter)) => {
                        self.call_global(inside, inner)
                    }
                    Value::Opaque(number) => Some(self.add(Value::Opaque(number))),
                    _ => None,
                };
            }
            Global::NumpyType => Value::NumpyType(self.text(argument(0)?)?.into(), false),
            Global::NumpyScalar => match self.numpy_number(argument(0)?, argument(1)?) {
                Some(number) => number,
                None => self.opaque("numpy.core.multiarray.scalar".into())?,
            },
            Global::Encode => self.encoded(argument(0)?)?,
            Global::Storage(_) => return None,
        };
        Some(self.add(value))
    }

    /// Whether a tensor's metadata, a dictionary or nothing, say that its values are to be negated (`neg`, the bit of
    /// `torch._neg_view`). `conj` changes no real number, and complex ones are refused when they are read. `None` for
    /// metadata that PyTorch would not take.
    fn is_negated(&self, metadata: Option<Id>) -> Option<bool> {
        match metadata.map(|id| self.get(id)) {
            None | Some(Value::None) => Some(false),
            Some(Value::Dict(pairs)) if pairs.len() <= MAX_RANK => {
                // A key that is set twice has its last value.
                let neg = pairs.iter().rev().find(|(key, _)| self.text(*key).as_deref() == Some("neg"));
                match neg.map(|(_, value)| self.get(*value)) {
                    None => Some(false),
                    Some(Value::Bool(negated)) => Some(*negated),
                    Some(_) => None,
                }
            }
            Some(_) => None,
        }
    }

    /// Accounts for values that a call copies; `None` where it is too much.
    fn copy(&mut self, count: usize) -> Option<()> {
        self.copied = self.copied.saturating_add(count);
        (self.copied <= MAX_COPIED).then_some(())
    }

    fn dict_of(&mut self, pairs: Id) -> Option<Value> {
        self.copy(self.items(pairs)?.len())?;
        let pair = |&pair: &Id| match *self.items(pair)? {
            [key, value] => Some((key, value)),
            _ => None,
        };
        self.items(pairs)?.iter().map(pair).collect::<Option<_>>().map(Value::Dict)
    }

    fn encoded(&mut self, text: Id) -> Option<Value> {
        let Value::Text(text) = self.get(text) else { return None };
        let length = text.len();
        let bytes = || text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<_>>().map(Value::Bytes);
        // Counted before the copy is made.
        if self.copied.saturating_add(length) > MAX_COPIED {
            return None;
        }
        let value = bytes()?;
        self.copy(length)?;
        Some(value)
    }

    /// A plain number of numpy's.
    fn numpy_number(&self, dtype: Id, bytes: Id) -> Option<Value> {
        let (Value::NumpyType(code, big), Value::Bytes(bytes)) = (self.get(dtype), self.get(bytes)) else {
            return None;
        };
        fn ordered<const N: usize>(bytes: &[u8], big: bool) -> Option<[u8; N]> {
            let mut fixed: [u8; N] = bytes.try_into().ok()?;
            if big {
                fixed.reverse();
            }
            Some(fixed)
        }
        Some(match &**code {
            "f8" => Value::Float(f64::from_le_bytes(ordered(bytes, *big)?)),
            "f4" => Value::Float(f32::from_le_bytes(ordered(bytes, *big)?).into()),
            "i8" => Value::Int(i64::from_le_bytes(ordered(bytes, *big)?).into()),
            "i4" => Value::Int(i32::from_le_bytes(ordered(bytes, *big)?).into()),
            _ => return None,
        })
    }
}
