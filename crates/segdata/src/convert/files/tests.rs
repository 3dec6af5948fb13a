//! Conversions to files and back.

use std::collections::BTreeMap;
use std::path::Path;

use crate::convert::class_lists_tests::random_list;
use crate::convert::tests::options;
use crate::convert::{ConvertOptions, ConvertReport, OnError, Target, convert};
use crate::dataset::drawn::DrawnVoc;
use crate::dataset::{Dataset, Form};
use crate::error::{ErrorKind, Result};
use crate::image::tests::random_map;
use crate::image::{RgbImage, encode_mask_png};
use crate::labels::{Classes, LabelMap, MaskCoding, VOID};
use crate::rng::{Purpose, Rng};
use crate::size::Size;

const FORMS: [(Target, Form); 3] =
    [(Target::Folder, Form::Nested), (Target::Voc, Form::Voc), (Target::Coco, Form::Coco)];

fn converted(data: &Path, out: &Path, to: Target) -> Result<ConvertReport> {
    convert(&ConvertOptions { to, min_size: 1, splits: vec![], ..options(data, out) }, &|_, _| {})
}

/// Photographs and labels of every split by id, and the classes.
fn content(folder: &Path) -> (BTreeMap<String, (Vec<u8>, LabelMap)>, Classes) {
    let dataset = Dataset::open(folder, None).unwrap();
    let mut samples = BTreeMap::new();
    for name in dataset.splits() {
        let split = dataset.split(&name).unwrap();
        for i in 0..split.len() {
            let sample = split.encoded(i).unwrap();
            samples.insert(format!("{name}: {}", sample.id), (sample.encoded, sample.labels));
        }
    }
    (samples, dataset.classes)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A data set of drawn maps: `a0`, ... in train and `day 1/b0`, ... in val.
fn source(rng: &mut Rng) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (list, _) = random_list(rng);
    let classes = MaskCoding::parse(&list).unwrap().classes;
    write(folder.path(), "classes.txt", list.as_bytes());
    let ids: Vec<u8> = (0..classes.len() as u8).chain([VOID]).collect();
    for (i, id) in ["train/a0", "train/a1", "train/a2", "val/day 1/b0", "val/b1"].into_iter().enumerate() {
        let map = match i {
            0 => LabelMap { width: 2, height: 1, ids: vec![0, 1] },
            _ => random_map(rng, &ids),
        };
        let photograph = RgbImage::filled(map.size(), [i as u8; 3]);
        let bytes = if i % 2 == 0 { photograph.to_png() } else { photograph.to_jpeg(80) };
        let extension = if i % 2 == 0 { "png" } else { "jpg" };
        write(folder.path(), &format!("images/{id}.{extension}"), &bytes.unwrap());
        write(folder.path(), &format!("masks/{id}.png"), &encode_mask_png(&map, &classes).unwrap());
    }
    folder
}

#[test]
fn every_form_is_read_as_the_data_set_that_it_was() {
    for case in 0..12u64 {
        let source = source(&mut Rng::derive(9, Purpose::Draw, &[case]));
        let expected = content(source.path());
        let out = tempfile::tempdir().unwrap();
        for (to, form) in FORMS {
            let at = |name: &str| out.path().join(format!("{to:?}-{name}"));
            let report = converted(source.path(), &at("files"), to).unwrap();
            assert_eq!((report.to, report.layout, report.fingerprint.len()), (to, Form::Nested, 64));
            let parts = report.splits.iter().flat_map(|split| &split.files);
            assert!(parts.clone().count() > 2 && parts.clone().all(|part| part.exists()), "{:?}", report.splits);
            assert_eq!(Dataset::open(&at("files"), None).unwrap().form, form);
            assert!(content(&at("files")) == expected, "case {case}, {to:?}: {:?}", expected.1.names);
            converted(&at("files"), &at("records"), Target::Records).unwrap();
            assert!(content(&at("records")) == expected, "case {case}, records of {to:?}");
        }
        // From one to the next, through all of them.
        converted(&out.path().join("Coco-files"), &out.path().join("voc"), Target::Voc).unwrap();
        converted(&out.path().join("voc"), &out.path().join("folder"), Target::Folder).unwrap();
        assert!(content(&out.path().join("folder")) == expected, "case {case}");
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 8, "nothing hidden is left");
    }
}

#[test]
fn class_lists_with_and_without_a_background_survive_coco() {
    for names in [["background", "cat"], ["road", "car"], ["car", "Background"]] {
        let folder = tempfile::tempdir().unwrap();
        let classes = Classes { names: names.map(String::from).into(), palette: vec![[9, 9, 9], [0, 0, 0]] };
        write(folder.path(), "classes.txt", classes.to_text().as_bytes());
        for id in ["train/a", "val/b"] {
            let map = LabelMap { width: 3, height: 2, ids: vec![0, 1, 1, VOID, 1, 0] };
            write(
                folder.path(),
                &format!("images/{id}.png"),
                &RgbImage::filled(Size::new(3, 2), [5; 3]).to_png().unwrap(),
            );
            write(folder.path(), &format!("masks/{id}.png"), &encode_mask_png(&map, &classes).unwrap());
        }
        let out = folder.path().join("out");
        converted(folder.path(), &out, Target::Coco).unwrap();
        assert!(content(&out) == content(folder.path()), "{names:?}");
    }
}

