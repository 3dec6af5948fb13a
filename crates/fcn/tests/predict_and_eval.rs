//! `fcn predict`, `fcn eval` and `fcn info`, by the real binary on a data set drawn here and a network with fresh weights.

// The functions that set a test up may fail as loudly as the test.
#![allow(clippy::unwrap_used)]

mod program;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fcn_core::device;
use fcn_core::network::{Backbone, FcnSpec, Geometry, ModelMeta, TrunkShape, Variant};
use fcn_core::network::{Network, NetworkOptions};
use fcn_core::weights::{self};
use program::stderr;
use segdata::files::npy;
use segdata::image::preprocessing::Preprocessing;
use segdata::image::{RgbImage, encode_mask_png};
use segdata::labels::{Classes, LabelMap, VOID};
use segdata::size::Size;
use serde_json::Value;

/// A folder with `w.safetensors`, three photographs in `in/`, and a VOC root `voc/` of the same three.
struct Scene(tempfile::TempDir);

const IDS: [&str; 3] = ["one", "two", "three"];

impl Scene {
    fn new() -> Scene {
        let scene = Scene(tempfile::tempdir().unwrap());
        let meta = ModelMeta::fcn(
            FcnSpec {
                variant: Variant::Fcn8s,
                backbone: Backbone::Vgg16,
                width: 1.0 / 64.0,
                trunk: TrunkShape::default(),
                geometry: Geometry::Same,
            },
            Classes::named(["ground", "disc"]),
            Preprocessing::default(),
        );
        let fcn = Network::init(meta.clone(), &NetworkOptions::default(), 0, &device::parse("cpu").unwrap());
        weights::save(&scene.at("w.safetensors"), &fcn).unwrap();
        for folder in ["in", "voc/JPEGImages", "voc/SegmentationClass", "voc/ImageSets/Segmentation"] {
            fs::create_dir_all(scene.at(folder)).unwrap();
        }
        for (i, id) in IDS.iter().enumerate() {
            let (width, height) = (40 + 7 * i, 33 + i);
            let jpeg = photograph(width, height).to_jpeg(90).unwrap();
            fs::write(scene.at(&format!("in/{id}.jpg")), &jpeg).unwrap();
            fs::write(scene.at(&format!("voc/JPEGImages/{id}.jpg")), &jpeg).unwrap();
            let mut truth = LabelMap::filled(Size { width, height }, 0);
            truth.ids[..90].fill(1);
            truth.ids[90..120].fill(VOID);
            let png = encode_mask_png(&truth, &meta.classes).unwrap();
            fs::write(scene.at(&format!("voc/SegmentationClass/{id}.png")), png).unwrap();
        }
        fs::write(scene.at("voc/ImageSets/Segmentation/val.txt"), IDS.join("\n")).unwrap();
        fs::write(scene.at("voc/ImageSets/Segmentation/none.txt"), "").unwrap();
        fs::write(scene.at("voc/classes.txt"), meta.classes.to_text()).unwrap();
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `fcn` with these words in the folder.
    fn fcn(&self, words: &str) -> Output {
        program::fcn(self.0.path(), words)
    }

    fn json(&self, words: &str, exit: i32) -> Value {
        program::json(self.0.path(), words, exit)
    }
}

fn photograph(width: usize, height: usize) -> RgbImage {
    RgbImage { width, height, rgb_hwc: (0..width * height * 3).map(|i| (i * 7 % 251) as u8).collect() }
}

/// A PNG whose header promises 65,500 x 65,500 pixels.
fn bomb() -> Vec<u8> {
    let mut png = photograph(1, 1).to_png().unwrap();
    png[16..20].copy_from_slice(&65_500u32.to_be_bytes());
    png[20..24].copy_from_slice(&65_500u32.to_be_bytes());
    png
}

#[test]
fn bad_photographs_are_named_and_the_others_are_done() {
    let scene = Scene::new();
    fs::write(scene.at("in/zero.jpg"), b"").unwrap();
    fs::write(scene.at("in/text.png"), b"hello").unwrap();
    fs::write(scene.at("in/bomb.png"), bomb()).unwrap();
    let result = scene.json("predict in --weights w.safetensors --out out --save-probabilities", 8);
    assert_eq!(result["images"], 3);
    let mut named: Vec<&str> =
        result["skipped"].as_array().unwrap().iter().map(|s| s["input"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, ["in/bomb.png", "in/text.png", "in/zero.jpg"]);
    for (i, id) in IDS.iter().enumerate() {
        let (shape, values) = npy::read(&scene.at(&format!("out/{id}.npy"))).unwrap();
        assert_eq!(shape, [2, 33 + i, 40 + 7 * i]);
        assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
        for end in [".png", "_overlay.jpg"] {
            assert!(scene.at(&format!("out/{id}{end}")).is_file(), "{id}{end}");
        }
    }
    let strict = scene.fcn("predict in --weights w.safetensors --out out2 --strict");
    assert_eq!(strict.status.code(), Some(3), "{}", stderr(&strict));
}

/// A GIF of `frames` frames of one pixel.
fn gif(frames: usize) -> Vec<u8> {
    let frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0";
    [b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".as_slice(), &frame.repeat(frames), b";"].concat()
}

#[test]
fn what_a_folder_holds_besides_photographs_is_counted() {
    let scene = Scene::new();
    let files: [(&str, &[u8]); 6] = [
        ("._one.jpg", b"\0\x05\x16\x07"),
        ("clip.mp4", b"\0\0\0\x20ftypisom"),
        ("again.MP4", b"\0\0\0\x20ftypisom"),
        ("notes", b"x"),
        ("moves.gif", &gif(3)),
        ("four.jfif", &photograph(20, 20).to_jpeg(90).unwrap()),
    ];
    files.iter().for_each(|(name, bytes)| fs::write(scene.at(&format!("in/{name}")), bytes).unwrap());
    let out = scene.fcn("predict in --weights w.safetensors --out out --no-overlay");
    let said = stderr(&out);
    assert_eq!(out.status.code(), Some(0), "{said}");
    assert!(said.contains("3 files were left out, by ending: .mp4: 2, no ending: 1"), "{said}");
    assert!(said.contains("in/moves.gif holds 3 frames or pages, of which the first was read"), "{said}");
    assert!(scene.at("out/four.png").is_file() && scene.at("out/moves.png").is_file());
    let result = scene.json("predict in/clip.mp4 in/one.jpg --weights w.safetensors --out out", 8);
    assert!(result["skipped"][0]["reason"].as_str().unwrap().contains("an MPEG-4 video"), "{result}");
    assert!(result["skipped"][0]["hint"].as_str().unwrap().contains("`ffmpeg -i IN"), "{result}");
}

#[test]
fn the_scale_of_16_bits_is_asked_for_and_kept() {
    let scene = Scene::new();
    let samples: Vec<u16> = (0..20 * 20).map(|i| i * 37 % 4096).collect();
    let deep = [b"P5 20 20 65535\n".to_vec(), samples.iter().flat_map(|v| v.to_be_bytes()).collect()].concat();
    let eight = samples.iter().map(|&v| ((u32::from(v) * 255 + 2047) / 4095) as u8).collect();
    fs::write(scene.at("deep.pgm"), deep).unwrap();
    fs::write(scene.at("eight.pgm"), [b"P5 20 20 255\n".to_vec(), eight].concat()).unwrap();
    let refused = scene.fcn("predict deep.pgm --weights w.safetensors --out out --strict");
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(["of 65535", "--scale-16bit 12", "--scale-16bit full"].iter().all(|words| said.contains(words)), "{said}");
    let predict = "predict deep.pgm eight.pgm --weights w.safetensors --out out --save-probabilities --scale-16bit";
    scene.json(&format!("{predict} 12"), 0);
    let probabilities = |name: &str| npy::read(&scene.at(&format!("out/{name}.npy"))).unwrap();
    assert_eq!(probabilities("deep"), probabilities("eight"));
    assert_eq!(scene.fcn(&format!("{predict} 7")).status.code(), Some(2));
}

#[test]
fn what_cannot_end_well_is_refused_before_any_work() {
    let scene = Scene::new();
    fs::write(scene.at("in/one.png"), photograph(5, 5).to_png().unwrap()).unwrap();
    fs::create_dir(scene.at("png")).unwrap();
    fs::write(scene.at("png/a.png"), photograph(5, 5).to_png().unwrap()).unwrap();
    let mut damaged = fs::read(scene.at("w.safetensors")).unwrap();
    let end = damaged.len();
    damaged[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(scene.at("nan.safetensors"), damaged).unwrap();
    let cases = [
        ("two results of one name", "predict in --weights w.safetensors --out out", 2),
        ("a result on a photograph", "predict png --weights w.safetensors --out png", 2),
        ("a pattern without a file", "predict in/*.bmp --weights w.safetensors --out out", 3),
        ("a file that is not there", "predict in/four.jpg --weights w.safetensors --out out", 5),
        ("weights that are not there", "predict in/two.jpg --weights x.safetensors --out out", 5),
        ("weights that are not finite", "predict in/two.jpg --weights nan.safetensors --out out", 4),
        ("a flag with a typo", "predict in/two.jpg --wieghts w.safetensors --out out", 2),
        ("an empty split", "eval --weights w.safetensors --data voc --split none", 3),
        ("a split that is not there", "eval --weights w.safetensors --data voc --split test", 3),
        ("nothing to score", "eval", 2),
        ("half a pair", "eval --predictions in", 2),
    ];
    let mut wrong = Vec::new();
    for (what, words, exit) in cases {
        let output = scene.fcn(words);
        let text = stderr(&output);
        if output.status.code() != Some(exit) || text.contains("panicked") || text.is_empty() {
            wrong.push(format!("{what}: exit {:?}, expected {exit}: {text}", output.status.code()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!scene.at("out").exists());
}

#[test]
fn stdin_and_the_photographs_own_folder_are_fine() {
    let scene = Scene::new();
    let before = fs::read(scene.at("in/one.jpg")).unwrap();
    let output = scene.fcn("predict in --weights w.safetensors --out in");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read(scene.at("in/one.jpg")).unwrap(), before);
    let mut child = Command::new(env!("CARGO_BIN_EXE_fcn"))
        .args(["predict", "-", "--weights", "w.safetensors", "--out", "piped"])
        .current_dir(scene.0.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&before).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read(scene.at("piped/stdin.png")).unwrap(), fs::read(scene.at("in/one.png")).unwrap());
}

#[test]
fn label_files_take_the_place_of_masks_and_are_not_replaced_by_accident() {
    let scene = Scene::new();
    for (format, file, common) in [
        ("coco", "annotations.json", "annotations.json"),
        ("labelme", "one.json", "classes.txt"),
        ("cvat", "annotations.xml", "annotations.xml"),
        ("yolo", "labels/one.txt", "data.yaml"),
    ] {
        let words = format!("predict in --weights w.safetensors --out {format} --format {format}");
        let result = scene.json(&words, 0);
        assert_eq!(result["written"][0]["labels"], format!("{format}/{file}"));
        assert!(result["written"][0].get("mask").is_none());
        for name in [file, common, "classes.txt", "one_overlay.jpg"] {
            assert!(scene.at(&format!("{format}/{name}")).is_file(), "{format}/{name}");
        }
        assert!(!scene.at(&format!("{format}/one.png")).exists());
        let again = scene.fcn(&words);
        assert!(again.status.code() == Some(2) && stderr(&again).contains("--force"), "{}", stderr(&again));
        scene.json(&format!("{words} --force"), 0);
    }
    for (simplify, format) in [("1", "coco"), ("1", "png"), ("-1", "yolo"), ("NaN", "cvat")] {
        let out =
            scene.fcn(&format!("predict in --weights w.safetensors --out x --format {format} --simplify={simplify}"));
        assert!(out.status.code() == Some(2) && stderr(&out).contains("--simplify"), "{format}: {}", stderr(&out));
    }
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_unicode_keeps_its_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new();
    let name = |bytes: &'static [u8]| Path::new(std::ffi::OsStr::from_bytes(bytes)).to_path_buf();
    fs::create_dir(scene.at("odd")).unwrap();
    fs::write(scene.at("odd").join(name(b"caf\xe9.jpg")), photograph(9, 9).to_jpeg(90).unwrap()).unwrap();
    let output = scene.fcn("predict odd --weights w.safetensors --out out");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(scene.at("out").join(name(b"caf\xe9.png")).is_file());
}

#[test]
fn scores_are_the_same_bits_for_any_number_of_threads_and_for_the_saved_masks() {
    let scene = Scene::new();
    let words = "eval --weights w.safetensors --data voc --save-predictions masks --threads";
    let (one, two) = (scene.json(&format!("{words} 1"), 0), scene.json(&format!("{words} 2"), 0));
    assert_eq!(one, two);
    let masks = scene.json("eval --predictions masks --truth voc/SegmentationClass", 0);
    for key in
        ["images", "pixel_accuracy", "mean_accuracy", "miou", "fw_iou", "boundary_iou", "mean_image_iou", "confusion"]
    {
        assert!(!one[key].is_null(), "{key}");
        assert_eq!(one[key], masks[key], "{key}");
    }
    assert_eq!(one["void_pixels"], 90);
    assert_eq!(one["per_class"][1]["name"], "disc");
    assert_eq!(one["per_class"][1]["pixels"], 270);
    // Fresh score layers are zero: all scores are equal, and the lowest id wins.
    assert_eq!(one["per_class"][1]["iou"], 0.0);

    fs::remove_file(scene.at("masks/two.png")).unwrap();
    let fewer = scene.json("eval --predictions masks --truth voc/SegmentationClass", 8);
    assert_eq!((&fewer["images"], &fewer["skipped"][0]["id"]), (&2.into(), &"two".into()));
    fs::write(scene.at("ids.txt"), "one\nthree\n").unwrap();
    assert_eq!(scene.json("eval --predictions masks --truth voc/SegmentationClass --ids ids.txt", 0)["images"], 2);
}

#[test]
fn a_data_set_is_converted_to_every_form_and_back_to_the_same_records() {
    let scene = Scene::new();
    let records = |data: &str, out: &str| {
        let report = scene.json(&format!("convert {data} --out {out} --splits val --min-size 1 --shards 1"), 0);
        assert_eq!((&report["to"], &report["splits"][0]["written"]), (&"records".into(), &3.into()));
        let mut ids: Value =
            serde_json::from_slice(&fs::read(scene.at(&format!("{out}/dataset.json"))).unwrap()).unwrap();
        (ids["splits"][0]["pixels_by_class"].take(), ids["splits"][0]["void_pixels"].take(), ids["classes"].take())
    };
    let expected = records("voc", "records");
    for (to, layout) in [("voc", "voc"), ("folder", "nested"), ("coco", "coco")] {
        let words = format!("convert voc --out to-{to} --to {to} --splits val");
        let report = scene.json(&words, 0);
        assert_eq!(
            (&report["to"], &report["layout"], &report["splits"][0]["written"]),
            (&to.into(), &"voc".into(), &3.into())
        );
        assert_eq!(scene.json(&format!("check to-{to} --split val"), 0)["layout"], layout);
        assert_eq!(records(&format!("to-{to}"), &format!("{to}-records")), expected, "{to}");
        let again = scene.fcn(&words);
        assert!(again.status.code() == Some(2) && stderr(&again).contains("--force"), "{}", stderr(&again));
        scene.json(&format!("{words} --force"), 0);
    }
    for (words, part) in [
        ("convert voc --out x --to coco --splits val --shards 2", "--shards"),
        ("convert voc --out x --to folder --splits none", "`--to voc`"),
        ("convert voc --out in --to coco --splits val", "--out"),
    ] {
        let output = scene.fcn(words);
        assert!(output.status.code() == Some(2) && stderr(&output).contains(part), "{words}: {}", stderr(&output));
    }
}

#[test]
fn info_tells_files_folders_and_data_sets_apart() {
    let scene = Scene::new();
    let weights = scene.json("info w.safetensors --size 64x64", 0);
    assert_eq!(weights["format"], "weights");
    assert_eq!(weights["metadata"]["variant"], "8s");
    assert!(weights["parameters"].as_u64().unwrap() > 0 && weights["tensors"][0]["shape"].is_array());
    let data = scene.json("info voc", 0);
    assert_eq!((&data["format"], &data["splits"][1]["images"]), (&"data set".into(), &3.into()));
    assert_eq!(scene.fcn("info in").status.code(), Some(3));
    assert_eq!(scene.fcn("info absent").status.code(), Some(5));
}
