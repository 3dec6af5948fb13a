//! The CRF through the real binary: `fcn crf` against pydensecrf and against every fault, and the CRF in prediction,
//! evaluation, search, training pictures and benchmarks.

// The functions that set a test up may fail as loudly as the test.
#![allow(clippy::unwrap_used)]

mod program;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fcn_core::device;
use fcn_core::network::{Backbone, FcnSpec, Geometry, ModelMeta, TrunkShape, Variant};
use fcn_core::network::{Network, NetworkOptions};
use fcn_core::weights::{self};
use program::{fcn, stderr, stdout};
use segdata::files::npy;
use segdata::image::preprocessing::Preprocessing;
use segdata::image::{RgbImage, decode_mask, decode_rgb};
use segdata::labels::{Classes, LabelMap, most_likely};
use segdata::rng::{Purpose, Rng};
use segdata::size::Size;
use segdata::synthetic::{DrawOptions, draw_dataset};
use serde_json::Value;

/// Steps of the run that the tests share.
const STEPS: &str = "2";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/crf").join(name)
}

fn done(folder: &Path, words: &str) -> String {
    let output = fcn(folder, words);
    assert_eq!(output.status.code(), Some(0), "{words}: {}", stderr(&output));
    stdout(&output)
}

fn json(folder: &Path, words: &str) -> Value {
    program::json(folder, words, 0)
}

/// The ids of a mask of up to 255 classes.
fn ids(path: &Path) -> Vec<u8> {
    let classes = Classes::named((0..255).map(|id| id.to_string()));
    decode_mask(&fs::read(path).unwrap(), &classes).unwrap().ids
}

/// A folder with a photograph and probabilities of this size: `photo.png`, `p.npy`.
fn folder_with(width: usize, height: usize, classes: usize, photo: RgbImage) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("photo.png"), photo.to_png().unwrap()).unwrap();
    let pixels = width * height;
    let weight = |class: usize, i: usize| 1.0 + ((i * 31 + class * 17) % 23) as f32;
    let sum = |i: usize| (0..classes).map(|class| weight(class, i)).sum::<f32>();
    let chw: Vec<f32> = (0..classes * pixels).map(|k| weight(k / pixels, k % pixels) / sum(k % pixels)).collect();
    npy::write(&folder.path().join("p.npy"), &[classes, height, width], &chw).unwrap();
    folder
}

fn noise(width: usize, height: usize) -> RgbImage {
    RgbImage { width, height, rgb_hwc: (0..width * height * 3).map(|i| (i * 7919 % 251) as u8).collect() }
}

#[test]
fn the_mask_is_the_one_that_pydensecrf_gives_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let (photo, p) = (golden("photo.png"), golden("probabilities.npy"));
    for preset in ["paper", "reference"] {
        let expected = ids(&golden(&format!("{preset}.png")));
        for threads in ["1", "2", "5"] {
            let words = format!(
                "crf {} --probabilities {} --preset {preset} --out {preset}.png --threads {threads}",
                photo.display(),
                p.display()
            );
            let summary = json(folder.path(), &words);
            let found = ids(&folder.path().join(format!("{preset}.png")));
            let wrong = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
            assert_eq!((found.len(), wrong), (expected.len(), 0), "{preset}, {threads} threads");
            let raw = most_likely(&npy::read(&p).unwrap().1, 3).unwrap();
            let changed = raw.iter().zip(&expected).filter(|(a, b)| a != b).count();
            assert_eq!(summary["changed_pixels"], changed, "{preset}");
        }
    }
}

