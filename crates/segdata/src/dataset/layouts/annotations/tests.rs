//! Small data sets of every layout, written by the tests, whole and hostile.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::dataset::{Dataset, Form};
use crate::error::Result;
use crate::files::tree::tests::{tar_of, zip_of};
use crate::image::{RgbImage, encode_mask_png};
use crate::labels::{Classes, LabelMap, VOID};
use crate::size::Size;

/// A data set in a temporary folder.
struct Written {
    dir: tempfile::TempDir,
}

impl Written {
    fn new() -> Self {
        Written { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), content).unwrap();
        self
    }

    /// A photograph of 8x6 pixels.
    fn photograph(&self, name: &str) -> &Self {
        self.file(name, photograph())
    }

    fn open(&self) -> Result<Dataset> {
        Dataset::open(self.dir.path(), None)
    }

    /// The class ids of one sample.
    fn ids(&self, split: &str, id: &str) -> Vec<u8> {
        let split = self.open().unwrap().split(split).unwrap();
        let at = split.position(id).unwrap_or_else(|| panic!("no {id} in {:?}", split.name()));
        let sample = split.load(at).unwrap();
        assert_eq!(sample.image.size(), Size::new(8, 6));
        sample.labels.ids
    }

    /// The error of opening and loading everything; empty where there is none.
    fn error(&self) -> String {
        let all = |dataset: Dataset| {
            for name in dataset.splits() {
                let split = dataset.split(&name)?;
                (0..split.len()).try_for_each(|i| split.load(i).map(drop))?;
            }
            Ok(())
        };
        self.open()
            .and_then(all)
            .map_or_else(|e| format!("{e} [{}]", e.hint.clone().unwrap_or_default()), |()| String::new())
    }
}

fn photograph() -> Vec<u8> {
    RgbImage::filled(Size::new(8, 6), [90; 3]).to_png().unwrap()
}

/// A map of 8x6 with rectangles of ids: left, top, right, bottom.
fn map(rectangles: &[(u8, [usize; 4])]) -> Vec<u8> {
    let mut ids = vec![0; 48];
    for &(id, [left, top, right, bottom]) in rectangles {
        (top..bottom).for_each(|y| ids[y * 8 + left..y * 8 + right].fill(id));
    }
    ids
}

/// A COCO file with one picture, `a.png`, and these annotations of the categories 3 `dog` and 7 `cat`.
fn coco(annotations: &str) -> String {
    format!(
        r#"{{"images": [{{"id": 1, "file_name": "a.png", "width": 8, "height": 6}}], "annotations": [{annotations}],
            "categories": [{{"id": 7, "name": "cat"}}, {{"id": 3, "name": "dog"}}]}}"#
    )
}

const SQUARE: &str = r#"{"id": 5, "image_id": 1, "category_id": 3, "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}"#;

const RUNS: &str = r#"{"id": 6, "image_id": 1, "category_id": 7, "iscrowd": 1, "segmentation": {"size": [6, 8], "counts": [20, 4, 24]}}"#;

#[test]
fn coco_draws_polygons_and_run_lengths_in_the_order_of_the_file() {
    let written = Written::new();
    written.photograph("train2017/a.png").photograph("val2017/a.png");
    written.file("annotations/instances_train2017.json", coco(&format!("{SQUARE}, {RUNS}")));
    let text = r#"{"id": 6, "image_id": 1, "category_id": 7, "segmentation": {"size": [6, 8], "counts": "d04h0"}}"#;
    written.file("annotations/instances_val2017.json", format!("\u{feff}{}", coco(&format!("{text}, {SQUARE}"))));
    written.file("annotations/captions_val2017.json", "{\"annotations\": [");
    let dataset = written.open().unwrap();
    assert_eq!((dataset.form, dataset.splits()), (Form::Coco, vec!["train".into(), "val".into()]));
    assert_eq!(dataset.classes.names, ["background", "dog", "cat"]);
    assert_eq!(written.ids("train", "a"), map(&[(1, [0, 0, 4, 4]), (2, [3, 2, 4, 6])]));
    assert_eq!(written.ids("val", "a"), map(&[(2, [3, 2, 4, 6]), (1, [0, 0, 4, 4])]));
    let fingerprint = dataset.split("train").unwrap().fingerprint();
    written.file("annotations/instances_train2017.json", coco(SQUARE));
    assert_ne!(written.open().unwrap().split("train").unwrap().fingerprint(), fingerprint);
}

