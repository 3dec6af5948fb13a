//! The pickle of a state dict, in protocol 2, the one that `torch.save` uses:
//! `{name: torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()), ..}`. Only names that
//! `torch.load(weights_only=True)` accepts are in it.

/// The pickle of tensors that each have a storage of 32-bit floats of their own, whose key is the tensor's number.
pub(crate) fn state_dict<'a>(tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> Vec<u8> {
    let mut program = Program(vec![0x80, 2]);
    program.0.extend(b"}("); // an empty dict, a mark
    for (index, (name, shape)) in tensors.enumerate() {
        program.text(name);
        program.global("torch._utils", "_rebuild_tensor_v2");
        program.0.extend(b"(("); // two marks: the arguments, the storage
        program.text("storage");
        program.global("torch", "FloatStorage");
        program.text(&index.to_string());
        program.text("cpu");
        program.int(shape.iter().product());
        program.0.extend(b"tQ"); // a tuple, and what it refers to outside the pickle
        program.int(0);
        program.ints(shape);
        program.ints(&strides(shape));
        program.0.push(0x89); // False
        program.global("collections", "OrderedDict");
        program.0.extend(b")RtR"); // call it with nothing; a tuple; call the function with it
    }
    program.0.extend(b"u."); // put the pairs into the dict; stop
    program.0
}

/// Distance between neighbours along each axis of a row-major array, in values.
fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// Instructions for the pickle machine.
struct Program(Vec<u8>);

impl Program {
    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn int(&mut self, value: usize) {
        match i32::try_from(value) {
            Ok(value) => {
                self.0.push(b'J');
                self.0.extend(value.to_le_bytes());
            }
            Err(_) => {
                self.0.extend([0x8a, 9]); // a number of nine bytes: the ninth keeps it positive
                self.0.extend((value as u64).to_le_bytes());
                self.0.push(0);
            }
        }
    }

    fn ints(&mut self, values: &[usize]) {
        self.0.push(b'(');
        values.iter().for_each(|&value| self.int(value));
        self.0.push(b't');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pickle_of_one_tensor_is_this() {
        // Disassembled by pickletools.dis and loaded by torch.load: reference/check_export.py.
        let expected: &[u8] = b"\x80\x02}(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage\
            ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ\x06\0\0\0tQJ\0\0\0\0(J\x02\0\0\0J\x03\0\0\0t\
            (J\x03\0\0\0J\x01\0\0\0t\x89ccollections\nOrderedDict\n)RtRu.";
        assert_eq!(state_dict([("w", &[2, 3][..])].into_iter()), expected);
    }
}
