//! Damaged and hostile files: an error, or the values that were written; never a panic, never zeros, never for long.
#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use torchio::{TensorInfo, TorchError, TorchFile};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/torchio")
}

fn goldens() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

/// What a file gives: its tensors, and the bits of each float one.
type Contents = Vec<(TensorInfo, Result<Vec<u32>, TorchError>)>;

fn contents(bytes: Vec<u8>) -> Result<Contents, TorchError> {
    let mut file = TorchFile::new(Cursor::new(bytes))?;
    let tensors = file.tensors().to_vec();
    let bits = |values: Vec<f32>| values.iter().map(|value| value.to_bits()).collect();
    Ok(tensors.into_iter().map(|info| (info.clone(), file.read_f32(&info.name).map(bits))).collect())
}

/// Where two readings differ: tensors that are not in the sound file like that, and values that were changed.
fn differences(found: &Contents, sound: &Contents) -> (usize, usize) {
    let (mut tensors, mut values) = (found.len().abs_diff(sound.len()), 0);
    for (info, read) in found {
        let Some((_, expected)) = sound.iter().find(|(other, _)| other == info) else {
            tensors += 1;
            continue;
        };
        if let (Ok(read), Ok(expected)) = (read, expected) {
            values += read.iter().zip(expected).filter(|(a, b)| a != b).count();
        }
    }
    (tensors, values)
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let mut wrong = vec![];
    for (name, file) in goldens() {
        for length in 0..file.len() {
            // An archive's values are verified when they are read, but its directory is at the end.
            if contents(file[..length].to_vec()).is_ok() {
                wrong.push(format!("{name} cut at {length}"));
            }
        }
        if contents([&file[..], &[0]].concat()).is_ok() {
            wrong.push(format!("{name} with a byte more"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_flipped_byte_of_a_checksummed_archive_changes_no_value() {
    let mut wrong = vec![];
    for (name, file) in goldens() {
        let sound = contents(file.clone()).unwrap();
        let checksummed = name.starts_with("zip") && !name.contains("without") || name == "checkpoint.pth.tar";
        for position in (0..file.len()).step_by(if checksummed { 1 } else { 64 }) {
            for mask in [1, 0x80, 0xff] {
                let mut bytes = file.clone();
                bytes[position] ^= mask;
                let Ok(found) = contents(bytes) else { continue };
                let (tensors, values) = differences(&found, &sound);
                // Without checksums a flip in a value is seen by nobody, and one in a name or a shape may be a file as
                // good as the one before; but no value of another storage is touched by it (two tensors share one).
                if checksummed && (tensors, values) != (0, 0) || values > 2 {
                    wrong.push(format!("{name}: byte {position} ^ {mask:#x}: {tensors} tensors, {values} values"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A stored-entry archive, with what the case wants to be wrong with it.
#[derive(Clone, Default)]
struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
}

impl Zip {
    fn add(&mut self, name: &str, content: &[u8], change: impl Fn(&mut Vec<u8>, &mut Vec<u8>)) {
        let crc = crc32fast::hash(content);
        let sizes = [crc, content.len() as u32, content.len() as u32].map(u32::to_le_bytes).concat();
        let name_length = (name.len() as u16).to_le_bytes();
        let start = (self.bytes.len() as u32).to_le_bytes();
        let mut local =
            [&b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0"[..], &sizes, &name_length, &[0, 0], name.as_bytes()].concat();
        let mut entry =
            [&b"PK\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0"[..], &sizes, &name_length, &[0; 12], &start, name.as_bytes()]
                .concat();
        change(&mut local, &mut entry);
        self.bytes.extend([&local[..], content].concat());
        self.directory.extend(entry);
        self.entries += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let start = (self.bytes.len() as u32).to_le_bytes();
        self.bytes.extend(&self.directory);
        let (count, size) = (self.entries.to_le_bytes(), (self.directory.len() as u32).to_le_bytes());
        self.bytes.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &size, &start, &[0, 0]].concat());
        self.bytes
    }
}

/// The pickle of `{"w": tensor}` with a storage of `elements` floats, a shape and strides.
fn pickle(elements: u32, offset: u32, shape: [u32; 2], strides: [u32; 2]) -> Vec<u8> {
    let int = |value: u32| [&b"\x8a\x05"[..], &value.to_le_bytes(), &[0]].concat();
    let pair = |[a, b]: [u32; 2]| [int(a), int(b), b"\x86".to_vec()].concat();
    [
        &b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"[..],
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu",
        &int(elements),
        b"tQ",
        &int(offset),
        &pair(shape),
        &pair(strides),
        b"\x89}tRs.",
    ]
    .concat()
}

fn archive(pickle: &[u8], storage: &[u8]) -> Zip {
    let mut zip = Zip::default();
    zip.add("a/data.pkl", pickle, |_, _| {});
    zip.add("a/data/0", storage, |_, _| {});
    zip
}

#[test]
fn a_state_dict_is_found_under_the_keys_of_trainers_and_wrappers() {
    let sound = pickle(6, 0, [2, 3], [3, 1]);
    let storage: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    // The dictionary without the pickle's header and its end, as the value of a key, beside a number.
    let under = |key: &str, dict: &[u8]| {
        let length = (key.len() as u32).to_le_bytes();
        [b"}X", &length[..], key.as_bytes(), dict, b"sX\x05\0\0\0epochK\x07s"].concat()
    };
    let whole = |dict: &[u8]| [b"\x80\x02", dict, b"."].concat();
    let dict = &sound[2..sound.len() - 1];
    let cases = [
        (dict.to_vec(), None, 0),
        (under("state_dict", dict), Some("state_dict"), 1),
        (under("net", dict), Some("net"), 1),
        (under("model_ema", dict), Some("model_ema"), 1),
        (under("model", &under("state_dict", dict)), Some("model.state_dict"), 2),
    ];
    for (dict, key, notes) in cases {
        let bytes = archive(&whole(&dict), &storage).finish();
        let mut file = TorchFile::new(Cursor::new(bytes)).unwrap();
        assert_eq!((file.state_dict_key(), file.notes().len()), (key, notes));
        assert_eq!(file.read_f32("w").unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}

#[test]
fn archives_that_lie_are_refused_for_the_right_reason() {
    let sound = pickle(6, 0, [2, 3], [3, 1]);
    let storage: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    assert_eq!(contents(archive(&sound, &storage).finish()).unwrap()[0].1.as_ref().unwrap().len(), 6);
    let with = |change: fn(&mut Vec<u8>, &mut Vec<u8>)| {
        let mut zip = Zip::default();
        zip.add("a/data.pkl", &sound, |_, _| {});
        zip.add("a/data/0", &storage, change);
        zip.finish()
    };
    let extra = |name: &str| {
        let mut zip = archive(&sound, &storage);
        zip.add(name, b"x", |_, _| {});
        zip.finish()
    };
    let cases: [(&str, Vec<u8>, &str); 17] = [
        ("short storage", archive(&sound, &storage[..20]).finish(), "its size in bytes is 20; expected 6 elements"),
        ("long storage", archive(&sound, &[0; 28]).finish(), "its size in bytes is 28"),
        (
            "no storage",
            {
                let mut zip = Zip::default();
                zip.add("a/data.pkl", &sound, |_, _| {});
                zip.finish()
            },
            "'a/data/0' is missing",
        ),
        ("duplicate", extra("a/data/0"), "is in the archive twice"),
        ("two pickles", extra("b/data.pkl"), "'data.pkl' is in the archive twice"),
        ("zip slip", extra("../../etc/passwd"), "leads out of the archive"),
        ("absolute name", extra("/etc/passwd"), "leads out of the archive"),
        ("encrypted", with(|_, entry| entry[8] = 1), "is encrypted"),
        ("encrypted locally", with(|local, _| local[6] = 1), "encrypted or compressed by its local header"),
        ("deflated", with(|_, entry| entry[10] = 8), "is compressed"),
        ("bomb", with(|_, entry| entry[20] = 1), "the stored size of an entry"),
        ("zip64 lie", with(|_, entry| entry[24..28].fill(0xff)), "announces zip64 sizes and has none"),
        ("other local name", with(|local, _| local[30] = b'b'), "another name in its local header"),
        ("other local size", with(|local, _| local[22] = 1), "a local header's size"),
        (
            "content of another",
            with(|_, entry| {
                entry[42] = 0;
                entry[46..].copy_from_slice(b"a/data/0")
            }),
            "another name",
        ),
        ("beyond", with(|_, entry| entry[45] = 0x7f), "the offset of an entry"),
        ("wrong checksum", with(|_, entry| entry[16] ^= 1), "CRC-32"),
    ];
    let mut wrong = vec![];
    for (what, bytes, expected) in cases {
        let found = match contents(bytes) {
            Ok(found) => found.into_iter().find_map(|(_, values)| values.err()).map(|fault| fault.to_string()),
            Err(fault) => Some(fault.to_string()),
        };
        if !found.as_ref().is_some_and(|found| found.contains(expected)) {
            wrong.push(format!("{what}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn whole_files_of_other_programs_are_named_with_a_remedy() {
    // What torch.jit.save writes: the code is compressed, and the object is of a generated class.
    let object = b"\x80\x02c__torch__.net\nNet\n)\x81.";
    let deflated = |local: &mut Vec<u8>, entry: &mut Vec<u8>| (local[8], entry[10]) = (8, 8);
    let mut script = archive(object, &[]);
    script.add("a/code/__torch__/net.py", b"\x03\0", deflated);
    script.add("a/constants.pkl", b"\x80\x02).", |_, _| {});
    let mut keras = Zip::default();
    keras.add("metadata.json", b"{}", |_, _| {});
    keras.add("model.weights.h5", b"\x89HDF", |_, _| {});
    let mut numpy = Zip::default();
    numpy.add("conv1.npy", b"\x03\0", deflated);
    let cases = [
        ("TorchScript", script.finish(), "TorchScript", "torch.jit.load('FILE').state_dict()"),
        ("Keras 3", keras.finish(), "Keras", "load the model with Keras"),
        ("Keras 2", b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec(), "HDF5", "load the model with Keras"),
        ("numpy", numpy.finish(), ".npz", "torch.save"),
        ("a module", archive(object, &[]).finish(), "__torch__.net.Net", "torch.save(model.state_dict()"),
    ];
    let mut wrong = vec![];
    for (what, bytes, found, remedy) in cases {
        let error = contents(bytes).unwrap_err().to_string();
        if !error.contains(found) || !error.contains(remedy) || error.contains("damaged") {
            wrong.push(format!("{what}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_negated_view_is_read_with_its_sign() {
    let storage: Vec<u8> = (0..6).flat_map(|i| (i as f32 - 2.5).to_le_bytes()).collect();
    // As _rebuild_tensor_v2 gets it from a view with bits: no hooks, then the metadata.
    let with = |metadata: &[u8]| {
        let plain = pickle(6, 0, [2, 3], [3, 1]);
        let end = plain.len() - b"}tRs.".len();
        [&plain[..end], b"}", metadata, b"tRs."].concat()
    };
    let text = |key: &str| [&b"X"[..], &(key.len() as u32).to_le_bytes(), key.as_bytes()].concat();
    let set = |key: &str, value: &[u8]| [&b"}"[..], &text(key), value, b"s"].concat();
    let negated = [2.5, 1.5, 0.5, -0.5, -1.5, -2.5];
    let cases: [(&str, Vec<u8>, Option<f32>); 6] = [
        ("neg", set("neg", b"\x88"), Some(1.0)),
        ("not neg", set("neg", b"\x89"), Some(-1.0)),
        ("conj of a real tensor", set("conj", b"\x88"), Some(-1.0)),
        ("no metadata", b"N".to_vec(), Some(-1.0)),
        ("both", [set("conj", b"\x88"), text("neg"), b"\x88s".to_vec()].concat(), Some(1.0)),
        ("a number for a bit", set("neg", b"K\x01"), None),
    ];
    for (what, metadata, sign) in cases {
        let read = contents(archive(&with(&metadata), &storage).finish());
        let bits = |sign: f32| negated.map(|value: f32| (sign * value).to_bits()).to_vec();
        match (read, sign) {
            (Ok(read), Some(sign)) => assert_eq!(read[0].1.as_ref().unwrap(), &bits(sign), "{what}"),
            (Err(TorchError::Pickle { .. }), None) => {}
            (read, _) => panic!("{what}: {read:?}"),
        }
    }
}

#[test]
fn views_that_reach_out_of_their_storage_are_refused() {
    let storage = [0; 24];
    let cases = [
        ("beyond", pickle(6, 1, [2, 3], [3, 1])),
        ("far offset", pickle(6, u32::MAX, [2, 3], [3, 1])),
        ("many elements", pickle(6, 0, [u32::MAX, u32::MAX], [1, 1])),
        ("one element for all", pickle(6, 0, [1 << 20, 1 << 10], [0, 0])),
        ("overlap", pickle(6, 0, [2, 3], [1, 1])),
        ("huge storage", pickle(u32::MAX, 0, [2, 3], [3, 1])),
    ];
    for (what, pickle) in cases {
        assert!(contents(archive(&pickle, &storage).finish()).is_err(), "{what}");
    }
}

#[test]
fn a_call_repeated_on_a_large_value_costs_it_once() {
    let repeated = |head: &[u8], call: &[u8], times: usize| [head, &call.repeat(times), b"0N."].concat();
    let text = [&b"\x80\x02X\x00\x00\x40\x00"[..], &vec![b'a'; 4 << 20], b"q\x00"].concat();
    let list = [&b"\x80\x02("[..], &b"N".repeat(1 << 17), b"tq\x00"].concat();
    let cases = [
        ("names", repeated(&text, b"h\x00h\x00\x930", 400_000)),
        ("encode", repeated(&text, b"c_codecs\nencode\nh\x00\x85R0", 100_000)),
        ("size", repeated(&list, b"ctorch\nSize\nh\x00\x85R0", 50_000)),
        ("dict", repeated(&list, b"ccollections\nOrderedDict\nh\x00\x85R0", 50_000)),
        ("numpy", repeated(&text, b"cnumpy\ndtype\nh\x00\x85R0", 100_000)),
        ("persistent", repeated(&list, b"h\x00Q0", 100_000)),
        ("build", repeated(&text, b"}h\x00b0", 400_000)),
    ];
    for (what, pickle) in cases {
        let bytes = archive(&pickle, &[]).finish();
        let started = Instant::now();
        assert!(contents(bytes).is_err(), "{what}");
        assert!(started.elapsed() < Duration::from_secs(1), "{what}: {:?}", started.elapsed());
    }
}

#[test]
fn a_file_of_more_tensors_than_any_model_s_is_refused() {
    let pairs: Vec<u8> = (0..=1u32 << 15)
        .flat_map(|i| [&b"X\x04\x00\x00\x00"[..], format!("{i:04x}").as_bytes(), b"K\x00"].concat())
        .collect();
    let pickle = [&b"\x80\x02}("[..], &pairs, b"u."].concat();
    let error = contents(archive(&pickle, &[]).finish()).unwrap_err();
    assert!(matches!(error, TorchError::Limit { what: "the number of tensors", .. }), "{error}");
}

#[test]
#[cfg(unix)]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.pth");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success());
    let paths = [Some(dir.path().to_path_buf()), Some("/dev/zero".into()), made.then_some(pipe)];
    for path in paths.into_iter().flatten() {
        assert!(matches!(TorchFile::open(&path), Err(TorchError::NotAFile)), "{}", path.display());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_few_bytes_replaced_never_panic(
        which in 0usize..10,
        changes in vec((0usize..5000, prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(b'('), Just(b'R')]), 1..6),
    ) {
        let files = goldens();
        let mut file = files[which % files.len()].1.clone();
        for (position, byte) in changes {
            let position = position % file.len();
            file[position] = byte;
        }
        let _ = contents(file);
    }

    #[test]
    fn any_pickle_in_a_sound_archive_never_panics(
        changes in vec((0usize..160, any::<u8>()), 1..6), elements in 0u32..8, offset in 0u32..8,
        shape in any::<[u32; 2]>(), strides in any::<[u32; 2]>(),
    ) {
        let mut pickle = pickle(elements, offset, shape, strides);
        for (position, byte) in changes {
            let position = position % pickle.len();
            pickle[position] = byte;
        }
        let _ = contents(archive(&pickle, &[0; 24]).finish());
    }
}
