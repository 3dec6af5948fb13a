//! Files of every kind, drawn by their first bytes.

use super::table::{BRANDS, MARKED};
use super::*;

#[test]
fn every_line_of_the_tables_is_found_and_none_hides_another() {
    let mut failures = Vec::new();
    for (kind, marks) in &MARKED {
        let mut bytes = vec![0x81; 600]; // no text and no zeros
        for &(at, mark) in *marks {
            bytes[at..at + mark.len()].copy_from_slice(mark);
        }
        match kind_of(&bytes) {
            Some(found) if found == *kind => {}
            other => failures.push(format!("{}: {other:?}", kind.name)),
        }
        // A start that is too short may be of another kind or of none.
        for n in 0..bytes.len() {
            let _ = kind_of(&bytes[..n]);
        }
    }
    for (brand, kind) in &BRANDS {
        let bytes = [b"\0\0\0\x18ftyp".as_slice(), brand, b"\0\0\0\0mif1heic"].concat();
        match kind_of(&bytes) {
            Some(found) if found == *kind => {}
            other => failures.push(format!("{}: {other:?}", kind.name)),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_kind_says_what_it_is_and_what_to_do() {
    let kinds = MARKED.iter().map(|(kind, _)| kind).chain(BRANDS.iter().map(|(_, kind)| kind));
    for kind in kinds {
        assert!(["a ", "an "].iter().any(|article| kind.name.starts_with(article)), "{}", kind.name);
        assert!(!kind.remedy.is_empty() && kind.remedy.matches('`').count() % 2 == 0, "{}", kind.remedy);
    }
}

#[test]
fn text_is_told_from_bytes() {
    let cases: [(&[u8], Option<&str>); 15] = [
        (b"", None),
        (b"<!DOCTYPE html><title>404</title>", Some("a web page")),
        (b"\xef\xbb\xbf\n <HTML>", Some("a web page")),
        (b"<?xml version='1.0'?><svg xmlns='x'>", Some("an SVG drawing")),
        (b"<?xml version='1.0'?><annotation>", Some("XML text")),
        (b"{\"error\": \"not found\"}", Some("JSON text")),
        ("Straße".as_bytes(), Some("text")),
        (&"Straße".as_bytes()[..5], Some("text")),
        (b"the wide road", Some("text")),
        (b"\xff\xfe\0\x01 noise", None),
        (b"a bell: \x07", None),
        (&[0; 30], Some("nothing but zeros")),
        (b"\x08\x07\x12\x07pytorch", Some("an ONNX model")),
        (b"\0\0\x0aTRUEVISION-XFILE.\0", Some("a Targa image")),
        (b"version https://git-lfs.github.com/spec/v1\n", Some("a pointer of Git LFS")),
    ];
    for (bytes, expected) in cases {
        let found = kind_of(bytes).map(|kind| kind.name);
        let fits = match (found, expected) {
            (Some(found), Some(expected)) => found.starts_with(expected),
            (found, expected) => found == expected,
        };
        assert!(fits, "{bytes:?}: {found:?}, expected {expected:?}");
    }
}
