//! Files of torch.save: container, pickle, storages.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use torchio::TorchFile;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = TorchFile::new(Cursor::new(bytes)) else { return };
    for tensor in file.tensors().to_vec() {
        if let Ok(values) = file.read_f32(&tensor.name) {
            assert_eq!(values.len(), tensor.shape.iter().product::<usize>());
            // Half floats take twice their space in the file; several tensors may look at one storage.
            assert!(values.len() * 2 <= bytes.len());
        }
    }
});
