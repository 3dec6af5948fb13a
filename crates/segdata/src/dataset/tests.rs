//! Data sets drawn in temporary folders, whole and broken.

use super::drawn::{DrawnVoc, Foreign, foreign_mask};
use crate::files::tree::tests::{tar_of, zip_of};
use std::path::Path;

use super::*;
use crate::image::{RgbImage, encode_mask_png};
use crate::labels::{Classes, LabelMap};
use crate::size::Size;
use tfio::{Example, RecordWriter};

fn assert_shareable<T: Send + Sync + Clone>() {}

#[test]
fn a_voc_root_opens_and_loads() {
    assert_shareable::<Split>();
    let drawn = DrawnVoc::new(3, 2, 40, 30);
    let dataset = Dataset::open(drawn.root(), None).unwrap();
    assert_eq!(
        (dataset.form, dataset.splits(), dataset.classes.len()),
        (Form::Voc, vec!["train".into(), "val".into()], 21)
    );
    let train = dataset.split("train").unwrap();
    let sample = train.load(1).unwrap();
    assert_eq!((sample.id.as_str(), sample.image.width, sample.image.height), ("a1", 40, 30));
    assert_eq!(sample.labels, super::drawn::mask(40, 30));
    assert_eq!(train.position("a2"), Some(2));
    assert!(train.source(0).ends_with("JPEGImages/a0.jpg"));
    assert!(train.load(3).is_err());
    let missing = dataset.split("tset").unwrap_err();
    assert!(missing.hint.unwrap().contains("train (3), val (2)"));
}

#[test]
fn the_fingerprint_follows_masks_and_ids_and_survives_a_move() {
    let drawn = DrawnVoc::new(3, 1, 40, 30);
    let print = |root: &Path| Dataset::open(root, None).unwrap().split("train").unwrap().fingerprint();
    let before = print(drawn.root());
    let moved = tempfile::tempdir().unwrap();
    let to = moved.path().join("elsewhere");
    std::fs::rename(drawn.root(), &to).unwrap();
    assert_eq!(print(&to), before);
    let mut labels = super::drawn::mask(40, 30);
    labels.ids[0] = 12;
    std::fs::write(to.join("SegmentationClass/a1.png"), encode_mask_png(&labels, &Classes::voc()).unwrap()).unwrap();
    assert_ne!(print(&to), before);
}

#[test]
fn a_folder_draws_its_splits_and_wants_classes() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["images", "masks"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    for i in 0..10 {
        let mask = foreign_mask(4, &[(i % 2) * 255; 16], &Foreign::Grey);
        std::fs::write(
            dir.path().join(format!("images/{i} ü.png")),
            RgbImage::filled(Size::new(4, 4), [i; 3]).to_png().unwrap(),
        )
        .unwrap();
        std::fs::write(dir.path().join(format!("masks/{i} ü.png")), mask).unwrap();
    }
    let refused = Dataset::open(dir.path(), None).unwrap_err();
    assert!(refused.message.contains("255 is the foreground"), "{refused}");
    assert!(refused.hint.unwrap().contains("0 background\n255 foreground"));
    std::fs::write(dir.path().join("classes.txt"), "0 background\n255 foreground\n").unwrap();
    let ids = |split: &str| {
        let split = Dataset::open(dir.path(), None).unwrap().split(split).unwrap();
        (0..split.len()).map(|i| split.id(i).to_string()).collect::<Vec<_>>()
    };
    let (train, val) = (ids("train"), ids("val"));
    assert_eq!((train.len(), val.len()), (8, 2));
    assert!(val.iter().all(|id| !train.contains(id)));
    assert_eq!(ids("val"), val);
    let split = Dataset::open(dir.path(), None).unwrap().split("train").unwrap();
    let at = split.position(&train.iter().find(|id| id.starts_with(['1', '3', '5'])).unwrap().clone()).unwrap();
    assert_eq!(split.load(at).unwrap().labels.ids, [1; 16], "255 is class 1 here");
    // One half missing is an error of `train`, whichever split it would have been drawn to.
    std::fs::remove_file(dir.path().join("masks/0 ü.png")).unwrap();
    let dataset = Dataset::open(dir.path(), None).unwrap();
    assert!(dataset.split("train").is_err_and(|e| e.message.contains("0 ü: no mask")));
    assert!(dataset.split("val").is_ok());
}