#[test]
fn every_fault_of_the_input_has_its_exit_code_and_its_remedy() {
    let (width, height) = (6, 4);
    let folder = folder_with(width, height, 2, noise(width, height));
    let at = |name: &str| folder.path().join(name);
    let good = npy::read(&at("p.npy")).unwrap().1;
    let array = |name: &str, shape: &[usize], change: &[(usize, f32)]| {
        let mut values = good.clone();
        change.iter().for_each(|&(at, value)| values[at] = value);
        npy::write(&at(name), shape, &values).unwrap();
    };
    let shape = [2, height, width];
    array("turned.npy", &[2, width, height], &[]);
    array("last.npy", &[height, width, 2], &[]);
    array("flat.npy", &[2 * height * width], &[]);
    array("nan.npy", &shape, &[(5, f32::NAN)]);
    array("inf.npy", &shape, &[(5, f32::INFINITY)]);
    array("negative.npy", &shape, &[(5, -0.5), (29, 1.5)]);
    array("sum.npy", &shape, &[(5, 0.1), (29, 0.1)]);
    npy::write(&at("many.npy"), &[257, height, width], &vec![1.0 / 257.0; 257 * width * height]).unwrap();
    npy::write(&at("none.npy"), &[0, height, width], &[]).unwrap();
    let bytes = fs::read(at("p.npy")).unwrap();
    fs::write(at("short.npy"), &bytes[..bytes.len() - 3]).unwrap();
    fs::write(at("text.npy"), b"0.5 0.5 0.5").unwrap();
    fs::write(at("empty.npy"), b"").unwrap();
    fs::write(at("text.jpg"), b"hello").unwrap();
    fs::write(at("three.txt"), "0 a\n1 b\n2 c\n").unwrap();
    let with = |file: &str| format!("crf photo.png --probabilities {file} --out m.png");
    let cases = [
        ("F1 another size", with("turned.npy"), 3, "transpose(0, 2, 1)"),
        ("F1 classes last", with("last.npy"), 3, "transpose(2, 0, 1)"),
        ("F1 no sides", with("flat.npy"), 3, "three sides"),
        ("F2 not a number", with("nan.npy"), 3, "column 5, row 0 is NaN"),
        ("F2 infinite", with("inf.npy"), 3, "is inf"),
        ("F2 negative", with("negative.npy"), 3, "is -0.5"),
        ("F2 the sum", with("sum.npy"), 3, "add up to 0.2"),
        ("F3 sigma 0", with("p.npy") + " --gaussian-sxy 0", 2, "gaussian_sxy is 0"),
        ("F3 sigma negative", with("p.npy") + " --bilateral-sxy -3", 2, "bilateral_sxy is -3"),
        ("F3 sigma NaN", with("p.npy") + " --bilateral-srgb nan", 2, "bilateral_srgb is NaN"),
        ("F3 sigma tiny", with("p.npy") + " --bilateral-srgb 0.001", 2, "larger ones"),
        ("F4 iterations", with("p.npy") + " --iterations 1000000000", 2, "between 0 and 1000"),
        ("F4 iterations negative", with("p.npy") + " --iterations -1", 2, "--iterations"),
        ("F6 257 classes", with("many.npy"), 3, "257 classes"),
        ("F6 no classes", with("none.npy"), 3, "0 classes"),
        ("F9 little memory", with("p.npy") + " --max-memory 1e-6", 7, "GiB"),
        ("memory that is none", with("p.npy") + " --max-memory 0", 2, "above 0"),
        ("a short file", with("short.npy"), 3, "does not fit"),
        ("text", with("text.npy"), 3, "NumPy"),
        ("an empty file", with("empty.npy"), 3, "too short"),
        ("a missing file", with("absent.npy"), 5, "absent.npy"),
        ("a folder", with("."), 3, "regular file"),
        ("no photograph", with("p.npy").replace("photo.png", "text.jpg"), 3, "not an image"),
        ("a missing photograph", with("p.npy").replace("photo.png", "no.jpg"), 5, "no.jpg"),
        ("a folder that is not there", with("p.npy").replace("m.png", "no/m.png"), 5, "no folder"),
        ("the photograph's place", with("p.npy").replace("m.png", "photo.png"), 2, "place of the photograph"),
        ("the probabilities' place", with("p.npy") + " --save-probabilities ./p.npy", 2, "place of the probabilities"),
        ("one place for both", with("p.npy") + " --save-probabilities m.png", 2, "place of the mask"),
        ("a preset's name", with("p.npy") + " --preset papper", 2, "paper"),
        ("a class list of three", with("p.npy") + " --classes three.txt", 3, "names 3 classes"),
        ("no probabilities", "crf photo.png --out m.png".into(), 2, "--probabilities"),
        ("a search without data", "crf --search --weights w.safetensors".into(), 2, "--data"),
        ("a search's flag alone", with("p.npy") + " --trials 3", 2, "--search"),
        ("a photograph to search", "crf photo.png --search --weights w --data d".into(), 2, "IMAGE"),
    ];
    let before = fs::read(at("photo.png")).unwrap();
    let mut wrong = Vec::new();
    for (what, words, exit, part) in cases {
        let output = fcn(folder.path(), &words);
        let text = stderr(&output);
        if output.status.code() != Some(exit) || !text.contains(part) || text.contains("panicked") {
            wrong.push(format!("{what}: exit {:?}, expected {exit} and {part:?}: {text}", output.status.code()));
        }
        let error: Value = serde_json::from_str(
            stderr(&fcn(folder.path(), &format!("{words} --json"))).lines().last().unwrap_or_default(),
        )
        .unwrap_or_default();
        if error["code"] != exit {
            wrong.push(format!("{what}: as JSON {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!at("m.png").exists());
    assert_eq!((fs::read(at("photo.png")).unwrap(), fs::read(at("p.npy")).unwrap()), (before, bytes));
}

#[test]
fn no_iteration_one_class_256_classes_one_pixel_and_one_colour_work() {
    let plain = |width, height| RgbImage::filled(Size { width, height }, [90, 91, 92]);
    let cases = [
        ("F4 no iteration", folder_with(31, 17, 5, noise(31, 17)), " --iterations 0", true),
        ("F5 one class", folder_with(31, 17, 1, noise(31, 17)), "", true),
        ("F6 255 classes", folder_with(20, 11, 255, noise(20, 11)), "", false),
        ("F7 one pixel", folder_with(1, 1, 4, noise(1, 1)), "", true),
        ("one row", folder_with(50, 1, 4, noise(50, 1)), " --fast", false),
        ("F8 one colour", folder_with(40, 30, 3, plain(40, 30)), "", false),
        ("no kernel", folder_with(40, 30, 3, plain(40, 30)), " --gaussian-compat 0 --bilateral-compat 0", true),
    ];
    for (what, folder, flags, same) in cases {
        let words = format!("crf photo.png --probabilities p.npy --out m.png --save-probabilities q.npy{flags}");
        let summary = json(folder.path(), &words);
        let (shape, before) = npy::read(&folder.path().join("p.npy")).unwrap();
        let (found, after) = npy::read(&folder.path().join("q.npy")).unwrap();
        let mask = ids(&folder.path().join("m.png"));
        assert_eq!(found, shape, "{what}");
        assert!(after.iter().all(|p| (0.0..=1.0).contains(p)), "{what}");
        assert_eq!(mask, most_likely(&after, shape[0]).unwrap(), "{what}: the mask is the likeliest class");
        if same {
            assert_eq!((mask, &summary["changed"]), (most_likely(&before, shape[0]).unwrap(), &0.0.into()), "{what}");
        }
    }
    // 256 classes fill a mask; that the last one looks like void is said.
    let folder = folder_with(9, 5, 256, noise(9, 5));
    let mut chw = vec![0.0; 256 * 45];
    chw[255 * 45..].fill(1.0);
    npy::write(&folder.path().join("p.npy"), &[256, 5, 9], &chw).unwrap();
    let output = fcn(folder.path(), "crf photo.png --probabilities p.npy --out m.png");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("class 255") && ids(&folder.path().join("m.png")) == [255; 45]);
}

#[test]
fn a_huge_photograph_is_refused_with_an_estimate_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (width, height) = (20_000u32, 12_000u32);
    let mut jpeg = noise(8, 8).to_jpeg(90).unwrap();
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&(height as u16).to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&(width as u16).to_be_bytes());
    fs::write(folder.path().join("huge.jpg"), jpeg).unwrap();
    // 20 GB of zeros that take no room on the disk.
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (21, {height}, {width}), }}");
    header.push_str(&" ".repeat(117 - header.len()));
    let start = [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), b"\n"].concat();
    fs::write(folder.path().join("huge.npy"), &start).unwrap();
    let file = File::options().write(true).open(folder.path().join("huge.npy")).unwrap();
    if file.set_len(start.len() as u64 + 4 * 21 * u64::from(width) * u64::from(height)).is_err() {
        println!("skipped: no room for a sparse file of 20 GB");
        return;
    }
    let started = Instant::now();
    let output = fcn(folder.path(), "crf huge.jpg --probabilities huge.npy --out m.png");
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(
        text.contains("20000x12000 pixels and 21 classes needs at least 56.3 GiB") && text.contains("hint:"),
        "{text}"
    );
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// A folder with drawn photographs in `data/` and a network trained on them for some steps in `run/`.
fn trained() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // In the build folder and with one name: what a test run leaves behind, the next one takes away.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crf");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        draw_dataset(&folder.join("data"), &DrawOptions { train: 8, val: 3, ..DrawOptions::default() }).unwrap();
        draw_weights(&folder.join("drawn.safetensors"));
        done(&folder, &train_words("run", ""));
        folder
    })
}