#[test]
fn a_place_that_holds_anything_else_is_refused_and_a_conversion_is_replaced_by_force() {
    let drawn = DrawnVoc::new(2, 1, 9, 8);
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("new/out");
    converted(drawn.root(), &out, Target::Voc).unwrap();
    let forced = |to| {
        let options = ConvertOptions { to, min_size: 1, overwrite: true, ..options(drawn.root(), &out) };
        convert(&options, &|_, _| {})
    };
    let refused = |result: Result<ConvertReport>, part: &str| {
        let error = result.unwrap_err();
        assert!(error.kind == ErrorKind::Usage && error.to_string().contains(part) && error.hint.is_some(), "{error}");
    };
    refused(converted(drawn.root(), &out, Target::Coco), "holds a conversion to layout `voc` already");
    forced(Target::Coco).unwrap();
    assert!(!out.join("JPEGImages").exists() && out.join("annotations").exists());
    write(&out, "images/train/mine.jpg", b"x");
    refused(forced(Target::Voc), "files were added");
    std::fs::remove_file(out.join("images/train/mine.jpg")).unwrap();
    forced(Target::Folder).unwrap();
    let before = content(&out);
    let nothing = ConvertOptions { to: Target::Voc, min_size: 99, overwrite: true, ..options(drawn.root(), &out) };
    assert!(convert(&nothing, &|_, _| {}).is_err_and(|e| e.message.contains("no image of split")));
    assert!(content(&out) == before, "the earlier conversion is still whole");
    assert_eq!(std::fs::read_dir(out.parent().unwrap()).unwrap().count(), 1, "nothing hidden is left");

    refused(converted(drawn.root(), drawn.root(), Target::Coco), "which no conversion wrote");
    refused(converted(drawn.root(), &out, Target::Records), "is another data set");
    write(root.path(), "file", b"x");
    refused(converted(drawn.root(), &root.path().join("file"), Target::Coco), "this is a file");
    // As after a kill: what is left is hidden, and is in nobody's way.
    write(root.path(), ".empty.converting/images/train/a.jpg", b"x");
    std::fs::create_dir(root.path().join("empty")).unwrap();
    converted(drawn.root(), &root.path().join("empty"), Target::Folder).unwrap();
    assert!(!root.path().join(".empty.converting").exists());
    assert_eq!(Dataset::open(&root.path().join("empty"), None).unwrap().split("train").unwrap().len(), 2);
}

#[test]
fn what_a_form_cannot_hold_is_said_before_or_by_sample() {
    let drawn = DrawnVoc::new(3, 1, 9, 8);
    drawn.list("mini", &["a0"]);
    let root = tempfile::tempdir().unwrap();
    let with = |to, splits: &[&str], on_error, name: &str| {
        let splits = splits.iter().map(|s| s.to_string()).collect();
        let base = options(drawn.root(), &root.path().join(name));
        convert(&ConvertOptions { to, splits, min_size: 1, on_error, ..base }, &|_, _| {})
    };
    for (to, splits, part) in [
        (Target::Folder, &["train", "mini"][..], "layout `nested` has no split `mini`"),
        (Target::Coco, &["mini"], "layout `coco` has no split `mini`"),
        (Target::Folder, &["train"], "`train` alone would be divided"),
    ] {
        let error = with(to, splits, OnError::Stop, "refused").unwrap_err();
        assert!(error.message.contains(part) && error.kind == ErrorKind::Usage, "{error}");
    }
    // VOC has any splits, and the same sample in several of them.
    with(Target::Voc, &["train", "val", "mini"], OnError::Stop, "voc").unwrap();
    assert_eq!(content(&root.path().join("voc")).0.len(), 5);
    assert_eq!(std::fs::read_dir(root.path().join("voc/JPEGImages")).unwrap().count(), 4);
    let classes = |list: &str| MaskCoding::read(&root.path().join("voc").join(list)).unwrap().classes;
    assert_eq!(classes("labelmap.txt"), classes("classes.txt"));
    drawn.list("val", &["b0", "a1"]);
    let error = with(Target::Folder, &["train", "val"], OnError::Stop, "twice").unwrap_err();
    assert!(error.message.contains("id `a1` is in split `train` too"), "{error}");
    with(Target::Coco, &["train", "val"], OnError::Stop, "coco").unwrap();
    assert_eq!(content(&root.path().join("coco")).0.len(), 5);

    for id in ["A2", "x:y", "nul"] {
        drawn.add(id, 9, 8);
    }
    drawn.list("train", &["a0", "a2", "A2", "x:y", "nul"]);
    let error = with(Target::Coco, &["train", "val"], OnError::Stop, "names").unwrap_err();
    for part in ["`a2` differs from another", "`A2` differs", "`x:y` holds `:`", "`nul` is called `nul`"] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
    assert!(!root.path().join("names").exists());
    let report = with(Target::Coco, &["train", "val"], OnError::Skip, "names").unwrap();
    assert_eq!((report.splits[0].written, report.bad()), (1, 4));
}

#[test]
fn classes_that_no_list_can_hold_are_refused_before_any_work() {
    let drawn = DrawnVoc::new(1, 1, 9, 8);
    let root = tempfile::tempdir().unwrap();
    let records = root.path().join("records");
    converted(drawn.root(), &records, Target::Records).unwrap();
    let index = std::fs::read_to_string(records.join("dataset.json")).unwrap();
    std::fs::write(records.join("dataset.json"), index.replace("\"cat\"", "\"cat 1 2 3 4\"")).unwrap();
    for (to, _) in FORMS {
        let error = converted(&records, &root.path().join("out"), to).unwrap_err();
        assert!(error.message.contains("cannot be written as a class list"), "{error}");
        assert!(!root.path().join("out").exists());
    }
}