#[test]
fn coco_is_found_where_exporters_put_it() {
    // the JSON file, its photograph, the splits, what is opened
    let cases: [(&str, &str, &[&str], &str); 7] = [
        ("train/_annotations.coco.json", "train/a.png", &["train"], ""),
        ("valid/_annotations.coco.json", "valid/a.png", &["val"], ""),
        ("annotations/instances_default.json", "images/default/a.png", &["train"], ""),
        ("labels.json", "data/a.png", &["train"], ""),
        ("result.json", "images/a.png", &["train"], ""),
        ("coco.json", "a.png", &["train"], "coco.json"),
        ("annotations/instances_val.json", "images/val/a.png", &["val"], "annotations/instances_val.json"),
    ];
    for (json, photograph, splits, opened) in cases {
        let written = Written::new();
        written.file(json, coco(SQUARE)).photograph(photograph);
        let dataset = Dataset::open(&written.path(opened), None).unwrap();
        assert_eq!(
            (dataset.form, dataset.splits()),
            (Form::Coco, splits.iter().map(|s| s.to_string()).collect()),
            "{json}"
        );
        assert_eq!(dataset.split(splits[0]).unwrap().load(0).unwrap().labels.ids, map(&[(1, [0, 0, 4, 4])]), "{json}");
    }
}

#[test]
fn a_class_list_decides_the_ids_of_labels_by_name() {
    let written = Written::new();
    written.file("coco.json", coco(&format!("{SQUARE}, {RUNS}"))).photograph("a.png");
    written.file("classes.txt", "0 cat\n1 background\n2 cow\n3 dog\n");
    let expected: Vec<u8> = map(&[(3, [0, 0, 4, 4]), (9, [3, 2, 4, 6])]);
    let expected: Vec<u8> = expected.into_iter().map(|id| [1, 0, 0, 3, 0, 0, 0, 0, 0, 0][usize::from(id)]).collect();
    assert_eq!(written.ids("train", "a"), expected);
    written.file("classes.txt", "0 void\n1 dog\n2 cat\n");
    assert_eq!(written.ids("train", "a")[47], VOID);
    written.file("classes.txt", "0 background\n1 dog\n");
    assert!(
        written.error().contains("annotation 2 (id 6): the label `cat` is not in the class list"),
        "{}",
        written.error()
    );
    written.file("classes.txt", "0 dog\n1 cat\n");
    assert!(written.error().contains("no background"), "{}", written.error());
}

/// A COCO file whose annotation has another segmentation than the square's.
fn segmented(segmentation: &str) -> String {
    coco(&SQUARE.replace("[[0, 0, 4, 0, 4, 4, 0, 4]]", segmentation))
}

