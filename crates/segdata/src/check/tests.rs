//! Broken data sets and what the linter says of them.

use std::path::Path;

use super::*;
use crate::dataset::OpenOptions;
use crate::dataset::drawn::{DrawnVoc, Foreign, drawn_of_16_bits, foreign_mask, mask};
use crate::image::{ReadOptions, RgbImage, Scale16, encode_mask_png};
use crate::labels::{Classes, LabelMap, VOID};
use crate::size::Size;

fn look(data: &Path) -> Report {
    let options =
        CheckOptions { data: data.to_path_buf(), open: Default::default(), split: None, min_size: 24, pictures: None };
    check(&options, &|_, _| {}).unwrap()
}

fn codes(report: &Report) -> Vec<(&'static str, Option<&str>)> {
    report.problems.iter().map(|p| (p.code, p.id.as_deref())).collect()
}

#[test]
fn a_whole_data_set_has_counts_and_only_remarks_on_absent_classes() {
    let drawn = DrawnVoc::new(3, 2, 40, 30);
    let report = look(drawn.root());
    assert!(report.ok);
    assert_eq!(codes(&report), [("absent_class", None)]);
    let train = &report.splits[0];
    assert_eq!((train.images, train.usable, train.void_pixels), (3, 3, 3 * 40));
    assert_eq!((train.per_class[8].images, train.per_class[8].pixels), (3, 3 * 40 * 14));
    assert_eq!(
        (train.smallest, train.largest, train.different_sizes),
        (Some(Size::new(40, 30)), Some(Size::new(40, 30)), 1)
    );
    let json = serde_json::to_value(train).unwrap();
    assert_eq!((&json["smallest"], &json["largest"]), (&serde_json::json!([40, 30]), &serde_json::json!([40, 30])));
    assert_eq!(json["sizes"], serde_json::json!([{ "width": 40, "height": 30, "images": 3 }]));
}

#[test]
fn everything_wrong_is_reported_in_one_pass_in_the_order_of_the_lists() {
    let drawn = DrawnVoc::new(10, 2, 40, 30);
    std::fs::remove_file(drawn.image("a0")).unwrap();
    std::fs::write(drawn.image("a1"), b"<html>").unwrap();
    std::fs::write(drawn.mask("a2"), b"").unwrap();
    let classes = Classes::voc();
    let write = |id: &str, labels: &LabelMap| {
        std::fs::write(drawn.mask(id), encode_mask_png(labels, &classes).unwrap()).unwrap()
    };
    write("a3", &LabelMap::filled(Size::new(10, 30), 0));
    write("a4", &LabelMap::filled(Size::new(40, 30), 128));
    write("a5", &LabelMap::filled(Size::new(40, 30), VOID));
    std::fs::write(drawn.image("a6"), RgbImage::filled(Size::new(40, 30), [7; 3]).to_png().unwrap()).unwrap();
    drawn.add("a7", 20, 30);
    std::fs::copy(drawn.image("a8"), drawn.image("b1")).unwrap();
    drawn.list("val", &["b0", "b1", "a9", "b0"]);
    let report = look(drawn.root());
    assert!(!report.ok);
    let expected = [
        ("missing_image", Some("a0")),
        ("duplicate_id", Some("b0")),
        ("unreadable_image", Some("a1")),
        ("unreadable_mask", Some("a2")),
        ("size_mismatch", Some("a3")),
        ("mask_values", Some("a4")),
        ("unknown_values", None),
        ("in_both_splits", Some("a9")),
        ("wrong_extension", Some("a6")),
        ("too_small", Some("a7")),
        ("all_void", Some("a5")),
        ("absent_class", None),
        ("same_image", Some("b1")),
    ];
    assert_eq!(codes(&report), expected, "{:#?}", report.problems);
    assert!(report.problems.iter().all(|p| !p.hint.is_empty()));
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| look(drawn.root()));
    assert_eq!(alone.problems, report.problems);
}

