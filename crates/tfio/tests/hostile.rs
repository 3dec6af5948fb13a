//! Damaged and hostile files: never a panic, never a wrong value where a checksum covers it.
//!
//! The first half damages golden files as accidents do; every value that is still read must be right. The second half
//! repairs the checksum after the damage, as an attacker would, so that the parsers behind it see every kind of
//! nonsense; nothing is asked of the values then.

// Helpers outside test functions may unwrap here too: all of this file is test code.
#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use tfio::checkpoint::TensorInfo;
use tfio::{Checkpoint, CheckpointError, Example, Feature, RecordReader, RecordWriter};

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tfio").join(name)).unwrap()
}

/// What a checkpoint gives: its tensors, and the bits of each one's values or its error.
type Contents = Vec<(TensorInfo, Option<Vec<u64>>)>;

fn contents(checkpoint: Result<Checkpoint, CheckpointError>) -> Option<Contents> {
    let checkpoint = checkpoint.ok()?;
    let values = |tensor: &TensorInfo| {
        let floats = checkpoint.read_f32(&tensor.name).map(|v| v.iter().map(|x| u64::from(x.to_bits())).collect());
        floats.or_else(|_| checkpoint.read_i64(&tensor.name).map(|v| v.iter().map(|&x| x as u64).collect())).ok()
    };
    Some(checkpoint.tensors().iter().map(|tensor| (tensor.clone(), values(tensor))).collect())
}

/// Reads a file set of one format after one of its files was replaced.
struct Case {
    name: &'static str,
    file: Vec<u8>,
    read: Box<dyn Fn(Vec<u8>) -> Option<Contents>>,
}

fn checkpoints() -> Vec<Case> {
    let case = |name, read| Case { name, file: golden(name), read };
    let v2 = |name: &'static str, data: &'static [&'static str]| {
        let mut cases = vec![case(
            name,
            Box::new(move |index| {
                contents(Checkpoint::from_v2_bytes(index, data.iter().map(|name| golden(name)).collect()))
            }) as Box<dyn Fn(Vec<u8>) -> Option<Contents>>,
        )];
        for (number, &file) in data.iter().enumerate() {
            cases.push(case(
                file,
                Box::new(move |bytes| {
                    let mut all: Vec<_> = data.iter().map(|name| golden(name)).collect();
                    all[number] = bytes;
                    contents(Checkpoint::from_v2_bytes(golden(name), all))
                }),
            ));
        }
        cases
    };
    let mut cases = vec![case("v1.ckpt", Box::new(|file| contents(Checkpoint::from_v1_bytes(file))))];
    cases.extend(v2("v2.ckpt.index", &["v2.ckpt.data-00000-of-00001"]));
    cases.extend(v2("sharded.ckpt.index", &["sharded.ckpt.data-00000-of-00002", "sharded.ckpt.data-00001-of-00002"]));
    cases
}

/// Every file cut before, and flipped at, every 64th byte and each of its last 64.
fn damaged(file: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let positions = (0..file.len()).filter(|position| position % 64 == 0 || position + 64 > file.len());
    positions.flat_map(move |position| {
        let flip = |mask: u8| {
            let mut bytes = file.to_vec();
            bytes[position] ^= mask;
            (format!("byte {position} ^ {mask:#x}"), bytes)
        };
        [(format!("cut at {position}"), file[..position].to_vec()), flip(1), flip(0x80), flip(0xff)]
    })
}

