//! `fcn export` and `fcn info` on what it wrote, by the real binary. What the files mean is tested in `fcn-core`, and with
//! onnxruntime and PyTorch in `reference/check_export.py`.

// The functions that set a test up may fail as loudly as the test.
#![allow(clippy::unwrap_used)]

mod program;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use fcn_core::device;
use fcn_core::network::{Backbone, FcnSpec, Geometry, ModelMeta, TrunkShape, Variant};
use fcn_core::network::{Network, NetworkOptions};
use fcn_core::weights::TensorFile;
use fcn_core::weights::{self};
use segdata::image::preprocessing::Preprocessing;
use segdata::labels::Classes;
use serde_json::Value;

/// A folder with `same.safetensors`, `caffe.safetensors` and `bn.safetensors` (caffe, with batch normalisation).
struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Scene {
        let scene = Scene(tempfile::tempdir().unwrap());
        let networks = [
            ("same", Backbone::Vgg16, Geometry::Same),
            ("caffe", Backbone::Vgg16, Geometry::Caffe),
            ("bn", Backbone::Vgg16Bn, Geometry::Caffe),
        ];
        for (name, backbone, geometry) in networks {
            let meta = ModelMeta::fcn(
                FcnSpec {
                    variant: Variant::Fcn8s,
                    backbone,
                    width: 1.0 / 64.0,
                    trunk: TrunkShape::default(),
                    geometry,
                },
                Classes::named(["ground", "disc"]),
                Preprocessing::default(),
            );
            let fcn = Network::init(meta, &NetworkOptions::default(), 0, &device::parse("cpu").unwrap());
            weights::save(&scene.at(&format!("{name}.safetensors")), &fcn).unwrap();
        }
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `fcn` with these words in the folder.
    fn fcn(&self, words: &str) -> Output {
        program::fcn(self.0.path(), words)
    }

    fn json(&self, words: &str) -> Value {
        program::json(self.0.path(), words, 0)
    }

    /// Names of the files in the folder, sorted.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn an_onnx_file_describes_itself_as_the_weights_file_does() {
    let scene = Scene::new();
    let weights = scene.json("info same.safetensors --size 100x200");
    let cases = [
        ("", vec![("image", "F32")], vec![("logits", "F32")]),
        (
            "--softmax --argmax",
            vec![("image", "F32")],
            vec![("logits", "F32"), ("probabilities", "F32"), ("mask", "U8")],
        ),
        ("--embed-preprocessing", vec![("image", "U8")], vec![("mask", "U8")]),
        (
            "--embed-preprocessing --softmax --opset 21",
            vec![("image", "U8")],
            vec![("probabilities", "F32"), ("mask", "U8")],
        ),
    ];
    for (flags, inputs, outputs) in cases {
        let done = scene.json(&format!("export --weights same.safetensors --out m.onnx --force {flags}"));
        let info = scene.json("info m.onnx --size 100x200");
        assert_eq!(info["format"], "onnx");
        assert_eq!(info["metadata"], weights["metadata"], "{flags}");
        assert_eq!(info["cost"], weights["cost"]);
        assert_eq!(info["opsets"]["ai.onnx"], if flags.contains("21") { 21 } else { 17 });
        assert_eq!(done["bytes"], fs::metadata(scene.at("m.onnx")).unwrap().len());
        for (key, expected) in [("inputs", &inputs), ("outputs", &outputs)] {
            let pairs = |value: &Value| {
                let pair =
                    |v: &Value| (v["name"].as_str().unwrap().to_string(), v["dtype"].as_str().unwrap().to_string());
                value[key].as_array().unwrap().iter().map(pair).collect::<Vec<_>>()
            };
            let expected: Vec<_> = expected.iter().map(|(name, kind)| (name.to_string(), kind.to_string())).collect();
            assert_eq!((pairs(&info), pairs(&done)), (expected.clone(), expected), "{flags}");
        }
    }
    let tensors = weights["tensors"].as_array().unwrap();
    let info = scene.json("info m.onnx");
    let of_onnx = |name: &Value| info["tensors"].as_array().unwrap().iter().find(|t| t["name"] == *name).cloned();
    for tensor in tensors {
        let found = of_onnx(&tensor["name"]).unwrap();
        let is_kernel = tensor["name"].as_str().unwrap().starts_with("upscore");
        assert!(is_kernel || found == *tensor, "{tensor} is {found}");
    }
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let scene = Scene::new();
    fs::write(scene.at("m.onnx"), b"mine").unwrap();
    let refused = scene.fcn("export --weights same.safetensors --out m.onnx");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--force"));
    assert_eq!(fs::read(scene.at("m.onnx")).unwrap(), b"mine");
    scene.json("export --weights same.safetensors --out m.onnx --force");
    assert!(fs::metadata(scene.at("m.onnx")).unwrap().len() > 1000);
    // The weights themselves: not even by force.
    let before = fs::read(scene.at("caffe.safetensors")).unwrap();
    let words = "export --weights caffe.safetensors --out ./caffe.safetensors --to pytorch-fcn --force";
    assert_eq!(scene.fcn(words).status.code(), Some(2));
    assert_eq!(fs::read(scene.at("caffe.safetensors")).unwrap(), before);
}

