//! Masks that say something else than their class list: what the linter says, and that opening says the same.

use std::path::Path;

use super::*;
use crate::convert::{ConvertOptions, ExifPolicy, OnError, Target, VoidPolicy, convert};
use crate::dataset::drawn::Foreign::{Grey, OneBit, Palette, Rgb};
use crate::dataset::drawn::{Foreign, drawn_folder};
use crate::dataset::{Dataset, OpenOptions};
use crate::labels::{MaskValues, voc_colour};

const BLACK: [u8; 3] = [0; 3];
const CAT: [u8; 3] = voc_colour(1);
const DOG: [u8; 3] = voc_colour(2);
const COW: [u8; 3] = voc_colour(3);

/// Nothing but what counts in the masks.
fn reading(mask_values: MaskValues) -> OpenOptions {
    OpenOptions { mask_values, ..OpenOptions::default() }
}

fn look(data: &Path, mask_values: MaskValues) -> Report {
    let options =
        CheckOptions { data: data.to_path_buf(), open: reading(mask_values), split: None, min_size: 1, pictures: None };
    check(&options, &|_, _| {}).unwrap()
}

/// Codes and messages of the errors.
fn errors(report: &Report) -> Vec<(&'static str, &str)> {
    let errors = report.problems.iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(|problem| (problem.code, problem.message.as_str())).collect()
}

fn labels(data: &Path, mask_values: MaskValues) -> Vec<Vec<u8>> {
    let dataset = Dataset::open_with(data, &reading(mask_values)).unwrap();
    let of = |name: &str| {
        let split = dataset.split(name).unwrap();
        (0..split.len()).map(|i| split.load(i).unwrap().labels.ids).collect::<Vec<_>>()
    };
    [of("train"), of("val")].concat()
}

fn conversion(data: &Path, out: &Path) -> ConvertOptions {
    ConvertOptions {
        data: data.to_path_buf(),
        open: OpenOptions::default(),
        out: out.to_path_buf(),
        to: Target::Records,
        splits: Vec::new(),
        shards: 1,
        min_size: 1,
        void: VoidPolicy::Keep,
        on_error: OnError::Stop,
        exif: ExifPolicy::Stored,
        overwrite: false,
    }
}

type Masks = Vec<(&'static [u8], Foreign<'static>)>;

/// Class list, masks, code, what `mask_values` reads the masks right, and the labels then.
type Contradicting = (&'static str, Masks, &'static str, MaskValues, [[u8; 4]; 3]);

/// What other programs made of masks that were right.
fn made_anew() -> [Contradicting; 3] {
    [
        (
            // One colour that is none of a class does not make the others right.
            "0 background\n1 cat\n2 dog\n3 cow",
            vec![
                (&[0, 0, 1, 0], Palette(&[CAT, BLACK, DOG, [9; 3]])),
                (&[0, 3, 1, 1], Palette(&[CAT, BLACK, DOG, [9; 3]])),
                (&[0, 1, 1, 2], Palette(&[CAT, BLACK, DOG, [9; 3]])),
            ],
            "palette_order",
            MaskValues::Index,
            [[0, 0, 1, 0], [0, 3, 1, 1], [0, 1, 1, 2]],
        ),
        (
            // What quantisers make of a white object on black.
            "0 background\n1 cell",
            vec![
                (&[1, 1, 0, 1], Palette(&[[255; 3], BLACK])),
                (&[1, 0, 0, 1], Palette(&[[255; 3], BLACK])),
                (&[0, 0, 0, 1], Palette(&[[255; 3], BLACK])),
            ],
            "palette_order",
            MaskValues::Index,
            [[1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 1]],
        ),
        (
            // RGB masks, one of which was stored as grey.
            "0 sky 128 128 128\n1 wall 128 0 0\n2 other 0 0 0",
            vec![
                (&[0, 1, 2, 0], Rgb(&[[128; 3], [128, 0, 0], BLACK])),
                (&[0, 0, 0, 0], Grey),
                (&[1, 1, 2, 2], Rgb(&[[128; 3], [128, 0, 0], BLACK])),
            ],
            "kinds_differ",
            MaskValues::Colour,
            [[0, 1, 2, 0], [2, 2, 2, 2], [1, 1, 2, 2]],
        ),
    ]
}

