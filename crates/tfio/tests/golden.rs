//! Files that TensorFlow 2.21 wrote (`reference/tfio_golden.py`), read with the public interface.

use std::fs;
use std::path::{Path, PathBuf};

use tfio::checkpoint::{DType, Fault, Version};
use tfio::{Checkpoint, Example, Feature, RecordReader, RecordWriter};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tfio").join(name)
}

/// Value i of every tensor, times 8, as the script computes it.
fn eighths(count: usize) -> impl Iterator<Item = i64> {
    (0..count as i64).map(|index| (37 * index + 11) % 251 - 125)
}

fn floats(count: usize) -> Vec<f32> {
    eighths(count).map(|value| value as f32 / 8.0).collect()
}

/// Integers of a type wrap as numpy casts them.
fn integers(count: usize, dtype: DType) -> Vec<i64> {
    eighths(count).map(|value| if dtype == DType::U8 { value & 255 } else { value }).collect()
}

type Listing = Vec<(String, String, Vec<usize>)>;

/// Names, types and shapes in the order of the file, and a message for each tensor whose values differ.
fn contents(checkpoint: &Checkpoint) -> (Listing, Vec<String>) {
    let mut wrong = vec![];
    for tensor in checkpoint.tensors() {
        let count = tensor.shape.iter().product();
        match tensor.dtype {
            DType::F32 | DType::F64 | DType::F16 | DType::BF16 => match checkpoint.read_f32(&tensor.name) {
                Ok(found) if found == floats(count) => {}
                found => wrong.push(format!("{}: {found:?}", tensor.name)),
            },
            DType::Other(_) => {}
            _ => match checkpoint.read_i64(&tensor.name) {
                Ok(found) if found == integers(count, tensor.dtype) => {}
                found => wrong.push(format!("{}: {found:?}", tensor.name)),
            },
        }
    }
    let infos = checkpoint.tensors().iter();
    (infos.map(|info| (info.name.clone(), info.dtype.to_string(), info.shape.clone())).collect(), wrong)
}

fn listed(tensors: &[(&str, &str, &[usize])]) -> Listing {
    tensors.iter().map(|(name, dtype, shape)| (name.to_string(), dtype.to_string(), shape.to_vec())).collect()
}

#[test]
fn records_are_read_and_written_byte_for_byte() {
    let bytes = fs::read(golden("examples.tfrecord")).unwrap();
    let records: Vec<_> = RecordReader::new(&bytes[..]).collect::<Result<_, _>>().unwrap();
    let examples: Vec<_> = records.iter().map(|record| Example::decode(record).unwrap()).collect();
    let pixels: Vec<u8> = (0..=255).chain(0..=255).collect();
    assert_eq!(examples[0].bytes("image").unwrap(), pixels);
    assert_eq!(examples[0].int64("height").unwrap(), 16);
    assert_eq!(examples[1].int64_list("a").unwrap(), [-1, 0, i64::MAX, i64::MIN]);
    assert_eq!(examples[1].float_list("b").unwrap(), [0.0, -0.0, 1.5, f32::INFINITY, f32::MAX]);
    assert_eq!(examples[1].get("empty_float"), Some(&Feature::Float(vec![])));
    assert_eq!(examples[1].get("unset"), Some(&Feature::Unset));
    assert_eq!(examples[2].features().len(), 0);
    let mut writer = RecordWriter::new(vec![]);
    for example in &examples {
        writer.write(&example.encode()).unwrap();
    }
    assert!(writer.into_inner() == bytes, "our encoding differs from TensorFlow's");
}

#[test]
fn a_v1_checkpoint_has_tensorflows_values() {
    let checkpoint = Checkpoint::open(&golden("v1.ckpt")).unwrap();
    assert_eq!(checkpoint.version(), Version::V1);
    let (tensors, wrong) = contents(&checkpoint);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let expected = listed(&[
        ("columns", "float32", &[3, 7]),
        ("empty", "float32", &[0, 3]),
        ("global_step", "int64", &[]),
        ("net/float16", "float16", &[3, 4, 5]),
        ("net/float32", "float32", &[3, 4, 5]),
        ("net/float64", "float64", &[3, 4, 5]),
        ("net/int16", "int16", &[3, 4, 5]),
        ("net/int32", "int32", &[3, 4, 5]),
        ("net/int64", "int64", &[3, 4, 5]),
        ("net/int8", "int8", &[3, 4, 5]),
        ("net/uint8", "uint8", &[3, 4, 5]),
        ("rows", "float32", &[7, 3]),
    ]);
    assert_eq!(tensors, expected);
}

