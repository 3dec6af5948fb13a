//! Label files of drawn maps, read by the readers of this crate.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use super::*;
use crate::dataset::Dataset;
use crate::image::RgbImage;
use crate::image::tests::random_map;
use crate::labels::{Classes, LabelMap, VOID};
use crate::rng::{Purpose, Rng};

const FORMATS: [LabelFormat; 4] = [LabelFormat::Coco, LabelFormat::Labelme, LabelFormat::Cvat, LabelFormat::Yolo];

/// Label files of `maps` in a new folder, with photographs in its `images/`: `a0`, `a1`, ...
fn written(maps: &[LabelMap], classes: &Classes, options: LabelOptions) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("images")).unwrap();
    let mut files = LabelFiles::begin(folder.path(), classes, options).unwrap();
    for (i, map) in maps.iter().enumerate() {
        let photograph = folder.path().join(format!("images/a{i}.png"));
        std::fs::write(&photograph, RgbImage::filled(map.size(), [9; 3]).to_png().unwrap()).unwrap();
        let stem = format!("a{i}");
        let path = files.add(&Picture { photograph: &photograph, stem: OsStr::new(&stem) }, map).unwrap();
        assert_eq!(path, folder.path().join(options.format.file_of(OsStr::new(&stem))));
    }
    files.finish().unwrap();
    folder
}

/// The label maps of all splits by id, and the classes.
fn read(folder: &std::path::Path) -> (BTreeMap<String, LabelMap>, Classes) {
    let dataset = Dataset::open(folder, None).unwrap();
    let mut maps = BTreeMap::new();
    for name in dataset.splits() {
        let split = dataset.split(&name).unwrap();
        maps.extend((0..split.len()).map(|i| (split.id(i).to_string(), split.load(i).unwrap().labels)));
    }
    (maps, dataset.classes)
}

#[test]
fn every_corner_kept_the_readers_find_the_same_label_maps() {
    let lists: [&[&str]; 4] = [
        &["background", "cat", "a \"b\" & <c>"],
        &["road", "café", "tree"],
        &["zebra", "ape", "Background"],
        &["one class"],
    ];
    for case in 0..30u64 {
        let mut rng = Rng::derive(8, Purpose::Draw, &[case]);
        let classes = Classes::named(lists[rng.below(4)].to_vec());
        let mut ids: Vec<u8> = (0..classes.len() as u8).chain([VOID]).collect();
        rng.shuffle(&mut ids);
        let maps: Vec<LabelMap> = (0..3).map(|_| random_map(&mut rng, &ids)).collect();
        let expected: BTreeMap<String, LabelMap> =
            maps.iter().enumerate().map(|(i, map)| (format!("a{i}"), map.clone())).collect();
        for format in FORMATS {
            let folder = written(&maps, &classes, LabelOptions { format, simplify: 0.0, void: true });
            let (found, read_classes) = read(folder.path());
            assert!(found == expected, "case {case}, {format:?}: {:?}", classes.names);
            assert_eq!(read_classes, classes, "case {case}, {format:?}");
        }
    }
}

#[test]
fn simplified_outlines_stay_near() {
    let disc = |radius: f64| {
        let at = |i: usize| ((i % 100) as f64 - 49.5, (i / 100) as f64 - 49.5);
        LabelMap {
            width: 100,
            height: 100,
            ids: (0..10_000).map(|i| u8::from(at(i).0.hypot(at(i).1) < radius)).collect(),
        }
    };
    let ring: Vec<u8> = disc(40.0).ids.iter().zip(disc(20.0).ids).map(|(outer, inner)| outer - inner).collect();
    let map = LabelMap { ids: ring, ..disc(0.0) };
    let classes = Classes::named(["background", "ring"]);
    for (format, most) in
        [(LabelFormat::Coco, 0), (LabelFormat::Labelme, 400), (LabelFormat::Cvat, 0), (LabelFormat::Yolo, 400)]
    {
        let folder = written(std::slice::from_ref(&map), &classes, LabelOptions { format, simplify: 1.0, void: false });
        let found = &read(folder.path()).0["a0"];
        let wrong = found.ids.iter().zip(&map.ids).filter(|(a, b)| a != b).count();
        assert!(wrong <= most, "{format:?}: {wrong} pixels");
    }
    let files = |simplify| {
        let options = LabelOptions { format: LabelFormat::Labelme, simplify, void: false };
        std::fs::read_to_string(written(std::slice::from_ref(&map), &classes, options).path().join("a0.json")).unwrap()
    };
    let (exact, simple) = (files(0.0), files(1.0));
    assert!(simple.len() * 4 < exact.len(), "{} of {} bytes", simple.len(), exact.len());
}

#[test]
fn what_is_not_finished_leaves_nothing_and_what_cannot_be_written_is_refused() {
    let classes = Classes::named(["background", "cat"]);
    let map = LabelMap { width: 2, height: 1, ids: vec![0, 7] };
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let options = LabelOptions { format, simplify: 1.0, void: false };
        let picture = Picture { photograph: std::path::Path::new("a.png"), stem: OsStr::new("a") };
        let mut files = LabelFiles::begin(folder.path(), &classes, options).unwrap();
        for ids in [vec![0, 7], vec![VOID, 0]] {
            let refused = files.add(&picture, &LabelMap { ids, ..map.clone() }).unwrap_err();
            assert!(refused.message.contains("has no name"), "{refused}");
        }
        drop(files);
        let left = |path: &std::path::Path| {
            std::fs::read_dir(path).unwrap().filter(|e| e.as_ref().unwrap().path().is_file()).count()
        };
        assert_eq!(left(folder.path()), 0, "{format:?}");
        std::fs::write(folder.path().join("classes.txt"), "0 mine\n").unwrap();
        assert!(LabelFiles::begin(folder.path(), &classes, options).is_err_and(|e| e.hint.is_some()));
        std::fs::remove_file(folder.path().join("classes.txt")).unwrap();
        let wrong = LabelOptions { simplify: f64::NAN, ..options };
        assert!(LabelFiles::begin(folder.path(), &classes, wrong).is_err_and(|e| e.message.contains("NaN")));
    }
}

#[cfg(unix)]
#[test]
fn a_name_that_xml_cannot_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = LabelOptions { format: LabelFormat::Cvat, simplify: 0.0, void: false };
    let mut files = LabelFiles::begin(folder.path(), &Classes::named(["background", "cat"]), options).unwrap();
    let picture = Picture { photograph: std::path::Path::new("a\u{1}.png"), stem: OsStr::new("a") };
    let refused = files.add(&picture, &LabelMap { width: 1, height: 1, ids: vec![1] }).unwrap_err();
    assert!(refused.message.contains("control character"), "{refused}");
}
