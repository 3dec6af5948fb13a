//! Records, streamed, indexed and at random, give the same data.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use tfio::{Limits, RecordReader};

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_record_bytes: u64::MAX };
    let streamed: Vec<_> = RecordReader::with_limits(data, limits).map_while(Result::ok).collect();
    let mut reader = RecordReader::with_limits(Cursor::new(data), limits);
    if let Ok(offsets) = reader.index() {
        assert_eq!(offsets.len(), streamed.len());
        for (offset, record) in offsets.into_iter().zip(streamed) {
            assert_eq!(reader.read_at(offset).ok(), Some(record));
        }
    }
});