#[test]
fn a_v2_checkpoint_has_tensorflows_values() {
    for name in ["v2.ckpt", "v2.ckpt.index"] {
        let checkpoint = Checkpoint::open(&golden(name)).unwrap();
        assert_eq!(checkpoint.version(), Version::V2);
        let (tensors, wrong) = contents(&checkpoint);
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        let expected = listed(&[
            ("columns", "float32", &[3, 7]),
            ("empty", "float32", &[0, 3]),
            ("global_step", "int64", &[]),
            ("net/bfloat16", "bfloat16", &[3, 4, 5]),
            ("net/float16", "float16", &[3, 4, 5]),
            ("net/float32", "float32", &[3, 4, 5]),
            ("net/float64", "float64", &[3, 4, 5]),
            ("net/int16", "int16", &[3, 4, 5]),
            ("net/int32", "int32", &[3, 4, 5]),
            ("net/int64", "int64", &[3, 4, 5]),
            ("net/int8", "int8", &[3, 4, 5]),
            ("net/uint8", "uint8", &[3, 4, 5]),
            ("rows", "float32", &[7, 3]),
        ]);
        assert_eq!(tensors, expected, "{name}");
    }
}

#[test]
fn slices_in_two_data_files_are_joined() {
    let (tensors, wrong) = contents(&Checkpoint::open(&golden("sharded.ckpt")).unwrap());
    assert!(wrong.is_empty(), "{wrong:#?}");
    let expected = listed(&[
        ("first", "float32", &[5]),
        ("long", "int8", &[8300]),
        ("second", "float64", &[2, 2]),
        ("sliced", "float32", &[6, 2]),
    ]);
    assert_eq!(tensors, expected);
}

#[test]
fn an_object_checkpoint_lists_its_graph_and_reads_its_variables() {
    let checkpoint = Checkpoint::open(&golden("object.ckpt")).unwrap();
    let (tensors, wrong) = contents(&checkpoint);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let expected = listed(&[
        ("_CHECKPOINTABLE_OBJECT_GRAPH", "string", &[]),
        ("kernel/.ATTRIBUTES/VARIABLE_VALUE", "float32", &[2, 3]),
        ("save_counter/.ATTRIBUTES/VARIABLE_VALUE", "int64", &[]),
    ]);
    let names = |tensors: &[(String, String, Vec<usize>)]| tensors.iter().map(|t| t.0.clone()).collect::<Vec<_>>();
    assert!(names(&tensors).iter().all(|name| names(&expected).contains(name)), "{tensors:?}");
    let error = checkpoint.read_f32("_CHECKPOINTABLE_OBJECT_GRAPH").unwrap_err();
    assert!(error.to_string().ends_with("holds string, expected float32, float64, float16 or bfloat16"), "{error}");
}

#[test]
fn a_permuted_tensor_is_numpys_transpose() {
    let shape = [3, 4, 5];
    let axes: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut wrong = vec![];
    for file in ["v1.ckpt", "v2.ckpt"] {
        let checkpoint = Checkpoint::open(&golden(file)).unwrap();
        for axes in axes {
            let values = floats(60);
            let mut expected = vec![];
            let [a, b, c] = axes.map(|axis| shape[axis]);
            for place in (0..a * b * c).map(|index| [index / (b * c), index / c % b, index % c]) {
                let mut source = [0; 3];
                axes.iter().zip(place).for_each(|(&axis, coordinate)| source[axis] = coordinate);
                expected.push(values[(source[0] * 4 + source[1]) * 5 + source[2]]);
            }
            if checkpoint.read_f32_permuted("net/float32", &axes).unwrap() != expected {
                wrong.push((file, axes));
            }
        }
        let columns = checkpoint.read_f32_permuted("columns", &[1, 0]).unwrap();
        let expected: Vec<f32> = (0..21).map(|index| floats(21)[index % 3 * 7 + index / 3]).collect();
        assert_eq!(columns, expected, "{file}");
        for axes in [&[0, 1][..], &[0, 0, 1], &[1, 2, 3]] {
            let error = checkpoint.read_f32_permuted("net/float32", axes).unwrap_err();
            assert!(matches!(error.fault, Fault::Axes { .. }), "{error}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_is_no_checkpoint_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(golden("v2.ckpt.index"), dir.path().join("alone.ckpt.index")).unwrap();
    let open = |path: &Path| Checkpoint::open(path).unwrap_err().to_string();
    let cases = [
        (open(&golden("nothing.ckpt")), "nothing.ckpt: byte 0: cannot read: No such file"),
        (open(dir.path()), "not a regular file: name a V1 file, or a V2 checkpoint's prefix or .index file"),
        (open(&golden("v2.ckpt.data-00000-of-00001")), "V2: name the prefix or the .index file, not .data or .meta"),
        (open(&dir.path().join("alone.ckpt")), "alone.ckpt.data-00000-of-00001: byte 0: cannot read: No such file"),
        (
            Checkpoint::open(&golden("v1.ckpt")).unwrap().read_f32("net").unwrap_err().to_string(),
            "there is no tensor 'net' among the checkpoint's 12 tensors",
        ),
        (
            Checkpoint::open(&golden("v1.ckpt")).unwrap().read_f32("global_step").unwrap_err().to_string(),
            "tensor 'global_step' holds int64, expected float32, float64, float16 or bfloat16",
        ),
    ];
    let wrong: Vec<_> = cases.iter().filter(|(found, expected)| !found.contains(expected)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
