//! Small sets drawn here in each layout, as a folder, a zip and a tar.

use std::path::{Path, PathBuf};

use crate::dataset::drawn::{Foreign, foreign_mask};
use crate::dataset::{Dataset, Form, OpenOptions};
use crate::files::tree::tests::{tar_of, zip_of};
use crate::image::RgbImage;
use crate::labels::VOID;
use crate::size::Size;

type File = (String, Vec<u8>);

/// A photograph of four pixels, encoded as its name says, of a colour that depends on the name.
fn photograph(name: &str) -> File {
    let picture = RgbImage::filled(Size::new(2, 2), [name.len() as u8, name.as_bytes()[name.len() / 2], 9]);
    let jpeg = name.to_lowercase().ends_with(".jpg");
    (name.into(), if jpeg { picture.to_jpeg(90).unwrap() } else { picture.to_png().unwrap() })
}

/// A mask of these four values, encoded as its name says.
fn mask(name: &str, values: [u8; 4]) -> File {
    if name.ends_with(".gif") {
        let mut bytes = Vec::new();
        let rgba: Vec<u8> = values.iter().flat_map(|&v| [v, v, v, 255]).collect();
        let frame = image::Frame::new(image::RgbaImage::from_raw(2, 2, rgba).unwrap());
        image::codecs::gif::GifEncoder::new(&mut bytes).encode_frame(frame).unwrap();
        return (name.into(), bytes);
    }
    (name.into(), foreign_mask(2, &values, &Foreign::Grey))
}

fn text(name: &str, content: &str) -> File {
    (name.into(), content.into())
}

/// The files as a folder.
fn folder_of(files: &[File]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

/// The files as a folder, a zip with a folder around them, and a tar.
fn in_every_form(files: &[File]) -> (tempfile::TempDir, [PathBuf; 3]) {
    let dir = folder_of(files);
    let inside: Vec<(String, &[u8])> = files.iter().map(|(n, b)| (format!("mydata/{n}"), b.as_slice())).collect();
    let plain: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    let around: Vec<(&str, &[u8])> = inside.iter().map(|(n, b)| (n.as_str(), *b)).collect();
    let (zip, tar) = (dir.path().with_extension("zip"), dir.path().with_extension("tar"));
    std::fs::write(&zip, zip_of(&around)).unwrap();
    std::fs::write(&tar, tar_of(&plain)).unwrap();
    let folder = dir.path().to_path_buf();
    (dir, [folder, zip, tar])
}

struct Case {
    form: Form,
    /// Photograph and mask of each pair.
    pairs: &'static [(&'static str, &'static str)],
    texts: &'static [(&'static str, &'static str)],
    values: [u8; 4],
    /// Classes, and the labels of each sample.
    classes: usize,
    labels: [u8; 4],
    /// Splits and their ids.
    splits: &'static [(&'static str, &'static [&'static str])],
}

/// A class list of three.
const THREE: (&str, &str) = ("classes.txt", "0 a\n1 b\n2 c\n");

/// Three classes, each with a pixel, and one that is void.
const fn plain(
    form: Form,
    pairs: &'static [(&'static str, &'static str)],
    splits: &'static [(&'static str, &'static [&'static str])],
) -> Case {
    Case { form, pairs, texts: &[THREE], values: [0, 1, 2, 255], classes: 3, labels: [0, 1, 2, VOID], splits }
}