/// A narrow network whose score layers are drawn too, so that its labels depend on the photograph without any training.
fn draw_weights(path: &Path) {
    let meta = ModelMeta::fcn(
        FcnSpec {
            variant: Variant::Fcn8s,
            backbone: Backbone::Vgg16,
            width: 0.05,
            trunk: TrunkShape::default(),
            geometry: Geometry::Same,
        },
        Classes::named(["background", "disc", "square", "triangle", "star", "cross"]),
        Preprocessing::default(),
    );
    let fcn = Network::init(meta, &NetworkOptions::default(), 0, &device::parse("cpu").unwrap());
    weights::save(path, &fcn).unwrap();
    let mut file = fs::read(path).unwrap();
    let start = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..start]).unwrap();
    for (name, tensor) in header.as_object().unwrap() {
        if name.starts_with("score") && name.ends_with(".weight") {
            let mut rng = Rng::derive(0, Purpose::Bench, &[name.len() as u64]);
            let [from, to] = [0, 1].map(|i| start + tensor["data_offsets"][i].as_u64().unwrap() as usize);
            file[from..to].chunks_exact_mut(4).for_each(|v| v.copy_from_slice(&(0.02 * rng.normal()).to_le_bytes()));
        }
    }
    fs::write(path, file).unwrap();
}

