//! The stack machine of Python's pickles, protocols 0 to 5, with nothing to call. Every instruction takes
//! time in proportion to its own bytes and adds at most one value; numbers of values, of stack entries and of memo
//! entries are limited.

use std::collections::HashMap;

use crate::error::TorchError;
use crate::pickle::value::{Arena, Global, Id, Value, is_harmful};
use crate::tensor::Storage;

/// The largest pickle. VGG-16's state dict has 4 kB, a training checkpoint with the optimiser's state 20 kB.
pub(crate) const MAX_PICKLE_BYTES: u64 = 8 << 20;

/// The most values that one file may build, and the most entries on the stack: fifteen a tensor are usual, and each takes a
/// few dozen times its bytes.
const MAX_VALUES: usize = 1 << 18;

/// The most bytes of an integer that is kept; `torch.save`'s magic number has 10.
const MAX_INTEGER_BYTES: usize = 16;

/// Runs the pickle at the beginning of `bytes`. Returns the value it leaves and how many bytes it took. Values go to
/// `arena`, which may hold those of earlier pickles of the same file.
pub(crate) fn run(bytes: &[u8], arena: &mut Arena) -> Result<(Id, usize), TorchError> {
    let mut machine = Machine { bytes, at: 0, start: 0, arena, stack: vec![], marks: vec![], memo: HashMap::new() };
    loop {
        machine.start = machine.at;
        let opcode = machine.byte()?;
        if opcode == b'.' {
            return Ok((machine.pop()?, machine.at));
        }
        machine.step(opcode)?;
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the instruction begins that is being done.
    start: usize,
    arena: &'a mut Arena,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

type Done<T = ()> = Result<T, TorchError>;

impl<'a> Machine<'a> {
    fn fault(&self, reason: impl Into<String>) -> TorchError {
        TorchError::Pickle { offset: self.start, reason: reason.into() }
    }

    fn step(&mut self, opcode: u8) -> Done {
        match opcode {
            // Framing, which means nothing in memory.
            0x80 => match self.byte()? {
                0..=5 => Ok(()),
                other => Err(self.fault(format!("protocol {other}; expected 0 to 5"))),
            },
            0x95 => self.take(8).map(drop),
            // Constants.
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' => self.fixed().and_then(|bytes| self.push(Value::Int(i32::from_le_bytes(bytes).into()))),
            b'K' => self.byte().and_then(|byte| self.push(Value::Int(byte.into()))),
            b'M' => self.fixed().and_then(|bytes| self.push(Value::Int(u16::from_le_bytes(bytes).into()))),
            b'G' => self.fixed().and_then(|bytes| self.push(Value::Float(f64::from_be_bytes(bytes)))),
            b'I' | b'L' | b'F' => self.number_line(opcode),
            0x8a => self.byte().and_then(|length| self.integer(length.into())),
            0x8b => self.length(4).and_then(|length| self.integer(length)),
            // Text and bytes.
            b'S' | b'V' => self.text_line(opcode),
            b'T' | b'B' => self.length(4).and_then(|length| self.push_bytes(length)),
            b'U' | b'C' => self.byte().and_then(|length| self.push_bytes(length.into())),
            0x8e | 0x96 => self.length(8).and_then(|length| self.push_bytes(length)),
            b'X' => self.length(4).and_then(|length| self.push_text(length)),
            0x8c => self.byte().and_then(|length| self.push_text(length.into())),
            0x8d => self.length(8).and_then(|length| self.push_text(length)),
            // Containers.
            b')' => self.push(Value::Tuple(Box::default())),
            0x85..=0x87 => self.tuple_of(usize::from(opcode - 0x84)),
            b't' | 0x91 => self.pop_mark().and_then(|items| self.push(Value::Tuple(items.into()))),
            b']' | 0x8f => self.push(Value::List(vec![])),
            b'l' => self.pop_mark().and_then(|items| self.push(Value::List(items))),
            b'a' => self.pop().and_then(|item| self.extend(vec![item])),
            b'e' | 0x90 => self.pop_mark().and_then(|items| self.extend(items)),
            b'}' => self.push(Value::Dict(vec![])),
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(vec![]))?;
                self.set(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])
            }
            b'u' => self.pop_mark().and_then(|items| self.set(items)),
            // The stack and the memo.
            b'(' => {
                self.check_count(self.marks.len())?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => match self.marks.last() == Some(&self.stack.len()) {
                true => self.pop_mark().map(drop),
                false => self.pop().map(drop),
            },
            b'1' => self.pop_mark().map(drop),
            b'2' => self.top().and_then(|id| self.push_id(id)),
            b'p' => self.index_line().and_then(|index| self.remember(index)),
            b'q' => self.byte().and_then(|index| self.remember(index.into())),
            b'r' => self.fixed().and_then(|bytes| self.remember(u32::from_le_bytes(bytes))),
            0x94 => self.remember(self.memo.len() as u32),
            b'g' => self.index_line().and_then(|index| self.recall(index)),
            b'h' => self.byte().and_then(|index| self.recall(index.into())),
            b'j' => self.fixed().and_then(|bytes| self.recall(u32::from_le_bytes(bytes))),
            // Names, and what would call them.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id| self.arena.text(id).map(|text| text.into_owned());
                let (Some(module), Some(name)) = (text(module), text(name)) else {
                    return Err(self.fault("a name that is not short text"));
                };
                self.global(&module, &name)
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)
            }
            0x92 => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(class, arguments)
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                let arguments = self.pop_mark()?;
                self.global(&module, &name)?;
                let class = self.pop()?;
                self.call_with(class, arguments)
            }
            b'o' => {
                let mut arguments = self.pop_mark()?;
                if arguments.is_empty() {
                    return Err(self.fault("an object without a class"));
                }
                let class = arguments.remove(0);
                self.call_with(class, arguments)
            }
            b'b' => self.build(),
            b'Q' => self.pop().and_then(|id| self.persistent(id)),
            b'P' => Err(self.fault("a storage named by text, as protocol 0 would; PyTorch cannot read that either")),
            0x97 | 0x98 | 0x82..=0x84 => {
                Err(self.fault(format!("opcode {opcode:#04x} has no place in a PyTorch file")))
            }
            other => Err(self.fault(format!("{other:#04x} is not an opcode"))),
        }
    }

    // Bytes.

    fn take(&mut self, length: usize) -> Done<&'a [u8]> {
        let left = self.bytes.len() - self.at;
        if length > left {
            return Err(self.fault(format!("{length} bytes are announced; {left} are left")));
        }
        self.at += length;
        Ok(&self.bytes[self.at - length..self.at])
    }

    fn byte(&mut self) -> Done<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn fixed<const N: usize>(&mut self) -> Done<[u8; N]> {
        let mut fixed = [0; N];
        fixed.copy_from_slice(self.take(N)?);
        Ok(fixed)
    }

    /// A length of `width` bytes.
    fn length(&mut self, width: usize) -> Done<usize> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        Ok(usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Done<String> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.fault("a line without an end"));
        };
        let line = self.take(length + 1)?;
        match std::str::from_utf8(&line[..length]) {
            Ok(text) => Ok(text.to_string()),
            Err(_) => Err(self.fault("a line that is not UTF-8")),
        }
    }

    fn index_line(&mut self) -> Done<u32> {
        let line = self.line()?;
        line.parse().map_err(|_| self.fault(format!("'{line}' is no place in the memo")))
    }

    // Constants.

    fn number_line(&mut self, opcode: u8) -> Done {
        let line = self.line()?;
        let value = match (opcode, line.as_str()) {
            (b'I', "00") => Some(Value::Bool(false)),
            (b'I', "01") => Some(Value::Bool(true)),
            (b'F', text) => text.parse().ok().map(Value::Float),
            (_, text) => text.trim_end_matches('L').parse().ok().map(Value::Int),
        };
        match value {
            Some(value) => self.push(value),
            None => Err(self.fault(format!("'{line}' is not a number that can be read"))),
        }
    }

    fn integer(&mut self, length: usize) -> Done {
        let bytes = self.take(length)?;
        if length > MAX_INTEGER_BYTES {
            return Err(self.fault(format!("an integer of {length} bytes; expected at most {MAX_INTEGER_BYTES}")));
        }
        let sign = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
        let mut all = [sign; 16];
        all[..length].copy_from_slice(bytes);
        self.push(Value::Int(i128::from_le_bytes(all)))
    }

    /// Text of protocol 0: a Python literal, or raw Unicode escapes.
    fn text_line(&mut self, opcode: u8) -> Done {
        let line = self.line()?;
        let quoted = |quote: char| line.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        let text = match opcode {
            b'S' => quoted('\'').or_else(|| quoted('"')),
            _ => Some(line.as_str()),
        };
        match text {
            Some(text) if !text.contains('\\') => self.push(Value::Text(text.into())),
            _ => Err(self.fault(format!("text {line} with escapes, or without quotes; expected plain characters"))),
        }
    }

    fn push_bytes(&mut self, length: usize) -> Done {
        let bytes = self.take(length)?.into();
        self.push(Value::Bytes(bytes))
    }

    fn push_text(&mut self, length: usize) -> Done {
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => self.push(Value::Text(text.into())),
            Err(_) => Err(self.fault("text that is not UTF-8")),
        }
    }

    // Stack and memo.

    fn check_count(&self, count: usize) -> Done {
        match count < MAX_VALUES {
            true => Ok(()),
            false => Err(self.fault(format!("more than {MAX_VALUES} values"))),
        }
    }

    fn push(&mut self, value: Value) -> Done {
        self.check_count(self.arena.len())?;
        let id = self.arena.add(value);
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Done {
        self.check_count(self.stack.len())?;
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Done<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().ok_or_else(|| self.fault("an empty stack")),
            false => Err(self.fault("an empty stack")),
        }
    }

    fn top(&self) -> Done<Id> {
        self.stack.last().copied().ok_or_else(|| self.fault("an empty stack"))
    }

    fn pop_mark(&mut self) -> Done<Vec<Id>> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height)),
            None => Err(self.fault("no mark on the stack")),
        }
    }

    fn remember(&mut self, index: u32) -> Done {
        self.check_count(self.memo.len())?;
        let id = self.top()?;
        self.memo.insert(index, id);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Done {
        match self.memo.get(&index) {
            Some(&id) => self.push_id(id),
            None => Err(self.fault(format!("nothing at place {index} of the memo"))),
        }
    }

    // Containers.

    fn tuple_of(&mut self, count: usize) -> Done {
        let mut items: Vec<Id> = (0..count).map(|_| self.pop()).collect::<Done<_>>()?;
        items.reverse();
        self.push(Value::Tuple(items.into()))
    }

    fn extend(&mut self, items: Vec<Id>) -> Done {
        let list = self.top()?;
        match self.arena.get_mut(list) {
            Some(Value::List(list)) => list.extend(items),
            Some(Value::Opaque(_)) => {}
            _ => return Err(self.fault(format!("items for {}; expected a list", self.arena.describe(list)))),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Id>) -> Done {
        let dict = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err(self.fault("a key without a value"));
        }
        match self.arena.get_mut(dict) {
            Some(Value::Dict(pairs)) => pairs.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Some(Value::Opaque(_)) => {}
            _ => return Err(self.fault(format!("items for {}; expected a dictionary", self.arena.describe(dict)))),
        }
        Ok(())
    }

    // Names and calls.

    fn global(&mut self, module: &str, name: &str) -> Done {
        if is_harmful(module, name) {
            return Err(TorchError::Harmful { offset: self.start, module: module.into(), name: name.into() });
        }
        let value = match Global::of(module, name) {
            Some(global) => Some(Value::Global(global)),
            None => self.arena.opaque(format!("{module}.{name}")),
        };
        match value {
            Some(value) => self.push(value),
            None => Err(self.fault("too many different names")),
        }
    }

    fn call_with(&mut self, function: Id, arguments: Vec<Id>) -> Done {
        self.push(Value::Tuple(arguments.into()))?;
        let arguments = self.pop()?;
        self.call(function, arguments)
    }

    fn call(&mut self, function: Id, arguments: Id) -> Done {
        self.check_count(self.arena.len())?;
        match self.arena.call(function, arguments) {
            Some(value) => self.push_id(value),
            None => {
                let (what, with) = (self.arena.describe(function), self.arena.describe(arguments));
                Err(self.fault(format!("{what} is called with {with}, which it does not take")))
            }
        }
    }

    /// State for an object: nothing here has any, but numpy's types have their byte order there.
    fn build(&mut self) -> Done {
        let state = self.pop()?;
        let object = self.top()?;
        let order = self.arena.items(state).and_then(|items| items.get(1).copied()).and_then(|id| self.arena.text(id));
        let is_big = order.as_deref() == Some(">");
        if let Some(Value::NumpyType(_, big)) = self.arena.get_mut(object) {
            *big = is_big;
        }
        Ok(())
    }

    /// `('storage', class, key, place, elements)`, in old files with a sixth part: `None` or a view `(key, offset,
    /// elements)`; or `('module', class, ...)`.
    fn persistent(&mut self, id: Id) -> Done {
        let parts = self.arena.items(id).unwrap_or_default();
        let kind = parts.first().and_then(|&kind| self.arena.text(kind));
        match (kind.as_deref(), parts) {
            (Some("module"), &[_, class, ..]) => self.push_id(class),
            (Some("storage"), &[_, class, key, _, elements, ref view @ ..]) => {
                match self.storage(class, key, elements, view) {
                    Some(storage) => {
                        let value = self.arena.storage(storage);
                        self.push(value)
                    }
                    None => Err(self.fault("a storage that is described in another way than PyTorch does")),
                }
            }
            _ => Err(self.fault("a reference to something else than a storage or a module")),
        }
    }

    fn storage(&self, class: Id, key: Id, elements: Id, view: &[Id]) -> Option<Storage> {
        let Value::Global(Global::Storage(dtype)) = *self.arena.get(class) else { return None };
        let elements = self.arena.count(elements)?;
        let view = match view.first().and_then(|&view| self.arena.items(view)) {
            Some(&[_, offset, count]) => {
                let (offset, count) = (self.arena.count(offset)?, self.arena.count(count)?);
                offset.checked_add(count).filter(|&end| end <= elements)?;
                (offset, count)
            }
            Some(_) => return None,
            None => (0, elements),
        };
        Some(Storage { key: self.arena.text(key)?.into_owned(), dtype, elements, view })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_alone(bytes: &[u8]) -> (Arena, Result<(Id, usize), TorchError>) {
        let mut arena = Arena::default();
        let result = run(bytes, &mut arena);
        (arena, result)
    }

    /// A value as text, for comparison.
    fn shown(arena: &Arena, id: Id) -> String {
        let list = |items: &[Id]| items.iter().map(|&item| shown(arena, item)).collect::<Vec<_>>().join(", ");
        match arena.get(id) {
            Value::None => "None".into(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => format!("{value:?}"),
            Value::Text(text) => format!("{text:?}"),
            Value::Bytes(bytes) => format!("b{bytes:?}"),
            Value::Tuple(items) => format!("({})", list(items)),
            Value::List(items) => format!("[{}]", list(items)),
            Value::Dict(pairs) => {
                let pair = |&(key, value): &(Id, Id)| format!("{}: {}", shown(arena, key), shown(arena, value));
                format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
            _ => arena.describe(id),
        }
    }

    #[test]
    fn what_python_pickles_is_what_comes_out() {
        // As CPython's pickle.dumps writes them; protocols 0, 2, 3, 4 and 5.
        let cases: [(&[u8], &str); 10] = [
            (b"(dp0\nVa\np1\nI1\nsVb\np2\nF1.5\ns.", "{\"a\": 1, \"b\": 1.5}"),
            (b"(lp0\nI01\naI00\naNaL123456789012L\na.", "[true, false, None, 123456789012]"),
            (b"}q\x00(X\x01\x00\x00\x00aq\x01K\x01X\x01\x00\x00\x00bq\x02G?\xf8\x00\x00\x00\x00\x00\x00u.", "{\"a\": 1, \"b\": 1.5}"),
            (b"\x80\x02]q\x00(K\x01M\x01\x01J\x00\x00\x00\x80\x8a\x06\x15\xed\x5a\x07\x00\xff\x88\x89Ne.", "[1, 257, -2147483648, -1099388228331, true, false, None]"),
            (b"\x80\x02K\x01K\x02\x86q\x00K\x03\x85q\x01\x86q\x02.", "((1, 2), (3))"),
            (b"\x80\x03C\x02\x01\xffq\x00.", "b[1, 255]"),
            (b"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00]\x94(\x8c\x01a\x94h\x01e.", "[\"a\", \"a\"]"),
            (b"\x80\x04\x8f\x94(K\x01K\x02\x90.", "[1, 2]"),
            (b"\x80\x05\x96\x02\x00\x00\x00\x00\x00\x00\x00ab\x94.", "b[97, 98]"),
            (b"\x80\x02c_codecs\nencode\nq\x00X\x03\x00\x00\x00a\xc3\xbfq\x01X\x06\x00\x00\x00latin1q\x02\x86q\x03Rq\x04.", "b[97, 255]"),
        ];
        let mut wrong = vec![];
        for (bytes, expected) in cases {
            let (arena, result) = run_alone(bytes);
            let found = result.map(|(id, taken)| (shown(&arena, id), taken));
            match found {
                Ok((text, taken)) if text == expected && taken == bytes.len() => {}
                found => wrong.push(format!("{expected}: {found:?}")),
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn nothing_that_reaches_the_system_is_accepted_anywhere() {
        let cases: [&[u8]; 6] = [
            b"cos\nsystem\n(S'touch x'\ntR.",
            b"\x80\x02}q\x00(X\x01\x00\x00\x00acposix\nsystem\nX\x01\x00\x00\x00x\x85Ru.",
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
            b"(S'x'\nisubprocess\nPopen\n.",
            b"c__builtin__\nexec\n0N.",
            b"cimportlib.util\nfind_spec\n0N.",
        ];
        for bytes in cases {
            let error = run_alone(bytes).1.unwrap_err();
            assert!(matches!(error, TorchError::Harmful { .. }), "{error}");
        }
        let named = run_alone(cases[0]).1.unwrap_err().to_string();
        assert!(named.contains("os.system"), "{named}");
    }

    #[test]
    fn other_names_become_opaque_values_that_take_anything() {
        let (arena, result) = run_alone(b"\x80\x02cargparse\nNamespace\n)\x81}X\x01\x00\x00\x00aK\x01sbK\x01a.");
        assert_eq!(arena.describe(result.unwrap().0), "an object of argparse.Namespace");
    }

    #[test]
    fn bombs_and_nonsense_are_errors_at_once() {
        let doubling: Vec<u8> = [&b"\x80\x02]q\x00"[..], &b"(h\x00h\x00tq\x00".repeat(17), b"."].concat();
        let mut deep = vec![b'('; 2_000_000];
        deep.push(b'.');
        let cases: [(&str, &[u8]); 15] = [
            ("nothing", b""),
            ("no end", b"\x80\x02N"),
            ("a 4 GiB text", b"\x80\x02X\xff\xff\xff\xffab."),
            ("an 8 EiB text", b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab."),
            ("a 2 GiB integer", b"\x80\x02\x8b\xff\xff\xff\x7f\x01."),
            ("many marks", &deep),
            ("an empty stack", b"0."),
            ("below the mark", b"N(R."),
            ("no memo", b"j\xff\xff\xff\xff."),
            ("an unknown opcode", b"\xff."),
            ("protocol 9", b"\x80\x09N."),
            ("calling a number", b"K\x01)R."),
            ("an odd dictionary", b"}(K\x01u."),
            ("an item for a number", b"K\x01K\x02a."),
            ("an extension", b"\x82\x01."),
        ];
        let mut wrong = vec![];
        for (what, bytes) in cases {
            if run_alone(bytes).1.is_ok() {
                wrong.push(what);
            }
        }
        assert!(wrong.is_empty(), "accepted: {wrong:?}");
        // Shared parts take their own space once, and a far place in the memo takes one entry.
        let started = std::time::Instant::now();
        let (arena, result) = run_alone(&doubling);
        assert!(result.is_ok() && arena.len() < 20);
        assert!(run_alone(b"Nr\xff\xff\xff\xff.").1.is_ok());
        assert!(started.elapsed().as_secs() < 1);
    }
}
