//! Files that `reference/torch_golden.py` wrote with PyTorch, and what it says is in them.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use torchio::{Container, DType, Scalar, TorchError, TorchFile};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/torchio").join(name)
}

/// Value i of every float tensor.
fn value(i: usize) -> f32 {
    ((37 * i + 11) % 251) as f32 / 8.0 - 125.0 / 8.0
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(value).collect()
}

#[test]
fn every_tensor_of_both_containers_has_its_values() {
    let transposed: Vec<f32> =
        (0..3).flat_map(|a| (0..4).flat_map(move |b| (0..2).map(move |c| value(6 * b + 2 * a + c)))).collect();

    /// Name, type, shape; the values of floats.
    type Row = (&'static str, DType, &'static [usize], Option<Vec<f32>>);
    let expected: [Row; 13] = [
        ("float32", DType::F32, &[2, 3], Some(values(6))),
        ("float64", DType::F64, &[5], Some(values(5))),
        ("float16", DType::F16, &[2, 2], Some(values(4))),
        ("bfloat16", DType::BF16, &[4], Some(values(4))),
        ("int64", DType::I64, &[3], None),
        ("int32", DType::I32, &[3], None),
        ("uint8", DType::U8, &[3], None),
        ("bool", DType::Bool, &[4], None),
        ("scalar", DType::F32, &[], Some(values(1))),
        ("empty", DType::F32, &[0, 3], Some(vec![])),
        ("transposed", DType::F32, &[3, 4, 2], Some(transposed)),
        ("part", DType::F32, &[6], Some((5..11).map(value).collect())),
        ("parameter", DType::F32, &[2, 3], Some(values(6))),
    ];
    let mut wrong = vec![];
    for (name, container) in [("zip.pth", Container::Zip), ("legacy.pth", Container::Legacy)] {
        let mut file = TorchFile::open(&golden(name)).unwrap();
        assert_eq!(file.container(), container);
        let names: Vec<String> = file.tensors().iter().map(|tensor| tensor.name.clone()).collect();
        assert_eq!(names, expected.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
        for (index, (tensor, dtype, shape, values)) in expected.iter().enumerate() {
            let info = file.tensors()[index].clone();
            let read = file.read_f32(tensor);
            let right = match (&read, values) {
                (Ok(found), Some(values)) => found == values,
                (Err(TorchError::WrongType { .. }), None) => true,
                _ => false,
            };
            if !right || info.dtype != *dtype || info.shape != *shape {
                wrong.push(format!("{name}: {tensor}: {info:?} {read:?}"));
            }
        }
        assert!(matches!(file.read_f32("none"), Err(TorchError::NoSuchTensor { tensors: 13, .. })));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_pickle_protocol_and_an_archive_without_checksums_are_read() {
    let names =
        ["zip-protocol1", "zip-protocol3", "zip-protocol4", "zip-protocol5", "zip-without-crc", "legacy-protocol4"];
    let mut wrong = vec![];
    for name in names {
        let read = TorchFile::open(&golden(&format!("{name}.pth"))).and_then(|mut file| file.read_f32("weight"));
        if !matches!(&read, Ok(found) if *found == values(6)) {
            wrong.push(format!("{name}: {read:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_training_checkpoint_gives_its_state_dict_and_lists_the_rest() {
    for name in ["checkpoint.pth.tar", "checkpoint-legacy.pth.tar"] {
        let mut file = TorchFile::open(&golden(name)).unwrap();
        assert_eq!(file.tensors().len(), 1);
        assert_eq!(file.read_f32("weight").unwrap(), values(6));
        let note = |key: &str| file.notes().iter().find(|note| note.key == key).map(|note| note.value.clone());
        assert_eq!(note("epoch"), Some(Scalar::Int(3)));
        assert_eq!(note("arch"), Some(Scalar::Text("FCN8sAtOnce".into())));
        assert_eq!(note("best_mean_iu"), Some(Scalar::Float(0.625)));
        assert_eq!(note("options"), Some(Scalar::Other("an object of argparse.Namespace".into())));
        assert!(matches!(note("optim_state_dict"), Some(Scalar::Other(text)) if text.contains("dictionary")));
    }
}