fn train_words(run: &str, more: &str) -> String {
    format!(
        "train --data data --run {run} --init drawn.safetensors --width 0.05 --crop 64 --batch 2 --lr 1e-6 \
         --steps {STEPS} --validate-every {STEPS} --save-every {STEPS} -q {more}"
    )
}

#[test]
fn validation_pictures_show_the_crf_and_their_scores_are_logged() {
    let folder = trained();
    let pictures = folder.join("run/pictures");
    let log = fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let validation = lines.into_iter().find(|line| line["kind"] == "validation").unwrap();
    let pictured = &validation["pictured"];
    assert_eq!(pictured["images"], 3);
    for side in ["raw", "crf"] {
        for key in ["miou", "pixel_accuracy", "boundary_iou"] {
            assert!(pictured[side][key].is_f64(), "{side} {key}: {pictured}");
        }
    }
    // All three images of the split are pictured: what is told of them is what an evaluation finds.
    let eval = json(folder, "eval --weights run/last --data data --crf");
    for side in ["raw", "crf"] {
        assert_eq!(pictured[side]["miou"], eval[side]["miou"], "{side}");
    }
    assert_eq!(pictured["changed"], eval["changed"]);
    // The pictures are what `predict --crf` gives.
    done(folder, "predict data/JPEGImages/drawn_00008.jpg --weights run/last --out one --crf");
    let name = |kind: &str| pictures.join(format!("val_{STEPS}_drawn_00008_{kind}"));
    assert_eq!(ids(&name("prediction_crfed.png")), ids(&folder.join("one/drawn_00008.png")));
    let size = |path: PathBuf| decode_rgb(&fs::read(path).unwrap()).map(|image| (image.width, image.height)).unwrap();
    assert!(size(name("overlay.jpg")).0 > 2 * size(name("img.jpg")).0);
    let report = fs::read_to_string(folder.join("run/report.html")).unwrap();
    assert!(report.contains("errors after the CRF"));

    // Without the CRF there is nothing of it, and the weights are the same.
    fs::write(folder.join("no-crf.toml"), "crf = false\n").unwrap();
    done(folder, &train_words("plain", "--config no-crf.toml"));
    let plain = fs::read_to_string(folder.join("plain/metrics.jsonl")).unwrap();
    assert!(!plain.contains("pictured"));
    let names = fs::read_dir(folder.join("plain/pictures")).unwrap().map(|e| e.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("crfed")));
    let weights = |run: &str| fs::read(folder.join(run).join("last/weights.safetensors")).unwrap();
    assert!(weights("run") == weights("plain"), "the CRF of the pictures changed the training");
}

