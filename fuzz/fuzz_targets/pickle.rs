//! Pickles alone, in an archive that is sound: checksums and sizes would keep a fuzzer out otherwise.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use torchio::TorchFile;

/// Bytes of each storage, so that descriptions of four 32-bit floats fit.
const STORAGE: [u8; 16] = [1; 16];

fuzz_target!(|pickle: &[u8]| {
    let mut archive = StoredZip::default();
    archive.add("a/data.pkl", pickle);
    for key in ["0", "1", "2"] {
        archive.add(&format!("a/data/{key}"), &STORAGE);
    }
    let Ok(mut file) = TorchFile::new(Cursor::new(archive.finish())) else { return };
    for tensor in file.tensors().to_vec() {
        if let Ok(values) = file.read_f32(&tensor.name) {
            assert_eq!(values.len(), tensor.shape.iter().product::<usize>());
            assert!(values.len() <= STORAGE.len() / 2);
        }
    }
});

/// A zip archive of stored entries whose checksums are zero, which means that there are none.
#[derive(Default)]
struct StoredZip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
}

impl StoredZip {
    fn add(&mut self, name: &str, content: &[u8]) {
        let size = (content.len() as u32).to_le_bytes();
        let name_length = (name.len() as u16).to_le_bytes();
        let common = [&[0; 10][..], &[0; 4], &size, &size, &name_length, &[0, 0]].concat();
        let start = (self.bytes.len() as u32).to_le_bytes();
        self.directory.extend([&b"PK\x01\x02\0\0"[..], &common, &[0; 10], &start, name.as_bytes()].concat());
        self.bytes.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), content].concat());
        self.entries += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let start = (self.bytes.len() as u32).to_le_bytes();
        let (count, size) = (self.entries.to_le_bytes(), (self.directory.len() as u32).to_le_bytes());
        self.bytes.extend(&self.directory);
        self.bytes.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &size, &start, &[0, 0]].concat());
        self.bytes
    }
}
