//! Safetensors: header, values, and what the metadata says of a network.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use fcn_core::weights::TensorFile;
use fcn_core::weights::Contents;
use libfuzzer_sys::fuzz_target;

/// The reader takes a path. In memory where there is such a folder.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("fuzz-{}.safetensors", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("a writable folder");
    let Ok(mut file) = TensorFile::open(&FILE) else { return };
    let table: Vec<(String, Vec<usize>)> =
        file.tensors().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
    for (name, shape) in table {
        if let Ok(values) = file.read(&name) {
            assert_eq!(values.len(), shape.iter().product::<usize>());
        }
    }
    if let Ok(contents) = Contents::from_header(file.metadata()) {
        // What was understood is written as what is understood.
        let again = contents.to_header().expect("a header");
        assert_eq!(Contents::from_header(&again).expect("our own header"), contents);
        assert!(contents.table().iter().all(|spec| !spec.is_empty()));
    }
});