#[test]
fn a_damaged_checkpoint_gives_right_values_or_an_error() {
    let mut wrong = vec![];
    for Case { name, file, read } in checkpoints() {
        let sound = read(file.clone()).unwrap();
        assert!(sound.iter().all(|(_, values)| values.is_some()), "{name}");
        for (damage, bytes) in damaged(&file) {
            // Where values cannot be read they are missing; all else must be as in the sound file.
            let right = read(bytes).is_none_or(|found| {
                found.len() == sound.len()
                    && found.iter().zip(&sound).all(|((info, values), (sound_info, sound_values))| {
                        info == sound_info && (values.is_none() || values == sound_values)
                    })
            });
            if !right {
                wrong.push(format!("{name}: {damage}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn damaged_records_are_right_up_to_the_damage() {
    let file = golden("examples.tfrecord");
    let sound: Vec<_> = RecordReader::new(&file[..]).map(Result::unwrap).collect();
    let mut wrong = vec![];
    for (damage, bytes) in damaged(&file) {
        let read: Vec<_> = RecordReader::new(&bytes[..]).map_while(Result::ok).collect();
        let whole = read.len() == sound.len();
        if whole || !sound.starts_with(&read) {
            wrong.push(damage);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[cfg(unix)]
fn a_pipe_is_refused_without_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.ckpt");
    if !std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        println!("skipped: no mkfifo");
        return;
    }
    let error = Checkpoint::open(&pipe).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
}

/// Makes the first data block's checksum match again. Its end is where the meta-index begins, whose offset is the
/// first varint of the footer. The masked checksum itself is part of the format and therefore written out here.
fn repaired(mut file: Vec<u8>) -> Vec<u8> {
    let footer = file.len() - 48;
    let end = file[footer..].iter().take(5).enumerate().try_fold(0usize, |value, (index, &byte)| {
        let value = value | usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 { Err(value) } else { Ok(value) }
    });
    if let Err(end) = end {
        let crc = crc32c::crc32c(&file[..end - 4]).rotate_right(15).wrapping_add(0xa282_ead8);
        file[end - 4..end].copy_from_slice(&crc.to_le_bytes());
    }
    file
}

/// A few bytes of a file replaced, by others that often matter in varints and lengths.
fn mutated(file: Vec<u8>, tail: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(0x7f), Just(0x80), Just(1)];
    vec((0..file.len() - tail, byte), 1..6).prop_map(move |changes| {
        let mut file = file.clone();
        changes.into_iter().for_each(|(position, byte)| file[position] = byte);
        file
    })
}

fn feature() -> impl Strategy<Value = Feature<'static>> {
    prop_oneof![
        vec(vec(any::<u8>(), 0..40).prop_map(Cow::Owned), 0..4).prop_map(Feature::Bytes),
        vec(any::<i64>(), 0..10).prop_map(Feature::Int64),
        vec(-1e30f32..1e30, 0..10).prop_map(Feature::Float),
        Just(Feature::Unset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_v1_file_with_matching_checksums_never_panics(file in mutated(golden("v1.ckpt"), 100)) {
        contents(Checkpoint::from_v1_bytes(repaired(file)));
    }

    #[test]
    fn a_v2_index_with_matching_checksums_never_panics(file in mutated(golden("sharded.ckpt.index"), 100)) {
        let data = [golden("sharded.ckpt.data-00000-of-00002"), golden("sharded.ckpt.data-00001-of-00002")];
        contents(Checkpoint::from_v2_bytes(repaired(file), data.to_vec()));
    }

    #[test]
    fn any_bytes_are_an_example_or_an_error(file in mutated(golden("examples.tfrecord"), 0), cut in 0usize..600) {
        let _ = Example::decode(&file[cut.min(file.len())..]);
        if let Ok(example) = Example::decode(&file[12.min(file.len())..]) {
            let again = example.encode();
            prop_assert_eq!(Example::decode(&again).map(|example| example.encode()), Ok(again.clone()));
        }
    }

    #[test]
    fn any_example_returns(features in proptest::collection::btree_map("[a-zA-Z/_]{0,12}", feature(), 0..6)) {
        let example = features.into_iter().fold(Example::new(), |example, (key, value)| example.with(key, value));
        let bytes = example.encode();
        prop_assert_eq!(Example::decode(&bytes).unwrap(), example);
    }

    #[test]
    fn any_records_return(records in vec(vec(any::<u8>(), 0..100), 0..8)) {
        let mut writer = RecordWriter::new(vec![]);
        let offsets: Vec<u64> = records.iter().map(|record| writer.write(record).unwrap()).collect();
        let file = writer.into_inner();
        prop_assert_eq!(RecordReader::new(&file[..]).map(Result::unwrap).collect::<Vec<_>>(), records.clone());
        let mut reader = RecordReader::new(Cursor::new(&file));
        prop_assert_eq!(reader.index().unwrap(), offsets.clone());
        for (offset, record) in offsets.into_iter().zip(records) {
            prop_assert_eq!(reader.read_at(offset).unwrap(), record);
        }
    }
}
