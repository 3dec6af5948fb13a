//! ONNX files, without their values: what is told of a file is no more than the file can hold.
#![no_main]

use std::io::Cursor;

use fcn_core::export::onnx::OnnxFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = OnnxFile::read(Cursor::new(bytes), bytes.len() as u64) else { return };
    let names: usize = found.tensors.iter().map(|tensor| tensor.name.len()).sum();
    let metadata: usize = found.metadata.iter().map(|(key, value)| key.len().max(value.len())).sum();
    // A byte that is not UTF-8 is told as three.
    assert!(names + metadata <= 6 * bytes.len() && found.tensors.len() * 2 <= bytes.len());
});