#[test]
fn a_class_that_never_occurs_in_train_is_reported() {
    let drawn = DrawnVoc::new(2, 2, 40, 30);
    let mut labels = mask(40, 30);
    labels.ids[0] = 12;
    std::fs::write(drawn.mask("b0"), encode_mask_png(&labels, &Classes::voc()).unwrap()).unwrap();
    let report = look(drawn.root());
    let problem = report.problems.iter().find(|p| p.code == "unseen_class").unwrap();
    assert!(report.ok && problem.message.ends_with("never in train: dog"), "{problem:?}");
}

#[test]
fn masks_that_mean_something_else_are_explained() {
    let drawn = DrawnVoc::new(2, 1, 40, 30);
    // 0/255 read under a class list in which 255 is void: every labelled pixel is background.
    for id in ["a0", "a1", "b0"] {
        let values: Vec<u8> = mask(40, 30).ids.iter().map(|&id| if id == 8 { 255 } else { 0 }).collect();
        std::fs::write(drawn.mask(id), foreign_mask(40, &values, &Foreign::Grey)).unwrap();
    }
    let report = look(drawn.root());
    let trap = report.problems.iter().find(|p| p.code == "one_class").unwrap();
    assert!(trap.message.contains("only class `background` occurs"), "{}", trap.message);
    assert!(trap.hint.contains("255 is the foreground") && trap.hint.contains("255 foreground"), "{}", trap.hint);
    std::fs::write(drawn.root().join("classes.txt"), "0 background\n255 foreground\n").unwrap();
    assert!(look(drawn.root()).ok);
    std::fs::remove_file(drawn.root().join("ImageSets/Segmentation/val.txt")).unwrap();
    let report = look(drawn.root());
    assert!(!report.ok && codes(&report) == [("no_split", None)], "{:?}", report.problems);
}

#[test]
#[ignore = "needs FCN_REAL_DATA, the folder of real data sets"]
fn real_data_sets_have_the_problems_known_of_them() {
    let data = std::env::var_os("FCN_REAL_DATA").expect("FCN_REAL_DATA names the folder of real data sets");
    let data = Path::new(&data);
    let membrane = look(&data.join("membrane"));
    let problem = membrane.problems.iter().find(|p| p.code == "no_classes").unwrap();
    assert!(
        problem.message.contains("255 is the foreground") && problem.hint.contains("255 foreground"),
        "{problem:?}"
    );
    let camvid = look(&data.join("camvid_rgb"));
    let problem = camvid.problems.iter().find(|p| p.code == "no_classes").unwrap();
    assert!(problem.message.contains("24 colours") && problem.hint.contains("class_colours.txt"), "{problem:?}");
    assert!(look(&data.join("rock_voc")).problems.iter().all(|p| p.severity == Severity::Warning));
}

#[test]
fn the_range_of_16_bit_photographs_is_reported_and_must_be_said() {
    let folder = drawn_of_16_bits();
    let look = |scale_16bit| {
        let reading = ReadOptions { scale_16bit, ..ReadOptions::default() };
        let open = OpenOptions { reading, ..OpenOptions::default() };
        let data = folder.path().to_path_buf();
        check(&CheckOptions { data, open, split: None, min_size: 0, pictures: None }, &|_, _| {}).unwrap()
    };
    let cases: [(Option<Scale16>, &[&str]); 5] = [
        (None, &["range_of_16bit", "range_of_16bit", "range_of_16bit"]),
        (Some(Scale16::Bits(12)), &[]),
        (Some(Scale16::Bits(10)), &["range_of_16bit", "range_of_16bit"]),
        (Some(Scale16::Used), &["scales_differ"]),
        (Some(Scale16::Full), &[]),
    ];
    for (scale, expected) in cases {
        let report = look(scale);
        let found: Vec<&str> = report.problems.iter().map(|p| p.code).collect();
        assert_eq!(found, expected, "{scale:?}: {:?}", report.problems);
        let mut hints = report.problems.iter().filter(|p| p.code == "range_of_16bit").map(|p| &p.hint);
        assert!(hints.all(|hint| hint.contains("`scale_16bit 12`")), "{:?}", report.problems);
        assert_eq!(report.splits[0].of_16bit, Some(SixteenBits { images: 2, greatest: 4095, bits: 12 }));
    }
}
