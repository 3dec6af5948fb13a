//! An Example that can be decoded is encoded to bytes that decode and encode to themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tfio::Example;

fuzz_target!(|data: &[u8]| {
    if let Ok(example) = Example::decode(data) {
        let bytes = example.encode();
        let again = Example::decode(&bytes).map(|example| example.encode());
        assert_eq!(again, Ok(bytes));
    }
});
