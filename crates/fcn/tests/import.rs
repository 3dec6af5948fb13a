//! Weights from elsewhere through the binary: import, training from them, and in stages.
#![allow(clippy::unwrap_used)]

mod program;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use program::{assert_code, stderr};
use segdata::synthetic::{DrawOptions, draw_dataset};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/import").join(name)
}

fn fcn(words: &str, dir: &Path) -> Output {
    let words = words.split(' ').map(|word| word.replace("DIR", &dir.to_string_lossy()));
    Command::new(env!("CARGO_BIN_EXE_fcn")).args(words).output().unwrap()
}

/// A folder with a drawn data set and the golden files.
fn bench() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    draw_dataset(&folder.path().join("data"), &DrawOptions { train: 4, val: 2, ..DrawOptions::default() }).unwrap();
    for name in ["vgg_16.ckpt", "vgg16.pth", "fcn8s.pth"] {
        std::fs::copy(golden(name), folder.path().join(name)).unwrap();
    }
    folder
}

const TRAIN: &str =
    "train --data DIR/data --width 0.046875 --steps 2 --batch 1 --crop 64 --validate-every 2 --save-every 2";

#[test]
fn an_import_says_what_it_took_and_scripts_get_one_document() {
    let folder = bench();
    let dir = folder.path();
    let output = fcn("import DIR/vgg_16.ckpt --out DIR/w.safetensors", dir);
    assert_code(&output, 0);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["TensorFlow V1 checkpoint", "30 tensors", "vgg_16/fc8/", "ImageNet's 1000 classes", "vgg_16/mean_rgb"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let output = fcn("import DIR/fcn8s.pth --out DIR/w.safetensors --json", dir);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["variant"], &report["contents"]), (&"8s".into(), &"network".into()));
    assert_eq!(report["taken"].as_array().unwrap().len(), 39);
    assert_eq!(report["preprocessing"]["channels"], "BGR");
}

#[test]
fn faults_of_an_import_have_their_exit_codes_and_cost_no_time() {
    let folder = bench();
    let dir = folder.path();
    std::fs::write(dir.join("cut.pth"), &std::fs::read(golden("fcn8s.pth")).unwrap()[..9000]).unwrap();
    std::fs::write(
        dir.join("evil.pth"),
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.cos\nsystem\n(S'touch x'\ntR.",
    )
    .unwrap();
    std::fs::write(
        dir.join("long.pth"),
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.X\xff\xff\xff\xffa",
    )
    .unwrap();
    let cases = [
        ("import DIR/vgg16.pth --out DIR/w.safetensors", 2, "--input-convention"),
        ("import DIR/vgg16.pth --out DIR/w.safetensors --input-convention cafe", 2, "cafe"),
        ("import DIR/cut.pth --out DIR/w.safetensors", 4, "cut off"),
        ("import DIR/evil.pth --out DIR/w.safetensors", 4, "os.system"),
        ("import DIR/long.pth --out DIR/w.safetensors", 4, "4294967295 bytes are announced"),
        ("import DIR --out DIR/w.safetensors", 4, "not a regular file"),
        ("import DIR/none.pth --out DIR/w.safetensors", 5, "none.pth"),
        ("import /dev/zero --out DIR/w.safetensors", 4, "not a regular file"),
    ];
    let mut findings = Vec::new();
    for (words, code, part) in cases {
        let started = Instant::now();
        let output = fcn(words, dir);
        if output.status.code() != Some(code) || !stderr(&output).contains(part) || dir.join("w.safetensors").exists() {
            findings.push(format!("{words}: {:?} {}", output.status.code(), stderr(&output)));
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{words}: {:?}", started.elapsed());
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn training_starts_from_a_foreign_file_with_its_input_convention() {
    let folder = bench();
    let dir = folder.path();
    let output = fcn(&format!("{TRAIN} --run DIR/run --init DIR/vgg_16.ckpt"), dir);
    assert_code(&output, 0);
    let said = stderr(&output);
    for part in ["imported ", "these layers start anew: score_fr, score_pool4, score_pool3"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let config = std::fs::read_to_string(dir.join("run/config.toml")).unwrap();
    assert!(config.contains("mean = [123.6") && config.contains("std = [1.0, 1.0, 1.0]"), "{config}");
    // The same command goes on, and the conversion is there.
    let again =
        fcn(&format!("{TRAIN} --run DIR/run --init DIR/vgg_16.ckpt --resume").replace("--steps 2", "--steps 3"), dir);
    assert_code(&again, 0);
    let second = fcn(&format!("{TRAIN} --run DIR/second --init DIR/vgg_16.ckpt"), dir);
    assert_code(&second, 0);
    assert!(stderr(&second).contains("imported before"), "{}", stderr(&second));

    let wide = fcn("train --data DIR/data --run DIR/wide --init DIR/vgg_16.ckpt --steps 2", dir);
    assert_code(&wide, 4);
    assert!(stderr(&wide).contains("--backbone vgg16 --width 0.046875"), "{}", stderr(&wide));
    let untold = fcn(&format!("{TRAIN} --run DIR/untold --init DIR/vgg16.pth"), dir);
    assert_code(&untold, 2);
    assert!(stderr(&untold).contains("fcn import"), "{}", stderr(&untold));

    let trunk = fcn("import DIR/vgg_16.ckpt --out DIR/trunk.safetensors", dir);
    assert_code(&trunk, 0);
    let predict = fcn("predict DIR/data/JPEGImages --weights DIR/trunk.safetensors --out DIR/masks", dir);
    assert_code(&predict, 4);
    assert!(stderr(&predict).contains("trunk alone") && stderr(&predict).contains("--init"), "{}", stderr(&predict));
}

#[test]
fn three_stages_follow_one_another_and_resume_where_they_stopped() {
    let folder = bench();
    let dir = folder.path();
    let command =
        format!("{TRAIN} --run DIR/staged --init DIR/vgg_16.ckpt --stages 32s,16s,8s --optimizer sgd --lr 1e-6");
    let output = fcn(&format!("{command} --json"), dir);
    assert_code(&output, 0);
    let said = stderr(&output);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["stages"].as_array().unwrap().len(), 3);
    assert!(report["run"].as_str().unwrap().ends_with("8s"));
    for part in
        ["stage 2 of 3: FCN-16s", "these layers start anew: score_pool4", "these layers start anew: score_pool3"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The last stage is lost: the first two are passed over, the third is done again.
    let weights = dir.join("staged/8s/last/weights.safetensors");
    let before = std::fs::read(&weights).unwrap();
    std::fs::remove_dir_all(dir.join("staged/8s")).unwrap();
    let first = std::fs::metadata(dir.join("staged/32s/last/weights.safetensors")).unwrap().modified().unwrap();
    assert_code(&fcn(&command, dir), 2);
    assert_code(&fcn(&format!("{command} --resume"), dir), 0);
    assert!(std::fs::read(&weights).unwrap() == before, "other weights than before");
    let again = std::fs::metadata(dir.join("staged/32s/last/weights.safetensors")).unwrap().modified().unwrap();
    assert_eq!(first, again, "the first stage was trained again");
}