const PUBLISHED: &[Case] = &[
    Case {
        texts: &[],
        classes: 19,
        values: [0, 7, 33, 26],
        labels: [VOID, 0, 18, 13],
        ..plain(
            Form::Cityscapes,
            &[
                ("leftImg8bit/train/ulm/ulm_0_leftImg8bit.png", "gtFine/train/ulm/ulm_0_gtFine_labelIds.png"),
                ("leftImg8bit/train/bonn/bonn_0_leftImg8bit.png", "gtFine/train/bonn/bonn_0_gtFine_labelIds.png"),
                ("leftImg8bit/val/jena/jena_0_leftImg8bit.png", "gtFine/val/jena/jena_0_gtFine_labelIds.png"),
            ],
            &[("train", &["bonn/bonn_0", "ulm/ulm_0"]), ("val", &["jena/jena_0"])],
        )
    },
    Case {
        texts: &[(
            "objectInfo150.txt",
            "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t1\t1\t1\twall, side\n2\t0\t1\t1\t1\tsky\n",
        )],
        classes: 2,
        values: [0, 1, 2, 1],
        labels: [VOID, 0, 1, 0],
        ..plain(
            Form::Ade20k,
            &[
                ("images/training/ADE_train_1.jpg", "annotations/training/ADE_train_1.png"),
                ("images/validation/ADE_val_1.jpg", "annotations/validation/ADE_val_1.png"),
            ],
            &[("train", &["ADE_train_1"]), ("val", &["ADE_val_1"])],
        )
    },
    Case {
        texts: &[
            ("annotations/trainval.txt", "# id class species breed\nAbyssinian_1 1 1 1\npug_2 2 2 1\n"),
            ("annotations/test.txt", "pug_3 1 1 1\n"),
            ("annotations/trimaps/._pug_2.png", "resource fork"),
        ],
        classes: 2,
        values: [1, 2, 3, 2],
        labels: [1, 0, VOID, 0],
        ..plain(
            Form::Pets,
            &[
                ("images/Abyssinian_1.jpg", "annotations/trimaps/Abyssinian_1.png"),
                ("images/pug_2.jpg", "annotations/trimaps/pug_2.png"),
                ("images/pug_3.jpg", "annotations/trimaps/pug_3.png"),
            ],
            &[("train", &["pug_2"]), ("val", &["Abyssinian_1"]), ("test", &["pug_3"])],
        )
    },
    Case {
        texts: &[("dataset.json", r#"{"labels": {"background": 0, "cell": 1, "ignore": 2}, "file_ending": ".png"}"#)],
        classes: 2,
        values: [0, 1, 2, 0],
        labels: [0, 1, VOID, 0],
        ..plain(
            Form::Nnunet,
            &[("imagesTr/a_0000.png", "labelsTr/a.png"), ("imagesTr/b_0000.png", "labelsTr/b.png")],
            &[("train", &["b"]), ("val", &["a"])],
        )
    },
    Case {
        texts: &[],
        classes: 2,
        values: [0, 255, 0, 255],
        labels: [0, 1, 0, 1],
        ..plain(
            Form::Carvana,
            &[("train/a.jpg", "train_masks/a_mask.gif"), ("train/b.jpg", "train_masks/b_mask.gif")],
            &[("train", &["b"]), ("val", &["a"])],
        )
    },
    Case {
        texts: &[("class_dict.csv", "name,r,g,b\nx,0,0,0\ny,128,0,0\nz,0,128,0\nVoid,1,1,1\n")],
        values: [0, 1, 2, 3],
        ..plain(
            Form::Carvana,
            &[("train/a.png", "train_labels/a_L.png"), ("val/b.png", "val_labels/b_L.png")],
            &[("train", &["a"]), ("val", &["b"])],
        )
    },
    Case {
        texts: &[
            ("labelmap.txt", "# label:color_rgb:parts:actions\na:0,0,0::\nb:128,0,0::\nc:0,128,0::\n"),
            ("ImageSets/Segmentation/default.txt", "a\nb\n"),
        ],
        ..plain(
            Form::Voc,
            &[("JPEGImages/a.jpg", "SegmentationClass/a.png"), ("JPEGImages/b.jpg", "SegmentationClass/b.png")],
            &[("train", &["b"]), ("val", &["a"])],
        )
    },
    Case {
        texts: &[("train/_classes.csv", "Pixel Value, Class\n0, background\n1, b\n2, c\n")],
        ..plain(
            Form::Flat,
            &[("train/a.jpg", "train/a_mask.png"), ("valid/b.jpg", "valid/b_mask.png")],
            &[("train", &["a"]), ("val", &["b"])],
        )
    },
];

const USUAL: &[Case] = &[
    plain(
        Form::Mmseg,
        &[("img_dir/train/a.jpg", "ann_dir/train/a.png"), ("img_dir/val/b.jpg", "ann_dir/val/b.png")],
        &[("train", &["a"]), ("val", &["b"])],
    ),
    plain(
        Form::Nested,
        &[("images/train/a.jpg", "labels/train/a.png"), ("images/val/b.jpg", "labels/val/b.png")],
        &[("train", &["a"]), ("val", &["b"])],
    ),
    // The same id in two splits, and sub-folders of a split.
    plain(
        Form::Nested,
        &[("images/train/a.jpg", "masks/train/a.png"), ("images/val/a.jpg", "masks/val/a.png")],
        &[("train", &["train/a"]), ("val", &["val/a"])],
    ),
    plain(
        Form::Nested,
        &[
            ("Images/Training/x/a.jpg", "Annotations/Training/x/a.png"),
            ("Images/Validation/b.jpg", "Annotations/Validation/b.png"),
        ],
        &[("train", &["x/a"]), ("val", &["b"])],
    ),
    plain(
        Form::Splits,
        &[("train/images/a.jpg", "train/masks/a.png"), ("valid/images/b.jpg", "valid/masks/b.png")],
        &[("train", &["a"]), ("val", &["b"])],
    ),
    plain(
        Form::Folder,
        &[("images/x/a.jpg", "masks/x/a.png"), ("images/y/a.jpg", "masks/y/a.png")],
        &[("train", &["y/a"]), ("val", &["x/a"])],
    ),
    plain(
        Form::Folder,
        &[("Images/a.JPG", "Masks/a.PNG"), ("Images/b.JPG", "Masks/b.PNG")],
        &[("train", &["b"]), ("val", &["a"])],
    ),
    plain(
        Form::Folder,
        &[("images/a.jpg", "masks/a_seg.png"), ("images/b.jpg", "masks/b_seg.png")],
        &[("train", &["b"]), ("val", &["a"])],
    ),
    plain(
        Form::Folder,
        &[("images/a_image.jpg", "labels/a-Label.png"), ("images/b_image.jpg", "labels/b-Label.png")],
        &[("train", &["b"]), ("val", &["a"])],
    ),
    plain(
        Form::Folder,
        &[("images/image_01.jpg", "masks/label_01.png"), ("images/image_02.jpg", "masks/label_02.png")],
        &[("train", &["02"]), ("val", &["01"])],
    ),
    plain(Form::Flat, &[("a.png", "mask_a.png"), ("b.png", "mask_b.png")], &[("train", &["b"]), ("val", &["a"])]),
    plain(Form::Flat, &[("a.jpg", "a.png"), ("b.jpg", "b.png")], &[("train", &["b"]), ("val", &["a"])]),
    plain(Form::Flat, &[("a.png", "a_gt.png"), ("b.png", "b_gt.png")], &[("train", &["b"]), ("val", &["a"])]),
    plain(
        Form::Flat,
        &[("a_sat.jpg", "a_mask.png"), ("b_sat.jpg", "b_mask.png")],
        &[("train", &["b"]), ("val", &["a"])],
    ),
];

fn files_of(case: &Case) -> Vec<File> {
    let pairs = case.pairs.iter().flat_map(|(image, drawn)| [photograph(image), mask(drawn, case.values)]);
    pairs.chain(case.texts.iter().map(|(name, content)| text(name, content))).collect()
}

fn faults_of(case: &Case, path: &Path) -> Result<(), String> {
    let dataset = Dataset::open(path, None).map_err(|e| format!("{e} ({:?})", e.hint))?;
    if (dataset.form, dataset.classes.len()) != (case.form, case.classes) {
        return Err(format!("{}, {:?}", dataset.form, dataset.classes.names));
    }
    let names: Vec<&str> = case.splits.iter().map(|(name, _)| *name).collect();
    if dataset.splits() != names {
        return Err(format!("splits {:?}", dataset.splits()));
    }
    for (name, ids) in case.splits {
        let split = dataset.split(name).map_err(|e| e.to_string())?;
        let found: Vec<&str> = (0..split.len()).map(|i| split.id(i)).collect();
        if found != *ids {
            return Err(format!("{name}: {found:?}"));
        }
        for i in 0..split.len() {
            let sample = split.load(i).map_err(|e| e.to_string())?;
            if sample.labels.ids != case.labels {
                return Err(format!("{}: {:?}", sample.id, sample.labels.ids));
            }
        }
    }
    Ok(())
}

#[test]
fn every_layout_is_recognised_and_read_as_a_folder_a_zip_and_a_tar() {
    let mut failures = Vec::new();
    for case in PUBLISHED.iter().chain(USUAL) {
        let (_dir, paths) = in_every_form(&files_of(case));
        for path in &paths {
            if let Err(e) = faults_of(case, path) {
                failures.push(format!("{} {:?}: {e}", case.form, path.extension()));
            }
        }
        let print = |path: &Path| Dataset::open(path, None).map(|set| set.split("train").map(|s| s.fingerprint())).ok();
        if let [Some(Ok(folder)), Some(Ok(zip)), Some(Ok(tar))] = [print(&paths[0]), print(&paths[1]), print(&paths[2])]
            && (folder != zip || folder != tar)
        {
            failures.push(format!("{}: the fingerprint of an archive is another one", case.form));
        }
        paths[1..].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn train_ids_count_where_every_photograph_has_them() {
    let photographs = ["leftImg8bit/train/u/a_leftImg8bit.png", "leftImg8bit/train/u/b_leftImg8bit.png"];
    let mut files: Vec<File> = photographs.iter().map(|name| photograph(name)).collect();
    for id in ["a", "b"] {
        files.push(mask(&format!("gtFine/train/u/{id}_gtFine_labelIds.png"), [7; 4]));
        files.push(mask(&format!("gtFine/train/u/{id}_gtFine_labelTrainIds.png"), [1; 4]));
    }
    let first =
        |dir: &tempfile::TempDir| Dataset::open(dir.path(), None).unwrap().split("train").unwrap().load(0).unwrap();
    assert_eq!(first(&folder_of(&files)).labels.ids, [1; 4]);
    files.pop();
    assert_eq!(first(&folder_of(&files)).labels.ids, [0; 4]);
}

#[test]
fn what_two_layouts_fit_needs_a_word() {
    let pairs = [("images/a.jpg", "masks/a.png", 1), ("train/images/b.jpg", "train/masks/b.png", 2)];
    let mut files: Vec<File> = pairs.iter().flat_map(|(i, m, v)| [photograph(i), mask(m, [0, 1, 2, *v])]).collect();
    files.push(text(THREE.0, THREE.1));
    let dir = folder_of(&files);
    let error = Dataset::open(dir.path(), None).unwrap_err();
    assert!(error.message.contains("splits") && error.message.contains("folder"), "{error}");
    assert_eq!(error.hint.unwrap(), "say which is meant: `layout splits` or `layout folder`");
    for (form, id) in [(Form::Splits, "b"), (Form::Folder, "a")] {
        let options = OpenOptions { layout: Some(form), ..OpenOptions::default() };
        let dataset = Dataset::open_with(dir.path(), &options).unwrap();
        assert_eq!((dataset.form, dataset.split("train").unwrap().id(0)), (form, id));
    }
    let wrong = OpenOptions { layout: Some(Form::Cityscapes), ..OpenOptions::default() };
    assert!(Dataset::open_with(dir.path(), &wrong).is_err_and(|e| e.message.contains("gtFine")));
}

#[test]
fn folders_and_suffixes_that_no_rule_finds_are_named() {
    let files = [
        photograph("raw/a.png"),
        photograph("raw/b.png"),
        mask("drawn/v2/a.final.png", [0, 1, 1, 2]),
        mask("drawn/v2/b.final.png", [0, 1, 1, 2]),
        text(THREE.0, THREE.1),
    ];
    let dir = folder_of(&files);
    let unknown = Dataset::open(dir.path(), None).unwrap_err();
    assert!(unknown.hint.unwrap().contains("`mask_suffix`"), "{}", unknown.message);
    let options = OpenOptions {
        images: Some("raw".into()),
        masks: Some("drawn/v2".into()),
        mask_suffix: Some(".final".into()),
        ..OpenOptions::default()
    };
    let dataset = Dataset::open_with(dir.path(), &options).unwrap();
    assert_eq!(dataset.split("train").unwrap().load(0).unwrap().labels.ids, [0, 1, 1, 2]);
    let missing = OpenOptions { images: Some("raws".into()), ..options };
    let error = Dataset::open_with(dir.path(), &missing).unwrap_err();
    assert_eq!(error.hint.unwrap(), "folders here: drawn/, raw/");
}

#[test]
fn what_is_recognised_but_not_read_is_named_with_a_remedy() {
    let volumes = text("imagesTr/a_0000.nii.gz", "");
    let cases: [(Vec<File>, &str, &str); 7] = [
        (vec![volumes.clone(), text("labelsTr/a.nii.gz", "")], "data set of volumes", "slices as PNG"),
        (
            vec![photograph("imagesTr/a_0000.png"), photograph("imagesTr/a_0001.png"), text("labelsTr/a.png", "")],
            "one a channel",
            "RGB",
        ),
        (vec![text("data-00000-of-00001.arrow", "")], "Hugging Face in Arrow", "to_parquet"),
        (vec![text("cls/a.mat", ""), photograph("img/a.jpg")], "MATLAB", "loadmat"),
        (vec![photograph("a.jpg"), photograph("b.jpg")], "2 images, and no mask", "`mask_suffix`"),
        (vec![photograph("leftImg8bit/train/a/a_leftImg8bit.png")], "no gtFine/", "gtFine_trainvaltest.zip"),
        (vec![text("leftImg8bit.zip", ""), text("gtFine.zip", "")], "folder of archives", "unpack"),
    ];
    let mut failures = Vec::new();
    for (files, message, hint) in cases {
        let error = Dataset::open(folder_of(&files).path(), None).unwrap_err();
        if !error.message.contains(message) || !error.hint.as_ref().is_some_and(|found| found.contains(hint)) {
            failures.push(format!("{message}: {error} ({:?})", error.hint));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_half_that_is_missing_in_a_folder_of_a_split_is_named() {
    let files = [
        photograph("images/train/a.jpg"),
        mask("masks/train/a.png", [0; 4]),
        photograph("images/val/b.jpg"),
        mask("masks/val/b.png", [0; 4]),
        mask("masks/val/c.png", [0; 4]),
        text(THREE.0, THREE.1),
    ];
    let dir = folder_of(&files);
    let dataset = Dataset::open(dir.path(), None).unwrap();
    assert_eq!(dataset.split("train").unwrap().len(), 1);
    let error = dataset.split("val").unwrap_err();
    assert!(error.message.contains("c: no image in"), "{error}");
}
