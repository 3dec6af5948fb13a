//! Files that pyarrow wrote (`reference/parquet_golden.py`), and broken ones.

use std::path::PathBuf;

use super::*;
use crate::files::tree::Tree;

/// The golden files: name, and the cells of column `image.bytes`.
fn golden(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/parquet")).join(name)
}

fn open(path: &std::path::Path) -> crate::error::Result<Table> {
    Table::open(&Tree::open(path)?, path, |names| {
        let at = |path: [&str; 2]| names.iter().position(|name| *name == path);
        Ok([["image", "bytes"], ["image", "path"]].into_iter().filter_map(at).collect())
    })
}

/// What the script writes into row `i`: bytes of a length and content that depend on the row; no image in row 2.
fn expected(i: usize) -> Option<Vec<u8>> {
    (i != 2).then(|| (0..i * 37 % 101).map(|k| (i * 7 + k * 3) as u8).collect())
}

#[test]
fn cells_are_those_that_pyarrow_wrote_whatever_the_encoding() {
    let mut failures = Vec::new();
    for name in ["snappy_dictionary", "plain_pages_v2", "gzip_plain", "stored_pages_v2_dictionary", "zstd"] {
        let table = open(&golden(&format!("{name}.parquet"))).unwrap();
        assert_eq!(table.rows(), 40, "{name}");
        for row in (0..40).rev() {
            let (image, path) = (table.read(row, 0).ok(), table.read(row, 1).unwrap());
            if image != expected(row) || path != format!("row_{row}.png").into_bytes() {
                failures.push(format!("{name}, row {row}: {image:?} {path:?}"));
            }
        }
        assert!(table.read(2, 0).is_err_and(|e| e.message.contains("image.bytes is empty in row 2")));
        assert!(table.read(40, 0).is_err());
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.parquet");
    let read_all = || open(&path).map(|table| (0..table.rows().min(100)).for_each(|row| drop(table.read(row, 0))));
    for name in ["snappy_dictionary", "plain_pages_v2", "zstd"] {
        let whole = std::fs::read(golden(&format!("{name}.parquet"))).unwrap();
        for end in (0..whole.len()).step_by(whole.len() / 60) {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(read_all().is_err(), "{name}, {end} bytes");
        }
        for at in (0..whole.len()).step_by(37) {
            for bits in [0xff, 0x01] {
                let mut flipped = whole.clone();
                flipped[at] ^= bits;
                std::fs::write(&path, &flipped).unwrap();
                read_all().ok();
            }
        }
    }
}