#[test]
fn predict_with_the_crf_says_what_it_changed_and_saves_what_it_made() {
    let folder = trained();
    let words = "predict data/JPEGImages --weights run --save-probabilities --out";
    let raw = json(folder, &format!("{words} raw"));
    assert!(raw.get("changed").is_none() && raw["written"][0].get("changed").is_none());
    let crf = json(folder, &format!("{words} crf --crf --preset reference"));
    assert_eq!(crf["crf"]["gaussian_sxy"], 10.0);
    let (mut changed, mut pixels) = (0.0, 0.0);
    for one in crf["written"].as_array().unwrap() {
        let stem = Path::new(one["mask"].as_str().unwrap()).file_stem().unwrap().to_string_lossy().into_owned();
        let (before, after) =
            (ids(&folder.join(format!("raw/{stem}.png"))), ids(&folder.join(format!("crf/{stem}.png"))));
        let differ = before.iter().zip(&after).filter(|(a, b)| a != b).count() as f64;
        // A number read back from JSON may differ in its last digit.
        assert!((one["changed"].as_f64().unwrap() - differ / before.len() as f64).abs() < 1e-12, "{stem}");
        (changed, pixels) = (changed + differ, pixels + before.len() as f64);
        let (shape, p) = npy::read(&folder.join(format!("crf/{stem}.npy"))).unwrap();
        assert_eq!(most_likely(&p, shape[0]).unwrap(), after, "{stem}");
        // The command on the saved probabilities gives the same mask.
        done(
            folder,
            &format!(
                "crf data/JPEGImages/{stem}.jpg --probabilities raw/{stem}.npy --preset reference --out {stem}.png"
            ),
        );
        assert_eq!(ids(&folder.join(format!("{stem}.png"))), after, "{stem}");
    }
    assert!(changed > 0.0);
    let share = crf["changed"].as_f64().unwrap();
    assert!((share - changed / pixels).abs() < 1e-12, "{share}");
    let text = done(folder, "predict data/JPEGImages --weights run --out crf --crf");
    assert!(text.contains("in all, the CRF changed ") && text.contains("_overlay.jpg  the CRF changed "), "{text}");
    for words in
        ["predict data/JPEGImages --weights run --out x --fast", "eval --weights run --data data --iterations 3"]
    {
        let output = fcn(folder, words);
        assert!(output.status.code() == Some(2) && stderr(&output).contains("add --crf"), "{}", stderr(&output));
    }
    assert!(!folder.join("x").exists());
}