fn contradicting() -> [Contradicting; 6] {
    [
        (
            // A tool has sorted the palette of one of them.
            "0 background\n1 polyp",
            vec![
                (&[0, 0, 1, 0], Palette(&[BLACK, CAT])),
                (&[1, 1, 0, 1], Palette(&[CAT, BLACK])),
                (&[0, 1, 1, 1], Palette(&[BLACK, CAT])),
            ],
            "palettes_differ",
            MaskValues::Colour,
            [[0, 0, 1, 0], [0, 0, 1, 0], [0, 1, 1, 1]],
        ),
        (
            // One object a mask, and a palette of what occurs.
            "0 background\n1 cat\n2 dog\n3 cow",
            vec![
                (&[0, 0, 1, 0], Palette(&[BLACK, DOG])),
                (&[0, 0, 1, 1], Palette(&[BLACK, COW])),
                (&[0, 1, 1, 1], Palette(&[BLACK, CAT])),
            ],
            "palettes_differ",
            MaskValues::Colour,
            [[0, 0, 2, 0], [0, 0, 3, 3], [0, 1, 1, 1]],
        ),
        (
            // The same order in all masks, but not that of the classes.
            "0 background\n1 cat\n2 dog\n3 cow",
            vec![
                (&[0, 0, 1, 0], Palette(&[BLACK, COW, CAT, DOG])),
                (&[0, 2, 1, 1], Palette(&[BLACK, COW, CAT, DOG])),
                (&[0, 1, 1, 3], Palette(&[BLACK, COW, CAT, DOG])),
            ],
            "palette_order",
            MaskValues::Colour,
            [[0, 0, 3, 0], [0, 1, 3, 3], [0, 3, 3, 2]],
        ),
        (
            "0 cat 9 9 9\n1 dog 8 8 8",
            vec![
                (&[1, 1, 0, 1], Palette(&[[8; 3], [9; 3]])),
                (&[1, 1, 0, 0], Palette(&[[8; 3], [9; 3]])),
                (&[1, 0, 0, 0], Palette(&[[8; 3], [9; 3]])),
            ],
            "palette_order",
            MaskValues::Colour,
            [[0, 0, 1, 0], [0, 0, 1, 1], [0, 1, 1, 1]],
        ),
        (
            // Different palettes whose indices are right after all.
            "0 background\n1 cat",
            vec![
                (&[0, 0, 1, 0], Palette(&[BLACK, [1, 2, 3]])),
                (&[0, 1, 1, 1], Palette(&[BLACK, [3, 2, 1]])),
                (&[1, 1, 0, 0], Palette(&[BLACK, [1, 2, 3]])),
            ],
            "palettes_differ",
            MaskValues::Index,
            [[0, 0, 1, 0], [0, 1, 1, 1], [1, 1, 0, 0]],
        ),
        (
            // 255 saved in one bit is 1.
            "0 background\n1 cell",
            vec![(&[0, 0, 1, 255], Grey), (&[0, 1, 1, 0], OneBit), (&[0, 255, 1, 1], Grey)],
            "bit_depths_differ",
            MaskValues::Index,
            [[0, 0, 1, 255], [0, 1, 1, 0], [0, 255, 1, 1]],
        ),
    ]
}