#[test]
fn what_is_no_data_set_is_refused_with_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(path("VOCdevkit/VOC2012/JPEGImages")).unwrap();
    std::fs::create_dir_all(path("outlines/images")).unwrap();
    std::fs::create_dir_all(path("outlines/masks")).unwrap();
    std::fs::write(path("outlines/masks/a.json"), "{}").unwrap();
    std::fs::create_dir_all(path("half/images")).unwrap();
    std::fs::create_dir_all(path("half/labels")).unwrap();
    std::fs::write(path("picture.jpg"), RgbImage::filled(Size::new(4, 4), [0; 3]).to_jpeg(90).unwrap()).unwrap();
    std::fs::write(path("empty.tfrecord"), b"").unwrap();
    let cases = [
        ("nothing", "no such file", ""),
        (".", "not a data set", ""),
        ("VOCdevkit/VOC2012", "no folder SegmentationClass/", "expected JPEGImages/ID.jpg"),
        ("outlines", "outlines of no known tool", "labelme2voc"),
        ("half", "no masks/ beside it; found images/, labels/", "stem"),
        ("picture.jpg", "is no TFRecord file", ""),
        ("empty.tfrecord", "empty (0 bytes)", ""),
        ("*.nothing", "no file matches", ""),
    ];
    let mut failures = Vec::new();
    for (name, message, hint) in cases {
        std::fs::remove_file(path("empty.tfrecord")).ok();
        if name == "empty.tfrecord" {
            std::fs::write(path(name), b"").unwrap();
        }
        match Dataset::open(&path(name), None) {
            Err(e) if e.message.contains(message) && e.hint.clone().unwrap_or_default().contains(hint) => {}
            other => failures.push(format!("{name}: {other:?}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn pairs_that_do_not_fit_name_the_file_and_the_remedy() {
    let drawn = DrawnVoc::new(6, 0, 40, 30);
    let write_mask = |id: &str, labels: LabelMap| {
        std::fs::write(drawn.mask(id), encode_mask_png(&labels, &Classes::voc()).unwrap()).unwrap();
    };
    write_mask("a0", LabelMap::filled(Size::new(30, 40), 0));
    write_mask("a1", LabelMap::filled(Size::new(40, 30), 21));
    std::fs::write(drawn.image("a2"), b"<html>").unwrap();
    std::fs::write(drawn.mask("a3"), b"").unwrap();
    let jpeg = std::fs::read(drawn.image("a4")).unwrap();
    std::fs::write(drawn.image("a4"), &jpeg[..jpeg.len() - 40]).unwrap();
    let split = Dataset::open(drawn.root(), None).unwrap().split("train").unwrap();
    let cases = [
        (0, "JPEGImages/a0.jpg: the image is 40x30, its mask 30x40"),
        (1, "SegmentationClass/a1.png: the mask holds 1 values without a class in 100.0 %"),
        (2, "JPEGImages/a2.jpg: not an image"),
        (3, "SegmentationClass/a3.png: the file is empty"),
        (4, "JPEGImages/a4.jpg: damaged JPEG file: it is cut off"),
    ];
    let mut failures = Vec::new();
    for (i, expected) in cases {
        match split.load(i) {
            Err(e) if e.to_string().contains(expected) && e.hint.is_some() => {}
            other => failures.push(format!("{i}: expected {expected:?}, got {:?}", other.map(|s| s.id))),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(split.load(5).is_ok());
}

fn record(width: usize, height: usize) -> Example<'static> {
    let jpeg = RgbImage::filled(Size { width, height }, [90; 3]).to_jpeg(90).unwrap();
    Example::new()
        .with_bytes("image/encoded", jpeg)
        .with_bytes("image/filename", b"2007_000033.jpg".to_vec())
        .with_int64("image/height", height as i64)
        .with_int64("image/width", width as i64)
        .with_bytes("image/label", vec![8u8; width * height])
}

fn shard(examples: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = RecordWriter::new(Vec::new());
    examples.iter().for_each(|e| {
        writer.write(e).unwrap();
    });
    writer.into_inner()
}

#[test]
fn records_without_an_index_are_voc_with_missing_and_extra_features() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fcn_train.record");
    let bare = Example::new()
        .with_bytes("image/encoded", RgbImage::filled(Size::new(5, 4), [1; 3]).to_png().unwrap())
        .with_bytes("image/label", vec![0u8; 20])
        .with_float("image/extra", 1.0);
    let mask_file = record(6, 3)
        .with_bytes("image/label", encode_mask_png(&LabelMap::filled(Size::new(6, 3), 7), &Classes::voc()).unwrap());
    std::fs::write(&path, shard(&[record(8, 6).encode(), bare.encode(), mask_file.encode()])).unwrap();
    for opened in [path.clone(), dir.path().to_path_buf(), dir.path().join("*.record")] {
        let dataset = Dataset::open(&opened, None).unwrap();
        assert_eq!((dataset.form, dataset.splits(), dataset.classes.len()), (Form::Records, vec!["train".into()], 21));
        let split = dataset.split("train").unwrap();
        let ids: Vec<&str> = (0..split.len()).map(|i| split.id(i)).collect();
        assert_eq!(ids, ["2007_000033", "fcn_train#1", "2007_000033#2"]);
        assert_eq!(split.load(0).unwrap().labels, LabelMap::filled(Size::new(8, 6), 8));
        assert_eq!(split.load(1).unwrap().image, RgbImage::filled(Size::new(5, 4), [1; 3]));
        assert_eq!(split.load(2).unwrap().labels, LabelMap::filled(Size::new(6, 3), 7));
    }
}

#[test]
fn damaged_records_name_shard_record_and_offset() {
    let good = record(8, 6).encode();
    let place = shard(std::slice::from_ref(&good)).len();
    let flipped = |at: usize| {
        let mut bytes = shard(&[good.clone(), good.clone()]);
        bytes[at] ^= 1;
        bytes
    };
    let absurd = {
        let mut bytes = shard(&[good.clone(), vec![]]);
        bytes.truncate(place);
        bytes.extend((1u64 << 63).to_le_bytes());
        bytes.extend([0; 4]);
        bytes
    };
    let cut_jpeg = record(8, 6).with_bytes("image/encoded", vec![0xff, 0xd8, 0xff, 0xe0, 0, 16]);
    let unlabelled =
        Example::new().with_bytes("image/encoded", RgbImage::filled(Size::new(2, 2), [1; 3]).to_png().unwrap());
    let wrong_label = record(8, 6).with_bytes("image/label", vec![99u8; 48]);
    let short_label = record(8, 6).with_bytes("image/label", vec![0u8; 47]);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("payload", flipped(place + 40), "record 1: record at byte"),
        ("length", flipped(place), "length field has checksum"),
        ("absurd length", absurd, "length field has checksum"),
        ("cut", shard(&[good.clone(), good.clone()])[..place + 100].to_vec(), "the file ends inside the data"),
        ("no proto", shard(&[good.clone(), vec![0xff; 9]]), "not a tf.train.Example"),
        ("no label", shard(&[good.clone(), unlabelled.encode()]), "feature 'image/label' is missing"),
        ("image", shard(&[good.clone(), cut_jpeg.encode()]), "damaged JPEG"),
        (
            "label value",
            shard(&[good.clone(), wrong_label.encode()]),
            "1 values without a class in 100.0 % of its pixels (99: 48 px)",
        ),
        ("label size", shard(&[good.clone(), short_label.encode()]), "47 bytes, expected 8 x 6"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    for (name, bytes, expected) in cases {
        let path = dir.path().join("x_train.record");
        std::fs::write(&path, bytes).unwrap();
        let loaded = Dataset::open(&path, None).and_then(|d| {
            let split = d.split("train")?;
            assert!(split.load(0).is_ok(), "{name}: the first record is whole");
            split.load(1)
        });
        match loaded {
            Err(e) if e.to_string().contains(expected) && e.path.as_deref() == Some(&path) => {}
            other => failures.push(format!("{name}: expected {expected:?}, got {:?}", other.map(|s| s.id))),
        }
    }
    // A shard that vanishes under a running trainer.
    let path = dir.path().join("x_train.record");
    std::fs::write(&path, shard(std::slice::from_ref(&good))).unwrap();
    let split = Dataset::open(&path, None).unwrap().split("train").unwrap();
    std::fs::remove_file(&path).unwrap();
    if !split.load(0).is_err_and(|e| e.kind == crate::error::ErrorKind::Io && e.path.as_deref() == Some(&path)) {
        failures.push("vanished shard".into());
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_missing_shard_is_a_fault_of_its_split() {
    let dir = tempfile::tempdir().unwrap();
    for n in [0, 2] {
        std::fs::write(dir.path().join(format!("train-0000{n}-of-00003.tfrecord")), shard(&[record(8, 6).encode()]))
            .unwrap();
    }
    let dataset = Dataset::open(dir.path(), None).unwrap();
    assert!(dataset.split("train").is_err_and(|e| e.message.contains("shards 1 of 3 are missing")));
}

#[test]
fn every_damaged_shard_is_a_fault_and_ids_that_occur_twice_are_made_unique() {
    let dir = tempfile::tempdir().unwrap();
    let good = shard(&[record(8, 6).with_bytes("image/filename", b"a.png".to_vec()).encode()]);
    let twice = [good.clone(), good.clone()].concat();
    for (name, bytes) in [("00000", &twice[..]), ("00001", &good[..good.len() - 1]), ("00002", &[])] {
        std::fs::write(dir.path().join(format!("train-{name}-of-00003.tfrecord")), bytes).unwrap();
    }
    let split = Dataset::open(dir.path(), None).unwrap().split_as_listed("train").unwrap();
    let codes: Vec<&str> = split.faults().iter().map(|fault| fault.code).collect();
    assert_eq!(codes, ["damaged_shard", "damaged_shard"]);
    assert_eq!([split.id(0), split.id(1)], ["a", "a#1"]);
    assert!(split.faults()[0].message.contains("train-00001-of-00003.tfrecord"), "{:?}", split.faults()[0]);
}

#[test]
#[ignore = "needs FCN_REAL_DATA, the folder of real data sets"]
fn real_photographs_load_whatever_their_form() {
    let data = std::env::var_os("FCN_REAL_DATA").expect("FCN_REAL_DATA names the folder of real data sets");
    let data = Path::new(&data);
    let cases = [("voc2012", "train_mini", 64), ("rock_voc", "val", 23), ("labelme_voc", "train", 2)];
    for (name, split, n) in cases {
        let split = Dataset::open(&data.join(name), None).unwrap().split(split).unwrap();
        assert!(split.len() >= n.min(1), "{name}");
        (0..split.len()).for_each(|i| drop(split.load(i).unwrap()));
    }
    let classes = data.join("camvid_rgb/class_colours.txt");
    let camvid = Dataset::open(&data.join("camvid_rgb"), Some(&classes)).unwrap();
    assert_eq!(camvid.classes.len(), 31);
    let train = camvid.split("train").unwrap();
    (0..train.len()).for_each(|i| drop(train.load(i).unwrap()));
}

#[test]
fn what_macos_leaves_beside_files_is_passed_over() {
    let drawn = DrawnVoc::new(3, 2, 40, 30);
    for name in ["ImageSets/Segmentation/._train.txt", "JPEGImages/._a0.jpg", "SegmentationClass/._a0.png"] {
        std::fs::write(drawn.root().join(name), b"\0\x05\x16\x07").unwrap();
    }
    let dataset = Dataset::open(drawn.root(), None).unwrap();
    assert_eq!(dataset.splits(), ["train", "val"]);
    assert_eq!(dataset.split("train").unwrap().load(0).unwrap().id, "a0");
}

#[test]
fn shards_need_no_extension_where_their_content_says_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["train-00000-of-00001", "voc_val-00000-of-00001"] {
        let mut writer = RecordWriter::new(std::fs::File::create(path(name)).unwrap());
        let example = Example::new().with_bytes("image/filename", b"a0.jpg");
        writer.write(&example.encode()).unwrap();
    }
    std::fs::write(path("._train-00000-of-00001"), b"\0\x05\x16\x07").unwrap();
    std::fs::write(path("notes-1-of-2"), b"the first of two pages of notes").unwrap();
    let dataset = Dataset::open(dir.path(), None).unwrap();
    assert_eq!((dataset.form, dataset.splits()), (Form::Records, vec!["train".into(), "val".into()]));
    assert_eq!(dataset.split_as_listed("val").unwrap().id(0), "a0");
}

#[test]
fn files_that_are_no_pictures_are_counted_once() {
    let folder =
        super::drawn::drawn_folder("0 a\n1 b\n", &[(&[0, 1, 0, 1], Foreign::Grey), (&[0, 1, 1, 1], Foreign::Grey)]);
    assert_eq!(Dataset::open(folder.path(), None).unwrap().left_out(), None);
    for name in ["images/film.mp4", "masks/a0.txt", "images/.DS_Store", "images/Thumbs.db"] {
        std::fs::write(folder.path().join(name), b"x").unwrap();
    }
    let dataset = Dataset::open(folder.path(), None).unwrap();
    let left_out = dataset.left_out().unwrap();
    assert!(left_out.starts_with("left out 2 files") && left_out.contains("1 .mp4, 1 .txt"), "{left_out}");
}

#[test]
fn records_and_tables_are_read_in_archives_as_in_their_folder() {
    let dir = tempfile::tempdir().unwrap();
    let written = |name: &str, bytes: Vec<u8>| {
        std::fs::write(dir.path().join(name), bytes).unwrap();
        dir.path().join(name)
    };
    let drawn = DrawnVoc::new(1, 0, 40, 30);
    let image = std::fs::read(drawn.image("a0")).unwrap();
    let mut shard = Vec::new();
    let mut writer = RecordWriter::new(&mut shard);
    for i in 0..3u8 {
        let example = Example::new()
            .with_bytes("image/filename", format!("a{i}.jpg").into_bytes())
            .with_bytes("image/encoded", image.as_slice())
            .with_bytes("image/label", vec![i; 40 * 30]);
        writer.write(&example.encode()).unwrap();
    }
    // Of the members of a zip one is deflated, the other stored.
    let files: [(&str, &[u8]); 2] = [("set/train.tfrecord", &shard), ("set/val.tfrecord", &shard)];
    for path in [written("set.zip", zip_of(&files)), written("set.tar", tar_of(&files))] {
        let dataset = Dataset::open(&path, None).unwrap();
        assert_eq!((dataset.form, dataset.splits()), (Form::Records, vec!["train".into(), "val".into()]));
        for split in ["train", "val"] {
            let split = dataset.split_as_listed(split).unwrap();
            let sample = split.load(2).unwrap();
            assert_eq!((sample.id.as_str(), sample.labels.ids[0], split.len()), ("a2", 2, 3), "{}", path.display());
        }
    }
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/parquet/gzip_plain.parquet");
    let table = std::fs::read(table).unwrap();
    let files: [(&str, &[u8]); 3] =
        [("data/train-0.parquet", &table), ("data/test-0.parquet", &table), ("classes.txt", b"0 a\n1 b\n")];
    let options = OpenOptions { images: Some("image".into()), masks: Some("image".into()), ..OpenOptions::default() };
    for path in [written("table.zip", zip_of(&files)), written("table.tar", tar_of(&files))] {
        let said = OpenOptions { layout: Some(Form::Parquet), ..options.clone() };
        let dataset = Dataset::open_with(&path, &said).unwrap();
        for split in ["train", "test"] {
            let split = dataset.split_as_listed(split).unwrap();
            let at = split.position("row_5").unwrap();
            let expected: Vec<u8> = (0..5 * 37 % 101).map(|k| (5 * 7 + k * 3) as u8).collect();
            assert_eq!(split.pair(at).unwrap().image.unwrap(), expected, "{}", path.display());
        }
    }
}