#[test]
fn eval_with_the_crf_scores_every_image_twice() {
    let folder = trained();
    let mut plain = json(folder, "eval --weights run --data data");
    let layout = plain.as_object_mut().unwrap().remove("layout");
    let both = json(folder, "eval --weights run --data data --crf --save-predictions evaluated");
    assert_eq!((layout.as_ref(), layout.as_ref().unwrap().as_str()), (both.get("layout"), Some("voc")));
    assert_eq!(both["raw"], plain, "without the CRF nothing changes");
    let masks = json(
        folder,
        "eval --predictions evaluated --truth data/SegmentationClass --classes data/classes.txt \
        --ids data/ImageSets/Segmentation/val.txt",
    );
    assert_eq!(both["crf"], masks, "the masks saved are the masks scored");
    assert_eq!(both["parameters"]["bilateral_sxy"], 80.0);
    assert_eq!(both, json(folder, "eval --weights run --data data --crf --threads 1"), "one thread or several");
    let identity = json(folder, "eval --weights run --data data --crf --iterations 0");
    assert_eq!((&identity["raw"]["confusion"], &identity["changed"]), (&identity["crf"]["confusion"], &0.0.into()));
    let text = done(folder, "eval --weights run --data data --crf");
    for part in ["with CRF", "change", "mIoU", "--bilateral-srgb 13", "background"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let output = fcn(folder, "eval --predictions evaluated --truth data/SegmentationClass --crf");
    assert_eq!(output.status.code(), Some(2), "masks alone have no probabilities");
}

#[test]
fn a_search_ranks_parameters_and_says_whether_any_is_better_than_none() {
    let folder = trained();
    let words = "crf --search --weights run --data data --images 2 --trials 6 --threads 2";
    let found = json(folder, words);
    assert_eq!(found, json(folder, words), "the seed decides");
    let trials = found["trials"].as_array().unwrap();
    let scores: Vec<f64> = trials.iter().map(|trial| trial["miou"].as_f64().unwrap()).collect();
    assert_eq!((scores.len(), found["images"].as_u64()), (6, Some(2)));
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let raw = found["raw_miou"].as_f64().unwrap();
    assert_eq!(found["crf_is_better"], scores[0] > raw);
    assert!(trials.iter().any(|t| t["parameters"]["gaussian_sxy"] == 10.0 && t["parameters"]["bilateral_sxy"] == 50.0));
    // What the search says of the presets on all images is what an evaluation says.
    let all = json(folder, "crf --search --weights run --data data --images 99 --trials 1 --preset reference");
    let eval = json(folder, "eval --weights run --data data --crf --fast --preset reference");
    assert_eq!((&all["raw_miou"], &all["trials"][0]["miou"]), (&eval["raw"]["miou"], &eval["crf"]["miou"]));
    let text = done(folder, words);
    assert!(text.contains("no CRF"), "{text}");
    assert!(text.contains("no CRF is better: ") != text.contains("best: mIoU"), "{text}");
    // Where the CRF does nothing, it is not called better.
    let none = done(folder, "crf --search --weights run --data data --images 1 --trials 1 --iterations 0");
    assert!(none.contains("no CRF is better: "), "{none}");
}

#[cfg(unix)]
#[test]
fn a_stopped_prediction_leaves_whole_files() {
    let folder = trained();
    let many = folder.join("many");
    fs::create_dir_all(&many).unwrap();
    for i in 0..60 {
        fs::copy(folder.join("data/JPEGImages/drawn_00000.jpg"), many.join(format!("{i:02}.jpg"))).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_fcn"))
        .args("predict many --weights run --out stopped --crf --save-probabilities".split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let finished = || {
        let entries = fs::read_dir(folder.join("stopped")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).collect::<Vec<String>>()
    };
    while finished().len() < 7 {
        assert!(started.elapsed() < Duration::from_secs(120), "no result in two minutes");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    assert!(!status.success() || finished().len() == 180);
    for name in finished() {
        let path = folder.join("stopped").join(&name);
        match path.extension().unwrap().to_str().unwrap() {
            "png" => drop(ids(&path)),
            "jpg" => drop(decode_rgb(&fs::read(&path).unwrap()).unwrap()),
            _ => drop(npy::read(&path).unwrap()),
        }
    }
}

#[test]
fn the_benchmark_tells_set_up_iterations_and_total() {
    let folder = tempfile::tempdir().unwrap();
    let words = "bench crf --size 40x60 --labels 5 --iterations 3 --mode both --runs 2 --threads 2";
    let rows = json(folder.path(), words);
    let modes: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["mode"].as_str().unwrap()).collect();
    assert_eq!(modes, ["exact", "fast"]);
    for row in rows.as_array().unwrap() {
        assert_eq!((&row["size"], &row["labels"], &row["iterations"]), (&"40x60".into(), &5.into(), &3.into()));
        assert_eq!((&row["threads"], &row["runs"]), (&2.into(), &2.into()));
        let number = |key: &str| row[key].as_f64().unwrap();
        assert!(number("min_s") <= number("median_s") && number("setup_s") > 0.0 && number("iteration_s") > 0.0);
        assert!(number("peak_rss_bytes") > 0.0 && number("images_per_s") > 0.0);
    }
    let table = done(folder.path(), &format!("{words} --fast"));
    for part in ["set-up", "iteration", "median", "fast"] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
    for wrong in
        ["bench crf --labels 0", "bench crf --size 0x5", "bench crf --iterations 2000", "bench crf --mode slow"]
    {
        let output = fcn(folder.path(), wrong);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{wrong}: {}", stderr(&output));
    }
}

#[test]
fn the_colours_of_a_mask_are_those_of_the_class_list() {
    let folder = folder_with(8, 6, 2, noise(8, 6));
    fs::write(folder.path().join("classes.txt"), "0 ground 1 2 3\n1 disc 200 100 50\n").unwrap();
    done(folder.path(), "crf photo.png --probabilities p.npy --out m.png --classes classes.txt");
    let colours = decode_rgb(&fs::read(folder.path().join("m.png")).unwrap()).unwrap();
    let mask = LabelMap { width: 8, height: 6, ids: ids(&folder.path().join("m.png")) };
    for (pixel, id) in colours.rgb_hwc.chunks_exact(3).zip(&mask.ids) {
        assert_eq!(pixel, if *id == 0 { [1, 2, 3] } else { [200, 100, 50] });
    }
}