#[test]
fn what_cannot_be_exported_is_refused_and_leaves_nothing() {
    let scene = Scene::new();
    let mut damaged = fs::read(scene.at("same.safetensors")).unwrap();
    let end = damaged.len();
    damaged[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(scene.at("nan.safetensors"), &damaged).unwrap();
    fs::write(scene.at("short.safetensors"), &damaged[..end - 4]).unwrap();
    let before = scene.files();
    let cases = [
        ("a weight that is no number", "nan.safetensors --out x.onnx", 4),
        ("a weights file that is cut off", "short.safetensors --out x.onnx", 4),
        ("weights that are not there", "absent.safetensors --out x.onnx", 5),
        ("a folder that is not there", "same.safetensors --out absent/x.onnx", 5),
        ("an unknown opset", "same.safetensors --out x.onnx --opset 16", 2),
        ("an opset to come", "same.safetensors --out x.onnx --opset 99", 2),
        ("an unknown format", "same.safetensors --out x.onnx --to caffe2", 2),
        ("ONNX under the name of a state dict", "same.safetensors --out x.pth", 2),
        ("a state dict under the name of ONNX", "caffe.safetensors --out x.onnx --to pytorch-fcn", 2),
        ("a state dict with a softmax", "caffe.safetensors --out x.pth --to pytorch-fcn --softmax", 2),
        ("a geometry that pytorch-fcn lacks", "same.safetensors --out x.pth --to pytorch-fcn", 2),
        ("a folder", "same.safetensors --out .", 2),
    ];
    let mut wrong = Vec::new();
    for (what, words, exit) in cases {
        let output = scene.fcn(&format!("export --weights {words}"));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(exit) || text.contains("panicked") || text.is_empty() {
            wrong.push(format!("{what}: exit {:?}, expected {exit}: {text}", output.status.code()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(scene.files(), before);
}

#[cfg(unix)]
#[test]
fn a_process_that_dies_while_writing_leaves_nothing_under_the_name() {
    let scene = Scene::new();
    fs::write(scene.at("old.onnx"), b"old").unwrap();
    // A file may have 8 blocks; the signal for one more kills the process in the middle of the weights.
    for name in ["new.onnx", "old.onnx"] {
        let script =
            format!("ulimit -c 0; ulimit -f 8; exec \"$0\" export --weights same.safetensors --force --out {name}");
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_fcn")])
            .current_dir(scene.0.path())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{name}");
    }
    assert!(!scene.at("new.onnx").exists());
    assert_eq!(fs::read(scene.at("old.onnx")).unwrap(), b"old");
}

#[test]
fn state_dicts_hold_the_weights_under_the_other_names() {
    let scene = Scene::new();
    scene.json("export --weights caffe.safetensors --out p.safetensors --to pytorch-fcn");
    let (ours, theirs) = (
        TensorFile::open(&scene.at("caffe.safetensors")).unwrap(),
        TensorFile::open(&scene.at("p.safetensors")).unwrap(),
    );
    let names = |file: &TensorFile| {
        let mut names: Vec<String> = file.tensors().map(|(name, _)| name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&ours), names(&theirs));
    for name in names(&ours) {
        assert_eq!(ours.read(&name).unwrap(), theirs.read(&name).unwrap(), "{name}");
    }

    let done = scene.json("export --weights caffe.safetensors --out t.safetensors --to torchvision");
    assert_eq!((&done["format"], done["left_out"].as_array().unwrap().len()), (&"safetensors".into(), 7));
    let theirs = TensorFile::open(&scene.at("t.safetensors")).unwrap();
    assert_eq!(theirs.metadata(), ours.metadata());
    for (name, own) in [("features.28.weight", "conv5_3.weight"), ("classifier.0.weight", "fc6.weight")] {
        assert_eq!(theirs.read(name).unwrap(), ours.read(own).unwrap(), "{name}");
    }

    for to in ["torchvision", "pytorch-fcn"] {
        let done = scene.json(&format!("export --weights bn.safetensors --out {to}.pth --to {to}"));
        let notes = done["notes"].to_string();
        assert!(notes.contains("folded") && notes.contains("loads into"), "{notes}");
        let file = fs::read(scene.at(&format!("{to}.pth"))).unwrap();
        assert_eq!(&file[..4], b"PK\x03\x04");
        let info = scene.json(&format!("info {to}.pth"));
        assert_eq!((&info["format"], &info["tensors"][0]["dtype"]), (&"pytorch".into(), &"F32".into()));
        assert!(info["metadata"]["names"].as_str().unwrap().contains(to), "{}", info["metadata"]);
    }
}

#[test]
fn what_was_exported_can_be_imported() {
    let scene = Scene::new();
    scene.json("export --weights caffe.safetensors --out p.pth --to pytorch-fcn");
    scene.json("import p.pth --out back.safetensors");
    let open = |name: &str| TensorFile::open(&scene.at(name)).unwrap();
    let (before, after) = (open("caffe.safetensors"), open("back.safetensors"));
    let tensors: Vec<(String, Vec<usize>)> =
        before.tensors().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
    assert_eq!(tensors.len(), after.tensors().count());
    for (name, _) in tensors {
        assert_eq!(before.read(&name).unwrap(), after.read(&name).unwrap(), "{name}");
    }
}

#[test]
fn info_fits_on_a_screen_and_tells_all_when_asked() {
    let scene = Scene::new();
    scene.json("export --weights same.safetensors --out m.onnx");
    for file in ["same.safetensors", "bn.safetensors", "m.onnx"] {
        let text = |flags: &str| String::from_utf8(scene.fcn(&format!("info {file} {flags}")).stdout).unwrap();
        let short = text("");
        assert!(short.lines().count() <= 24, "{file}:\n{short}");
        for told in
            ["FCN-8s on vgg16", "2: ground, disc", "RGB", "GFLOPs", "conv1_1.weight", "parameters", "-v shows all"]
        {
            assert!(short.contains(told), "{file} does not tell {told}:\n{short}");
        }
        let long = text("-v");
        for told in ["palette", "conv4_2.weight"] {
            assert!(long.contains(told) && !short.contains(told), "{file}: {told}");
        }
    }
    fs::write(scene.at("words.onnx"), b"hello").unwrap();
    assert_eq!(scene.fcn("info words.onnx").status.code(), Some(4));
}