#[test]
fn masks_that_contradict_each_other_are_refused_everywhere_in_the_same_words_and_the_remedy_works() {
    let mut failures = Vec::new();
    for (list, masks, code, remedy, expected) in contradicting().into_iter().chain(made_anew()) {
        let folder = drawn_folder(list, &masks);
        let report = look(folder.path(), MaskValues::Stored);
        let found = errors(&report);
        let message = match found[..] {
            [(first, message)] if first == code => message.to_string(),
            _ => {
                failures.push(format!("{list:?}: expected {code}, found {found:?}"));
                continue;
            }
        };
        for split in ["train", "val"] {
            let refused = Dataset::open(folder.path(), None).and_then(|set| set.split(split)).unwrap_err();
            if refused.message != message || refused.hint.is_none_or(|hint| !hint.contains("`mask_values ")) {
                failures.push(format!("{list:?}: `{}` instead of `{message}`", refused.message));
            }
        }
        let out = folder.path().join("records");
        let refused = convert(&conversion(folder.path(), &out), &|_, _| {}).unwrap_err();
        if refused.message != message || out.exists() {
            failures.push(format!("{list:?}: convert says {refused}"));
        }
        let read = look(folder.path(), remedy);
        if !errors(&read).is_empty() || labels(folder.path(), remedy) != expected {
            failures.push(format!("{list:?}: {:?} {:?}", read.problems, labels(folder.path(), remedy)));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn masks_that_are_right_raise_no_alarm_and_mean_the_same_in_every_form() {
    let voc: Vec<[u8; 3]> = (0..=255).map(voc_colour).collect();
    let grey: Vec<[u8; 3]> = (0..=255).map(|v| [v; 3]).collect();
    let one_colour = [BLACK; 4];
    let masks: [&[u8]; 3] = [&[0, 1, 2, 0], &[1, 1, 1, 2], &[0, 0, 2, 2]];
    /// Class list, how the masks are drawn, labels.
    type Case<'a> = (&'static str, [Foreign<'a>; 3], [[u8; 4]; 3]);
    let void0 = [[255, 0, 1, 255], [0, 0, 0, 1], [255, 255, 1, 1]];
    let plain = [[0, 1, 2, 0], [1, 1, 1, 2], [0, 0, 2, 2]];
    let cases: [Case<'_>; 9] = [
        ("0 void\n1 cat\n2 dog", [Palette(&voc), Palette(&voc), Palette(&voc)], void0),
        ("0 void\n1 cat\n2 dog", [Rgb(&voc), Rgb(&voc), Rgb(&voc)], void0),
        ("0 void\n1 cat\n2 dog", [Rgb(&grey), Rgb(&grey), Rgb(&grey)], void0),
        ("0 void\n1 cat\n2 dog", [Grey, Rgb(&voc), Palette(&voc)], void0),
        ("0 background\n1 cat\n2 dog", [Palette(&grey), Palette(&grey), Palette(&grey)], plain),
        ("0 background\n1 cat\n2 dog", [Palette(&one_colour), Palette(&one_colour), Grey], plain),
        ("0 background\n1 cat\n2 dog", [Palette(&voc[..3]), Palette(&voc), Grey], plain),
        ("0 background\n1 cat 9 9 9\n2 dog 8 8 8", [Palette(&voc), Palette(&voc), Grey], plain),
        ("0 background 1 1 1\n1 cat 2 2 2\n2 dog 3 3 3", [Rgb(&[[1; 3], [2; 3], [3; 3]]), Grey, Grey], plain),
    ];
    let mut failures = Vec::new();
    for (list, how, expected) in cases {
        let drawn: Vec<_> = masks.into_iter().zip(how).collect();
        let folder = drawn_folder(list, &drawn);
        let report = look(folder.path(), MaskValues::Stored);
        if !report.problems.is_empty() {
            failures.push(format!("{list:?}: {:?}", report.problems));
        } else if labels(folder.path(), MaskValues::Stored) != expected {
            failures.push(format!("{list:?}: {:?}", labels(folder.path(), MaskValues::Stored)));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn one_bit_beside_eight_is_no_contradiction_where_none_holds_255() {
    let folder =
        drawn_folder("0 background\n1 cell", &[(&[0, 0, 1, 1], Grey), (&[0, 1, 1, 0], OneBit), (&[0, 0, 1, 1], Grey)]);
    assert!(look(folder.path(), MaskValues::Stored).problems.is_empty());
}

#[test]
fn truths_of_one_class_are_refused_by_convert_as_by_check() {
    let cases: [(&str, [&[u8]; 3], &str); 3] = [
        ("0 background\n1 cell", [&[0, 255, 0, 255], &[0; 4], &[255; 4]], "only class `background` occurs"),
        ("0 background\n1 cell", [&[255; 4], &[255; 4], &[255; 4]], "only void occurs"),
        ("0 void\n1 cat\n2 dog", [&[0, 1, 0, 1], &[1; 4], &[0; 4]], "only class `cat` occurs"),
    ];
    for (list, masks, expected) in cases {
        let folder = drawn_folder(list, &masks.map(|values| (values, Grey)));
        let report = look(folder.path(), MaskValues::Stored);
        let found = errors(&report);
        let refused = convert(&conversion(folder.path(), &folder.path().join("out")), &|_, _| {}).unwrap_err();
        assert!(found.len() == 1 && found[0].0 == "one_class" && found[0].1.contains(expected), "{found:?}");
        assert_eq!(refused.message, found[0].1);
    }
}

#[test]
fn values_in_equal_channels_are_proposed_by_their_value() {
    let grey: Vec<[u8; 3]> = (0..=255).map(|v| [v; 3]).collect();
    let masks: [&[u8]; 3] = [&[0, 2, 2, 2], &[2, 2, 1, 2], &[0, 3, 2, 2]];
    let folder = drawn_folder("", &masks.map(|values| (values, Rgb(&grey))));
    std::fs::remove_file(folder.path().join("classes.txt")).unwrap();
    let report = look(folder.path(), MaskValues::Stored);
    let list = report.class_list.unwrap();
    assert_eq!(list, "0 background\n1 class_1\n2 class_2\n3 class_3\n255 void\n");
    std::fs::write(folder.path().join("classes.txt"), list).unwrap();
    assert!(look(folder.path(), MaskValues::Stored).ok);
    assert_eq!(labels(folder.path(), MaskValues::Stored), masks);
}

#[test]
fn a_class_255_that_is_called_like_void_is_a_warning() {
    for (name, warned) in
        [("unlabeled", true), ("ignore_label", true), ("Border", true), ("cell", false), ("void", false)]
    {
        let list = format!("0 background\n1 cat\n255 {name}");
        let folder = drawn_folder(&list, &[(&[0, 1, 255, 1], Grey), (&[0, 1, 1, 1], Grey), (&[1, 0, 255, 0], Grey)]);
        let report = look(folder.path(), MaskValues::Stored);
        let codes: Vec<&str> = report.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, if warned { vec!["void_name"] } else { vec![] }, "{name}");
    }
}

#[test]
fn without_a_class_list_the_colours_of_palettes_are_proposed_where_they_were_asked_for() {
    let red = [200, 10, 10];
    let masks: [(&[u8], _); 3] = [
        (&[0, 0, 1, 0], Palette(&[BLACK, [200, 10, 10]])),
        (&[1, 1, 0, 1], Palette(&[[200, 10, 10], BLACK])),
        (&[0, 1, 1, 1], Palette(&[BLACK, [200, 10, 10]])),
    ];
    let folder = drawn_folder("", &masks);
    std::fs::remove_file(folder.path().join("classes.txt")).unwrap();
    let report = look(folder.path(), MaskValues::Colour);
    assert!(report.write_class_list(&folder.path().join("train.txt")).is_err_and(|e| e.message.contains("exists")));
    report.write_class_list(&folder.path().join("classes.txt")).unwrap();
    let report = look(folder.path(), MaskValues::Colour);
    assert!(report.ok && report.classes.palette == [BLACK, red], "{:?}", report.problems);
    assert!(report.write_class_list(&folder.path().join("more.txt")).is_err_and(|e| e.hint.is_some()));
    assert_eq!(labels(folder.path(), MaskValues::Colour), [[0, 0, 1, 0], [0, 0, 1, 0], [0, 1, 1, 1]]);
}

#[test]
fn equal_channels_count_as_colours_where_the_class_list_names_colours() {
    let grey: Vec<[u8; 3]> = (0..=255).map(|v| [v; 3]).collect();
    let list = "0 background 0 0 0\n1 road 255 255 255";
    let masks: [&[u8]; 3] = [&[0, 255, 255, 0], &[0, 1, 0, 0], &[255, 0, 0, 0]];
    let folder = drawn_folder(list, &masks.map(|values| (values, Rgb(&grey))));
    let split = Dataset::open(folder.path(), None).unwrap().split("train").unwrap();
    assert_eq!(split.load(0).unwrap().labels.ids, [0, 1, 1, 0]);
    let refused = split.load(1).unwrap_err();
    assert!(refused.hint.is_some_and(|hint| hint.contains("`mask_values index`")), "noise is no id");
}
