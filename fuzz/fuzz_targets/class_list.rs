//! Class lists: what is read is a class list, and is read back from its own text.
#![no_main]

use segdata::labels::MaskCoding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(coding) = MaskCoding::parse(text) else { return };
    let classes = &coding.classes;
    assert!(!classes.is_empty() && classes.len() <= 256 && classes.palette.len() == classes.len());
    for value in 0..=u16::MAX {
        if let Some(id) = coding.id_of_value(value) {
            assert!(value < 256 && (usize::from(id) < classes.len() || id == segdata::labels::VOID));
        }
    }
});