/// Files of COCO's, with what the error must say; it names the file unless the case is in `elsewhere`.
fn assert_refused(cases: &[(&str, String, &str)], elsewhere: &[&str]) {
    let mut failures = Vec::new();
    for (what, text, expected) in cases {
        let written = Written::new();
        written.file("coco.json", text).photograph("a.png");
        let error = written.error();
        if !error.contains(expected) || !(error.contains("coco.json") || elsewhere.contains(what)) {
            failures.push(format!("{what}: expected {expected:?}, got {error}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
#[rustfmt::skip]
fn hostile_coco_files_name_file_and_place() {
    let second = "\"height\": 6}, {\"id\": 1, \"file_name\": \"a.png\"}";
    let cases = [
        ("cut", coco(SQUARE)[..90].into(), "line 1 column 90"),
        ("no lists", r#"{"images": []}"#.into(), "has no list `annotations`"),
        ("list", "[{\"images\": 1}]".into(), "cannot be read: "),
        ("text", coco("").replace("[{\"id\": 1", "\"a\", \"x\": [{\"id\": 1"), "cannot be read: invalid type: string"),
        ("no id", coco(SQUARE).replace("\"id\": 7, ", ""), "missing field `id` at line"),
        ("no image", r#"{"images": [], "annotations": [], "categories": []}"#.into(), "lists no image"),
        ("box", segmented("[]"), "holds boxes only"),
        ("one box", segmented("null").replace("}],\n", &format!("}}, {SQUARE}],\n")), "annotation 1 (id 5): it has no segmentation"),
        ("stray", coco(&SQUARE.replace("\"image_id\": 1", "\"image_id\": 99")), "is of the image 99, which the file does not list"),
        ("category", coco(&SQUARE.replace("\"category_id\": 3", "\"category_id\": \"x\"")), "there is no category `x`"),
        ("huge id", coco(SQUARE).replace("\"id\": 1,", "\"id\": 18446744073709551615,"), "is too large"),
        ("twice", coco(SQUARE).replace("\"height\": 6}", second), "annotated twice"),
        ("no photograph", coco(SQUARE).replace("a.png", "b.png"), "none of them lies beside it"),
        ("above", coco(SQUARE).replace("a.png", "../../b.png"), "none of them lies beside it"),
        ("size", coco("").replace("\"width\": 8", "\"width\": 9"), "the image is 8x6, its mask 9x6"),
        ("large", coco("").replace("\"width\": 8", "\"width\": 99999999"), "above the limit"),
        ("part size", coco("").replace("\"width\": 8", "\"width\": 8.5"), "8.5 is no size in pixels at line 1"),
    ];
    assert_refused(&cases, &["size", "twice"]);
}

#[test]
#[rustfmt::skip]
fn hostile_segmentations_name_file_and_place() {
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let far = "[[0,0,1000000,0,0,1000000,".to_string() + &"0,0,1000000,0,".repeat(60) + "0,0]]";
    let cases = [
        ("one list", segmented("[0, 0, 4, 0, 4, 4]"), "expected a polygon [x, y, x, y, ...] in a list of polygons at line"),
        ("text", segmented("[[0, 0, \"4\", 0, 4, 4]]"), "invalid type: string \"4\""),
        ("NaN", segmented("[[0, 0, NaN, 0, 4, 4]]"), "at line 1 column"),
        ("huge", segmented("[[0, 0, 1e999, 0, 4, 4]]"), "number out of range at line"),
        ("far", segmented("[[0, 0, 1e300, 0, 4, 4]]"), "annotation 1 (id 5): point 2 of the polygon has the coordinate 1"),
        ("long", segmented(&far), "pixels long"),
        ("odd", segmented("[[0, 0, 4, 0, 4]]"), "annotation 1 (id 5): a polygon has 5 coordinates"),
        ("two points", segmented("[[0, 0, 4, 4]]"), "annotation 1 (id 5): the polygon has 2 points"),
        ("nested", segmented(&nested), "invalid type: sequence, expected f64 at line 1"),
        ("counts", segmented(r#"{"size": [6, 8], "counts": [20, 4]}"#), "add up to 24 pixels, a picture of 8x6 has 48"),
        ("negative", segmented(r#"{"size": [6, 8], "counts": [-1, 49]}"#), "invalid value: integer `-1`"),
        ("characters", segmented(r#"{"size": [6, 8], "counts": "d0 4h0"}"#), "character 3 of the run lengths"),
        ("sides", segmented(r#"{"size": [8, 6], "counts": [20, 4, 24]}"#), "a picture of 6x8 are drawn on one of 8x6"),
        ("vast", segmented(r#"{"size": [99999999, 99999999], "counts": "0"}"#), "add up to 0 pixels"),
        ("no size", segmented(r#"{"counts": "0"}"#), "missing field `size` at line"),
    ];
    assert_refused(&cases, &[]);
}

#[test]
fn a_polygon_of_a_million_points_is_drawn_or_refused_in_time() {
    let points: String =
        (0..500_000).map(|i| format!("{},{},{},{},", i % 8, i % 6, (i * 3) % 8, (i * 5) % 6)).collect();
    let written = Written::new();
    let annotation = SQUARE.replace("[[0, 0, 4, 0, 4, 4, 0, 4]]", &format!("[[{}]]", points.trim_end_matches(',')));
    written.file("coco.json", coco(&annotation)).photograph("a.png");
    assert_eq!(written.error(), "");
}

/// A labelme file of `a.png` with these shapes.
fn labelme(shapes: &str) -> String {
    format!(
        r#"{{"version": "5.4.1", "flags": {{}}, "shapes": [{shapes}], "imagePath": "..\\x\\a.png", "imageData": null,
            "imageHeight": 6, "imageWidth": 8}}"#
    )
}

fn labelme_shape(label: &str, kind: &str, points: &str) -> String {
    format!(r#"{{"label": "{label}", "points": {points}, "group_id": null, "shape_type": "{kind}", "flags": {{}}}}"#)
}

#[test]
fn labelme_draws_its_shapes_under_sorted_names() {
    let written = Written::new();
    let shapes = [
        labelme_shape("dog", "rectangle", "[[4, 4], [0, 0]]"),
        labelme_shape("cat", "polygon", "[[2, 0], [6, 0], [6, 2], [2, 2]]"),
        labelme_shape("__ignore__", "polygon", "[[0, 4], [8, 4], [8, 6], [0, 6]]"),
        labelme_shape("_background_", "rectangle", "[[0, 0], [1, 1]]"),
    ];
    written.file("a.json", labelme(&shapes.join(", "))).photograph("a.png");
    let expected = map(&[(2, [0, 0, 4, 4]), (1, [2, 0, 6, 2]), (VOID, [0, 4, 8, 6]), (0, [0, 0, 1, 1])]);
    assert_eq!(written.open().unwrap().classes.names, ["background", "cat", "dog"]);
    assert_eq!(written.ids("train", "a"), expected);

    let apart = Written::new();
    apart.file("annotations/a.json", labelme(&shapes.join(", "))).photograph("images/a.png");
    assert_eq!(apart.ids("train", "a"), expected);

    let mask = encode_mask_png(&LabelMap { width: 2, height: 2, ids: vec![1, 0, 1, 1] }, &Classes::voc()).unwrap();
    let mask = labelme_shape("dog", "mask", "[[6, 4], [7, 5]]")
        .replace("\"flags\"", &format!("\"mask\": {:?}, \"flags\"", STANDARD.encode(mask)));
    let circle = labelme_shape("cat", "circle", "[[3, 3], [3, 5]]");
    let embedded = format!("\"imageData\": {:?}", STANDARD.encode(photograph()));
    written.file(
        "b.json",
        labelme(&[circle, mask].join(", ")).replace("a.png", "b.png").replace("\"imageData\": null", &embedded),
    );
    let dataset = written.open().unwrap();
    let held = if dataset.split("val").unwrap().position("b").is_some() { "val" } else { "train" };
    let ids = written.ids(held, "b");
    assert_eq!([6, 7].map(|x| [4, 5].map(|y| ids[y * 8 + x])), [[2, 2], [0, 2]]);
    assert_eq!(ids.iter().filter(|id| **id == 1).count(), 12, "{ids:?}");
}

#[test]
fn hostile_labelme_files_name_file_and_shape() {
    let shape = |kind: &str, points: &str| labelme(&labelme_shape("dog", kind, points));
    let cases: Vec<(&str, String, &str)> = vec![
        ("cut", labelme("")[..60].into(), "line 1 column 60"),
        ("type", shape("polygon", "[[0, 0], [4, \"x\"], [4, 4]]"), "invalid type: string \"x\""),
        ("triple", shape("polygon", "[[0, 0, 0], [4, 0], [4, 4]]"), "at line 1"),
        ("point", shape("point", "[[0, 0]]"), "shape 1 (`dog`): a `point` has no area"),
        ("line", shape("linestrip", "[[0, 0], [1, 1]]"), "a `linestrip` has no area"),
        ("unknown", shape("cuboid", "[[0, 0], [1, 1]]"), "of the type `cuboid`"),
        ("two", shape("polygon", "[[0, 0], [1, 1]]"), "shape 1 (`dog`): the polygon has 2 points"),
        ("three", shape("rectangle", "[[0, 0], [1, 1], [2, 2]]"), "a rectangle has 3 points"),
        ("far", shape("circle", "[[0, 0], [1e200, 1]]"), "has the coordinate"),
        ("mask", shape("mask", "[[0, 0], [1, 1]]"), "has no `mask`"),
        ("photograph", shape("polygon", "[[0, 0], [1, 1], [0, 1]]").replace("a.png", "../../../etc/passwd"), ""),
        ("name", labelme(&labelme_shape("a\\nb", "polygon", "[[0, 0], [1, 1], [0, 1]]")), "is no name of a class"),
    ];
    let mut failures = Vec::new();
    for (what, text, expected) in cases {
        let written = Written::new();
        written.file("a.json", text).photograph("a.png");
        let error = written.error();
        let placed = what == "name" || error.contains("a.json");
        if !error.contains(expected) || (expected.is_empty() != error.is_empty()) || !(placed || error.is_empty()) {
            failures.push(format!("{what}: expected {expected:?}, got {error}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let written = Written::new();
    written.file("a.json", labelme(""));
    assert!(written.error().contains("no photograph"), "{}", written.error());
    written.file("a.json", labelme("").replace("\"imageData\": null", "\"imageData\": \"!\""));
    assert!(written.error().contains("is no base64"), "{}", written.error());
}

/// A CVAT file of `a.png` with these shapes.
fn cvat(shapes: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<annotations><version>1.1</version><meta><task><labels>\n\
         <label><name>dog</name><color>#ff8000</color><attributes></attributes></label>\n\
         <label><name>cat &amp; mouse</name><color>#0080ff</color></label></labels></task></meta>\n\
         <image id=\"0\" name=\"a.png\" width=\"8\" height=\"6\">\n{shapes}\n</image></annotations>\n"
    )
}

#[test]
fn cvat_draws_its_shapes_by_z_order() {
    let written = Written::new();
    let shapes = "<box label=\"cat &amp; mouse\" xtl=\"0\" ytl=\"0\" xbr=\"4\" ybr=\"4\" z_order=\"1\" source=\"manual\"></box>\n\
                  <polygon label=\"dog\" points=\"2.00,0.00;6.00,0.00;6.00,2.00;2.00,2.00\" z_order=\"0\"><attribute name=\"x\">1</attribute></polygon>\n\
                  <mask label=\"dog\" rle=\"1, 3\" left=\"6\" top=\"4\" width=\"2\" height=\"2\" z_order=\"0\"/>\n\
                  <tag label=\"dog\"/>";
    written.file("annotations.xml", cvat(shapes)).photograph("images/a.png");
    let dataset = written.open().unwrap();
    assert_eq!(
        (dataset.form, dataset.classes.names),
        (Form::Cvat, ["background", "dog", "cat & mouse"].map(String::from).to_vec())
    );
    assert_eq!(dataset.classes.palette, [[0; 3], [255, 128, 0], [0, 128, 255]]);
    let expected = map(&[(1, [2, 0, 6, 2]), (2, [0, 0, 4, 4]), (1, [7, 4, 8, 5]), (1, [6, 5, 8, 6])]);
    assert_eq!(written.ids("train", "a"), expected);
    let ellipse = "<ellipse label=\"dog\" cx=\"4\" cy=\"3\" rx=\"3\" ry=\"2\" rotation=\"90\"/>";
    written.file("annotations.xml", cvat(ellipse).replace("name=\"a.png\"", "name=\"a.png\" subset=\"Validation\""));
    assert_eq!(written.ids("val", "a").iter().filter(|id| **id == 1).count(), 20);
    assert_eq!(Dataset::open(&written.path("annotations.xml"), None).unwrap().form, Form::Cvat);
}

#[test]
fn hostile_cvat_files_name_file_and_line() {
    let cases: Vec<(&str, String, &str)> = vec![
        ("cut", cvat("")[..200].into(), "the CVAT file: "),
        ("crossed", cvat("</label>"), "line 6 of the CVAT file"),
        (
            "polyline",
            cvat("<polyline label=\"dog\" points=\"0,0;1,1\"/>"),
            "line 6: image `a.png`: a polyline has no area",
        ),
        ("points", cvat("\n<points label=\"dog\" points=\"0,0\"/>"), "line 7: image `a.png`: a points has no area"),
        ("track", cvat("<track id=\"0\"/>"), "tracks of a video"),
        ("no points", cvat("<polygon label=\"dog\"/>"), "<polygon> has no `points`"),
        ("no number", cvat("<polygon label=\"dog\" points=\"0,0;1,x;2,2\"/>"), "\"1,x\" is no point"),
        ("NaN", cvat("<polygon label=\"dog\" points=\"0,0;1,NaN;2,2\"/>"), "has the coordinate NaN"),
        (
            "box",
            cvat("<box label=\"dog\" xtl=\"a\" ytl=\"0\" xbr=\"4\" ybr=\"4\"/>"),
            "`xtl` is \"a\", expected a number",
        ),
        (
            "mask",
            cvat("<mask label=\"dog\" rle=\"1,2\" left=\"0\" top=\"0\" width=\"9\" height=\"9\"/>"),
            "add up to 3 pixels",
        ),
        (
            "vast",
            cvat("<mask label=\"dog\" rle=\"1\" left=\"0\" top=\"0\" width=\"99999\" height=\"99999\"/>"),
            "above the limit",
        ),
        (
            "label",
            cvat("<polygon label=\"cow\" points=\"0,0;1,0;2,2\"/>"),
            "line 6: image `a.png`: the label `cow` is not among",
        ),
        ("width", cvat("").replace("width=\"8\"", "width=\"-8\""), "`width` is \"-8\""),
        ("large", cvat("").replace("width=\"8\"", "width=\"4000000000\""), "above the limit"),
        ("deep", cvat(&format!("{}{}", "<a>".repeat(9000), "</a>".repeat(9000))), "more than 64 tags"),
        ("entity", cvat("<polygon label=\"&x;\" points=\"0,0;1,0;2,2\"/>"), "a.png"),
        ("no image", "<annotations></annotations>".into(), "lists no image"),
        ("photograph", cvat("").replace("a.png", "../../b.png"), "none of them lies beside it"),
    ];
    let mut failures = Vec::new();
    for (what, text, expected) in cases {
        let written = Written::new();
        written.file("annotations.xml", text).photograph("images/a.png");
        let error = written.error();
        if !error.contains(expected) || !error.contains("annotations.xml") {
            failures.push(format!("{what}: expected {expected:?}, got {error}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn photographs_of_one_name_in_two_splits_are_told_apart_and_unlabelled_ones_are_counted() {
    let written = Written::new();
    written.photograph("train/images/a.png").photograph("valid/images/a.png").photograph("train/images/b.png");
    // Another photograph: more bytes.
    let other = RgbImage::filled(Size::new(8, 6), [7; 3]).to_png().unwrap();
    std::fs::write(written.dir.path().join("valid/images/a.png"), [&other[..], b"more"].concat()).unwrap();
    written.file("train/labels/a.txt", "0 0 0 1 0 1 1").file("valid/labels/a.txt", "0 0 0 1 0 1 1");
    written.file("data.yaml", "train: train/images\nval: valid/images\nnames: [dog]\n");
    let dataset = written.open().unwrap();
    assert_eq!(dataset.split_as_listed("train").unwrap().id(0), "train/a");
    assert_eq!(dataset.split_as_listed("val").unwrap().id(0), "val/a");

    let labelled = Written::new();
    labelled.photograph("a.png").photograph("b.png");
    labelled
        .file("a.json", r#"{"version": "5", "shapes": [], "imagePath": "a.png", "imageHeight": 6, "imageWidth": 8}"#);
    let left_out = labelled.open().unwrap().left_out().map(str::to_string);
    assert!(left_out.as_deref().is_some_and(|s| s.contains("1 photographs without labels")), "{left_out:?}");
}

#[test]
fn yolo_draws_lines_in_their_order() {
    let written = Written::new();
    let line = "0 0 0 0.5 0 0.5 0.66667 0 0.66667\n1.0 0.25 0 0.75 0 0.75 0.33333 0.25 0.33333\n\n";
    written.photograph("images/train/a.png").photograph("images/train/empty.png").photograph("images/val/b.png");
    written.file("labels/train/a.txt", line).file("labels/val/b.txt", "1 0 0 1 0 1 1 0 1");
    let config = "path: ../datasets/x\ntrain: images/train\nval: images/val\ntest: images/test\nnames: [dog, cat]\n";
    written.file("data.yaml", config).photograph("images/test/c.png");
    let dataset = written.open().unwrap();
    assert_eq!((dataset.form, dataset.splits()), (Form::Yolo, vec!["train".into(), "val".into()]));
    assert_eq!(dataset.classes.names, ["background", "dog", "cat"]);
    assert_eq!(written.ids("train", "a"), map(&[(1, [0, 0, 4, 4]), (2, [2, 0, 6, 2])]));
    assert_eq!(written.ids("train", "empty"), [0; 48]);
    assert_eq!(written.ids("val", "b"), [2; 48]);

    let exported = Written::new();
    exported.photograph("train/images/a.png").photograph("valid/images/a2.png");
    exported.file("train/labels/a.txt", line).file("valid/labels/a2.txt", line);
    exported.file("data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['dog', 'cat']\n");
    assert_eq!(exported.ids("val", "a2"), written.ids("train", "a"));
    std::fs::remove_file(exported.path("data.yaml")).unwrap();
    assert!(exported.error().contains("nothing says what the numbers"), "{}", exported.error());
    exported.file("classes.txt", "0 background\n1 dog\n2 cat");
    assert!(exported.error().contains("nothing says what the numbers"), "numbers could be shifted by one");
}

#[test]
fn hostile_yolo_files_name_file_and_line() {
    let cases = [
        ("0 0.5 0.5 0.2 0.2\n0 0.1 0.1 0.2 0.2", "detection labels"),
        ("0 0 0 1 0 1 1\n0 0.5 0.5 0.2 0.2", "a.txt: line 2: 5 numbers are a box"),
        ("0 0 0 1 0 1", "a.txt: line 1: 5 coordinates are no polygon"),
        ("0", "0 coordinates are no polygon"),
        ("7 0 0 1 0 1 1", "class 7 is none of the 2 named"),
        ("-1 0 0 1 0 1 1", "\"-1\" is no number of a class"),
        ("dog 0 0 1 0 1 1", "\"dog\" is no number of a class"),
        ("0 0 0 1 0 1 x", "\"x\" is no number"),
        ("0 0 0 1 0 1 NaN", "NaN is no fraction"),
        ("0 0 0 120 0 120 80", "120 is no fraction of the width"),
        ("0 0 0 1e999 0 1 1", "inf is no fraction"),
        ("1e300 0 0 1 0 1 1", "is none of the 2 named"),
    ];
    let mut failures = Vec::new();
    for (text, expected) in cases {
        let written = Written::new();
        written.photograph("images/train/a.png").file("labels/train/a.txt", text);
        written.file("data.yaml", "train: images/train\nnames: [dog, cat]\n");
        let error = written.error();
        if !error.contains(expected) {
            failures.push(format!("{text}: expected {expected:?}, got {error}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let written = Written::new();
    written.photograph("images/train/a.png").file("labels/train/a.txt", "").file("labels/train/b.txt", "");
    written.file("data.yaml", "train: images/train\nnames: [dog]\n");
    assert!(written.error().contains("b: no photograph `b`"), "{}", written.error());
    written.file("data.yaml", "train: images/none\nnames: [dog]\n");
    assert!(written.error().contains("which is no folder here"), "{}", written.error());
    written.file("data.yaml", "train: images/train\nkpt_shape: [2, 2]\nnames: [dog]\n");
    assert!(written.error().contains("boxes with key points"), "{}", written.error());
    written.file("data.yaml", "train: [images\nnames");
    assert!(written.error().contains("data.yaml: the data.yaml cannot be read"), "{}", written.error());
}

/// A Supervisely object.
fn object(class: &str, kind: &str, rest: &str) -> String {
    format!(r#"{{"classTitle": "{class}", "geometryType": "{kind}", {rest}}}"#)
}

fn supervisely(objects: &str) -> Written {
    let written = Written::new();
    written.file("meta.json", r##"{"classes": [{"title": "dog", "shape": "polygon", "color": "#FF8000"}, {"title": "cat", "color": "#0080FF"}], "tags": []}"##);
    written.file(
        "ds0/ann/a.png.json",
        format!(r#"{{"size": {{"height": 6, "width": 8}}, "tags": [], "objects": [{objects}]}}"#),
    );
    written.photograph("ds0/img/a.png");
    written
}

#[test]
fn supervisely_draws_holes_and_bitmaps() {
    let ring =
        r#""points": {"exterior": [[0, 0], [6, 0], [6, 6], [0, 6]], "interior": [[[1, 1], [5, 1], [5, 5], [1, 5]]]}"#;
    let mask = encode_mask_png(&LabelMap { width: 2, height: 2, ids: vec![1, 0, 1, 1] }, &Classes::voc()).unwrap();
    let mut packed = flate2::read::ZlibEncoder::new(mask.as_slice(), flate2::Compression::default());
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut packed, &mut bytes).unwrap();
    let bitmap = format!(r#""bitmap": {{"data": {:?}, "origin": [6, 2]}}"#, STANDARD.encode(bytes));
    let written = supervisely(&[object("dog", "polygon", ring), object("cat", "bitmap", &bitmap)].join(", "));
    let dataset = written.open().unwrap();
    assert_eq!(
        (dataset.form, dataset.classes.palette),
        (Form::Supervisely, vec![[0; 3], [255, 128, 0], [0, 128, 255]])
    );
    let expected = map(&[(1, [0, 0, 6, 6]), (0, [1, 1, 5, 5]), (2, [6, 2, 7, 4]), (2, [7, 3, 8, 4])]);
    assert_eq!(written.ids("train", "a"), expected);
}

#[test]
fn hostile_supervisely_files_name_file_and_object() {
    let points = |points: &str| format!(r#""points": {{"exterior": {points}, "interior": []}}"#);
    let cases = [
        (object("dog", "line", &points("[[0, 0], [1, 1]]")), "object 1 (`dog`): a `line` is not read"),
        (object("dog", "polygon", &points("[[0, 0], [1, 1]]")), "the polygon has 2 points"),
        (object("cow", "polygon", &points("[[0, 0], [1, 1], [2, 0]]")), "the label `cow` is not among"),
        (object("dog", "polygon", "\"x\": 0"), "a polygon has no `points`"),
        (object("dog", "rectangle", &points("[[0, 0]]")), "a rectangle has 1 points"),
        (object("dog", "bitmap", r#""bitmap": {"data": "!", "origin": [0, 0]}"#), "is no base64"),
        (object("dog", "bitmap", r#""bitmap": {"data": "AAAA", "origin": [0, 0]}"#), "not compressed by zlib"),
        (object("dog", "bitmap", r#""bitmap": {"data": 3, "origin": [0, 0]}"#), "invalid type: integer `3`"),
    ];
    for (text, expected) in cases {
        let error = supervisely(&text).error();
        assert!(error.contains(expected) && error.contains("a.png.json"), "{text}: {error}");
    }
    let bomb = vec![0; 70 << 20];
    let mut packed = flate2::read::ZlibEncoder::new(bomb.as_slice(), flate2::Compression::fast());
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut packed, &mut bytes).unwrap();
    let bitmap = format!(r#""bitmap": {{"data": {:?}, "origin": [0, 0]}}"#, STANDARD.encode(bytes));
    assert!(supervisely(&object("dog", "bitmap", &bitmap)).error().contains("more than 64 MiB"));
}

/// Names and contents of the files of an archive.
type Files<'a> = &'a [(&'a str, &'a [u8])];

#[test]
fn labels_in_archives_are_read_where_they_lie() {
    let (photograph, annotations) = (photograph(), coco(SQUARE));
    let shape = labelme(&labelme_shape("dog", "rectangle", "[[4, 4], [0, 0]]"));
    let yaml = "train: images/train\nnames: [dog]\n";
    let line = "0 0 0 0.5 0 0.5 0.66667 0 0.66667";
    let boxed = cvat("<box label=\"dog\" xtl=\"0\" ytl=\"0\" xbr=\"4\" ybr=\"4\"/>");
    let cases: [(Form, Files<'_>); 4] = [
        (Form::Coco, &[("x/images/a.png", &photograph), ("x/coco.json", annotations.as_bytes())]),
        (Form::Labelme, &[("x/a.png", &photograph), ("x/a.json", shape.as_bytes())]),
        (Form::Cvat, &[("images/a.png", &photograph), ("annotations.xml", boxed.as_bytes())]),
        (
            Form::Yolo,
            &[
                ("images/train/a.png", &photograph),
                ("labels/train/a.txt", line.as_bytes()),
                ("data.yaml", yaml.as_bytes()),
            ],
        ),
    ];
    for (form, files) in cases {
        let written = Written::new();
        written.file("a.zip", zip_of(files)).file("a.tar", tar_of(files));
        for archive in ["a.zip", "a.tar"] {
            let dataset = Dataset::open(&written.path(archive), None).unwrap();
            let ids = dataset.split("train").unwrap().load(0).unwrap().labels.ids;
            assert_eq!((dataset.form, ids), (form, map(&[(1, [0, 0, 4, 4])])), "{archive}");
        }
    }
}

#[test]
fn check_looks_at_shapes_as_at_masks() {
    use crate::check::{CheckOptions, check};
    let written = Written::new();
    let both = coco(&format!("{SQUARE}, {RUNS}"));
    written.file("annotations/instances_train.json", &both).photograph("train/a.png");
    written.file("annotations/instances_val.json", both.replace("a.png", "b.png")).photograph("val/b.png");
    let data = written.dir.path().into();
    let options = CheckOptions { data, split: None, min_size: 0, open: Default::default(), pictures: None };
    let report = check(&options, &|_, _| ()).unwrap();
    assert!(report.ok, "{:?}", report.problems);
    assert_eq!(report.splits[0].per_class[2].pixels, 4);
    written.file("annotations/instances_train.json", segmented("[[0, 0, 4, 0, 4]]"));
    let problems = check(&options, &|_, _| ()).unwrap().problems;
    let codes: Vec<&str> = problems.iter().map(|p| p.code).collect();
    assert!(codes.contains(&"unusable_annotation") && !codes.contains(&"unreadable_mask"), "{problems:?}");
}
