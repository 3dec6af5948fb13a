//! Conversions of drawn data sets.

use std::path::Path;

use super::*;
use crate::dataset::Dataset;
use crate::dataset::drawn::DrawnVoc;
use crate::dataset::layouts::records::{INDEX_NAME, Index, SkippedSample, UNFINISHED};
use crate::error::ErrorKind;
use crate::image::tests::with_orientation;
use crate::image::{decode_rgb, encode_mask_png};
use crate::labels::VOID;

pub(super) fn options(data: &Path, out: &Path) -> ConvertOptions {
    ConvertOptions {
        data: data.to_path_buf(),
        open: Default::default(),
        out: out.to_path_buf(),
        to: Target::Records,
        splits: vec!["train".into(), "val".into()],
        shards: 2,
        min_size: 24,
        void: VoidPolicy::Keep,
        on_error: OnError::Stop,
        exif: ExifPolicy::Stored,
        overwrite: false,
    }
}

pub(super) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&p).unwrap()))
        .collect();
    files.sort();
    files
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn no_shard_is_empty() {
    let (drawn, out) = (DrawnVoc::new(2, 1, 40, 30), tempfile::tempdir().unwrap());
    let options = ConvertOptions { shards: 4, ..options(drawn.root(), &out.path().join("records")) };
    let report = convert(&options, &|_, _| ()).unwrap();
    let names: Vec<String> = report
        .splits
        .iter()
        .flat_map(|s| &s.files)
        .map(|f| f.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let expected = ["train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord", "val-00000-of-00001.tfrecord"];
    assert_eq!(names, expected);
    assert_eq!(Dataset::open(&options.out, None).unwrap().split("train").unwrap().len(), 2);
}

#[test]
fn the_bytes_are_the_same_for_any_number_of_threads_and_read_back() {
    let drawn = DrawnVoc::new(37, 5, 40, 30);
    let out = tempfile::tempdir().unwrap();
    let (one, eight) = (out.path().join("one"), out.path().join("eight"));
    let report = with_threads(1, || convert(&options(drawn.root(), &one), &|_, _| {}).unwrap());
    with_threads(8, || convert(&options(drawn.root(), &eight), &|_, _| {}).unwrap());
    let (a, b) = (files(&one), files(&eight));
    let names: Vec<&str> = a.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            INDEX_NAME,
            "train-00000-of-00002.tfrecord",
            "train-00001-of-00002.tfrecord",
            "val-00000-of-00002.tfrecord",
            "val-00001-of-00002.tfrecord"
        ]
    );
    assert!(a == b, "bytes depend on the number of threads");
    assert_eq!(report.splits[0].images_by_class[8], 37);
    assert_eq!(report.splits[0].void_pixels, 37 * 40);
    let (source, records) = (Dataset::open(drawn.root(), None).unwrap(), Dataset::open(&one, None).unwrap());
    assert_eq!(records.classes, source.classes);
    for name in ["train", "val"] {
        let (from, to) = (source.split(name).unwrap(), records.split(name).unwrap());
        assert_eq!(from.len(), to.len());
        for i in 0..from.len() {
            assert_eq!(from.load(i).unwrap(), to.load(i).unwrap());
            assert_eq!(from.encoded(i).unwrap().encoded, to.encoded(i).unwrap().encoded, "the file is untouched");
        }
    }
    let index = Index::read(&one).unwrap().unwrap();
    assert_eq!(index.splits[1].fingerprint, records.split("val").unwrap().fingerprint());
}

#[test]
fn small_images_are_left_out_by_name() {
    let drawn = DrawnVoc::new(3, 1, 40, 30);
    drawn.add("a1", 40, 23);
    let out = tempfile::tempdir().unwrap();
    let report = convert(&options(drawn.root(), out.path()), &|_, _| {}).unwrap();
    let train = &report.splits[0];
    assert_eq!((train.listed, train.written, train.bad), (3, 2, 0));
    assert_eq!(train.skipped, [SkippedSample { id: "a1".into(), reason: "40x23 is below 24 pixels".into() }]);
    assert!(skipped_error(&report).is_none());
    let nothing = ConvertOptions { min_size: 999, overwrite: true, ..options(drawn.root(), out.path()) };
    let before = files(out.path());
    assert!(convert(&nothing, &|_, _| {}).is_err_and(|e| e.message.contains("no image of split `train` is left")));
    assert!(files(out.path()) == before, "the earlier conversion is still whole");
}

#[test]
fn without_a_choice_of_splits_train_and_val_are_taken_as_far_as_they_exist() {
    let drawn = DrawnVoc::new(1, 1, 40, 30);
    let out = tempfile::tempdir().unwrap();
    let names = |folder: &str| {
        let free = ConvertOptions { splits: vec![], ..options(drawn.root(), &out.path().join(folder)) };
        convert(&free, &|_, _| {}).unwrap().splits.into_iter().map(|s| s.name).collect::<Vec<_>>()
    };
    drawn.list("mini", &["a0"]);
    assert_eq!(names("both"), ["train", "val"]);
    std::fs::remove_file(drawn.root().join("ImageSets/Segmentation/val.txt")).unwrap();
    assert_eq!(names("one"), ["train"]);
    std::fs::remove_file(drawn.root().join("ImageSets/Segmentation/train.txt")).unwrap();
    assert_eq!(names("other"), ["mini"]);
}

#[test]
fn void_becomes_background_on_request() {
    let drawn = DrawnVoc::new(1, 1, 40, 30);
    let out = tempfile::tempdir().unwrap();
    let old = ConvertOptions { void: VoidPolicy::Background, ..options(drawn.root(), out.path()) };
    let report = convert(&old, &|_, _| {}).unwrap();
    assert_eq!(report.splits[0].void_pixels, 0);
    let sample = Dataset::open(out.path(), None).unwrap().split("train").unwrap().load(0).unwrap();
    assert!(sample.labels.ids.iter().all(|&id| id != VOID));
}

#[test]
fn bad_samples_stop_with_all_their_names_or_are_skipped() {
    let drawn = DrawnVoc::new(6, 1, 40, 30);
    std::fs::remove_file(drawn.image("a0")).unwrap();
    std::fs::remove_file(drawn.mask("a1")).unwrap();
    std::fs::write(drawn.image("a2"), b"").unwrap();
    drawn.list("train", &["a0", "a1", "a2", "a3", "a3", "../a4", "a5"]);
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("records");
    let e = convert(&options(drawn.root(), &folder), &|_, _| {}).unwrap_err();
    assert_eq!(e.kind, ErrorKind::Data);
    for part in ["a0: no image", "a1: no mask", "a2.jpg: the file is empty", "a3 is listed twice", "`../a4`"] {
        assert!(e.message.contains(part), "{part}: {e}");
    }
    assert!(files(&folder).is_empty(), "nothing is left: {:?}", files(&folder));
    let skip = ConvertOptions { on_error: OnError::Skip, ..options(drawn.root(), &folder) };
    let report = convert(&skip, &|_, _| {}).unwrap();
    assert_eq!((report.splits[0].listed, report.splits[0].written, report.splits[0].bad), (7, 2, 5));
    assert_eq!(skipped_error(&report).map(|e| e.kind), Some(ErrorKind::Skipped));
    assert_eq!(Dataset::open(&folder, None).unwrap().split("train").unwrap().len(), 2);
}

#[test]
fn an_earlier_conversion_is_replaced_only_by_force_and_a_broken_one_always() {
    let drawn = DrawnVoc::new(2, 1, 40, 30);
    let out = tempfile::tempdir().unwrap();
    convert(&options(drawn.root(), out.path()), &|_, _| {}).unwrap();
    let again = options(drawn.root(), out.path());
    assert!(
        convert(&again, &|_, _| {}).is_err_and(|e| e.kind == ErrorKind::Usage && e.hint.unwrap().contains("`force`"))
    );
    let force = ConvertOptions { overwrite: true, shards: 1, ..again.clone() };
    convert(&force, &|_, _| {}).unwrap();
    assert_eq!(files(out.path()).len(), 3, "the shards of the earlier conversion are gone");
    // As after a kill: the mark, a partial shard, whole shards, no index.
    std::fs::write(out.path().join(UNFINISHED), b"").unwrap();
    std::fs::write(out.path().join("train-00000-of-00009.tfrecord.partial"), b"x").unwrap();
    std::fs::remove_file(out.path().join(INDEX_NAME)).unwrap();
    let only_mark = tempfile::tempdir().unwrap();
    std::fs::write(only_mark.path().join(UNFINISHED), b"").unwrap();
    assert!(Dataset::open(only_mark.path(), None).is_err_and(|e| e.message.contains("unfinished conversion")));
    assert!(Dataset::open(out.path(), None).is_err_and(|e| e.message.contains("unfinished conversion")));
    convert(&again, &|_, _| {}).unwrap();
    assert_eq!(files(out.path()).len(), 4, "two shards of train, one of the single image of val, the index");
}

#[test]
fn shards_that_no_longer_fit_the_index_are_refused() {
    let drawn = DrawnVoc::new(4, 1, 40, 30);
    let out = tempfile::tempdir().unwrap();
    convert(&options(drawn.root(), out.path()), &|_, _| {}).unwrap();
    let shard = out.path().join("train-00001-of-00002.tfrecord");
    let whole = std::fs::read(&shard).unwrap();
    let opened = || Dataset::open(out.path(), None).and_then(|d| d.split("train"));
    std::fs::write(&shard, &whole[..whole.len() - 1]).unwrap();
    assert!(opened().is_err_and(|e| e.message.contains("dataset.json says")));
    std::fs::copy(out.path().join("train-00000-of-00002.tfrecord"), &shard).unwrap();
    let swapped = opened().and_then(|s| s.load(2));
    assert!(swapped.is_err(), "another shard in its place is noticed at opening or reading");
    std::fs::remove_file(&shard).unwrap();
    assert!(opened().is_err_and(|e| e.kind == ErrorKind::Io && e.path == Some(shard)));
}

#[test]
fn turned_photographs_are_refused_or_stored_upright() {
    let drawn = DrawnVoc::new(1, 1, 40, 30);
    let jpeg = std::fs::read(drawn.image("a0")).unwrap();
    std::fs::write(drawn.image("a0"), with_orientation(&jpeg, 6)).unwrap();
    let upright = crate::dataset::drawn::mask(30, 40);
    let classes = crate::labels::Classes::voc();
    std::fs::write(drawn.mask("a0"), encode_mask_png(&upright, &classes).unwrap()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let stored = options(drawn.root(), out.path());
    assert!(convert(&stored, &|_, _| {}).is_err_and(|e| e.message.contains("EXIF orientation 6")));
    convert(&ConvertOptions { exif: ExifPolicy::Upright, ..stored }, &|_, _| {}).unwrap();
    let sample = Dataset::open(out.path(), None).unwrap().split("train").unwrap().load(0).unwrap();
    assert_eq!(sample.image, decode_rgb(&jpeg).unwrap().upright(6));
    assert_eq!(sample.labels, upright);
}
