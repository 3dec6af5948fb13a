//! One meaning of a class list, whatever holds the masks: folders, records with and without an index, and predictions.

use std::path::Path;

use tfio::{Example, RecordWriter};

use super::tests::options;
use super::*;
use crate::dataset::drawn::{Foreign, drawn_folder, foreign_mask};
use crate::dataset::{Dataset, OpenOptions};
use crate::image::{RgbImage, encode_mask_png};
use crate::labels::{MaskCoding, MaskValues, VOID, voc_colour};
use crate::metrics::evaluate_predictions;
use crate::rng::{Purpose, Rng};
use crate::size::Size;

/// A class list with void at any place, 255 as void, as a class or not at all, and names of several words; and what each
/// value means.
pub(super) fn random_list(rng: &mut Rng) -> (String, Vec<(u8, u8)>) {
    let (mut lines, mut meaning, mut classes) = (Vec::new(), Vec::new(), 0);
    let values = 4 + rng.below(6); // two classes at least
    let voids = [rng.below(values + 1), rng.below(2 * values)];
    for value in 0..values as u8 {
        let named = ["void", "Ignore"][rng.below(2)];
        if voids.contains(&usize::from(value)) {
            lines.push(format!("{value} {named}"));
            meaning.push((value, VOID));
        } else {
            lines.push(format!("{value} class {}{}", rng.below(10), char::from(b'a' + value)));
            meaning.push((value, classes));
            classes += 1;
        }
    }
    if rng.below(2) == 0 {
        lines.push("255 cell".into());
        meaning.push((255, classes));
    } else {
        meaning.push((255, VOID));
        lines.extend((rng.below(2) == 0).then(|| "255 void".to_string()));
    }
    rng.shuffle(&mut lines);
    (lines.join("\n"), meaning)
}

fn ids_of(folder: &Path) -> Vec<Vec<u8>> {
    let dataset = Dataset::open(folder, None).unwrap();
    let of = |name: &str| {
        let split = dataset.split(name).unwrap();
        (0..split.len()).map(|i| split.load(i).unwrap().labels.ids).collect::<Vec<_>>()
    };
    [of("train"), of("val")].concat()
}

/// Records as another program writes them: labels as arrays of mask values, or as mask files, and no index.
fn foreign_records(folder: &Path, list: &str, rows: usize, masks: &[Vec<u8>]) {
    std::fs::create_dir(folder).unwrap();
    std::fs::write(folder.join("classes.txt"), list).unwrap();
    for (name, masks) in [("train", &masks[..masks.len() - 1]), ("val", &masks[masks.len() - 1..])] {
        let mut writer = RecordWriter::new(Vec::new());
        for values in masks {
            let image = RgbImage::filled(Size::new(4, rows), [7; 3]).to_png().unwrap();
            let example = Example::new().with_bytes("image/encoded", image).with_bytes("image/label", values.clone());
            writer.write(&example.encode()).unwrap();
        }
        std::fs::write(folder.join(format!("{name}-00000-of-00001.tfrecord")), writer.into_inner()).unwrap();
    }
}

#[test]
fn a_class_list_means_the_same_for_folders_records_and_predictions() {
    let voc: Vec<[u8; 3]> = (0..=255).map(voc_colour).collect();
    for draw in 0..24u64 {
        let mut rng = Rng::derive(11, Purpose::Draw, &[draw]);
        let (list, meaning) = random_list(&mut rng);
        let masks: Vec<Vec<u8>> = (0..4)
            .map(|first| (0..24).map(|i| meaning[(i + first * rng.below(2)) % meaning.len()].0).collect())
            .collect();
        let id = |value: &u8| meaning.iter().find(|(known, _)| known == value).unwrap().1;
        let expected: Vec<Vec<u8>> = masks.iter().map(|values| values.iter().map(id).collect()).collect();
        let how = || match draw % 3 {
            0 => Foreign::Grey,
            1 => Foreign::Palette(&voc),
            _ => Foreign::Rgb(&voc),
        };
        let drawn: Vec<(&[u8], Foreign<'_>)> = masks.iter().map(|values| (values.as_slice(), how())).collect();
        let folder = drawn_folder(&list, &drawn);
        let at = |name: &str| folder.path().join(name);
        assert_eq!(ids_of(folder.path()), expected, "{list}");

        let records = at("records");
        convert(&ConvertOptions { min_size: 1, ..options(folder.path(), &records) }, &|_, _| {}).unwrap();
        assert_eq!(ids_of(&records), expected, "records of\n{list}");
        // A class list beside records with an index names their ids, and translates nothing.
        std::fs::copy(at("classes.txt"), records.join("classes.txt")).unwrap();
        assert_eq!(ids_of(&records), expected, "records beside\n{list}");
        foreign_records(&at("foreign"), &list, 6, &masks);
        assert_eq!(ids_of(&at("foreign")), expected, "records without an index under\n{list}");

        let coding = MaskCoding::parse(&list).unwrap();
        std::fs::create_dir(at("predicted")).unwrap();
        let split = Dataset::open(folder.path(), None).unwrap().split("train").unwrap();
        for i in 0..split.len() {
            let sample = split.load(i).unwrap();
            let png = encode_mask_png(&sample.labels, &coding.classes).unwrap();
            std::fs::write(at(&format!("predicted/{}.png", sample.id)), png).unwrap();
        }
        for predicted in ["predicted", "masks"] {
            let found = evaluate_predictions(&at(predicted), &at("masks"), None, &coding).unwrap();
            assert_eq!((found.scores.miou, found.scores.pixel_accuracy), (Some(1.0), Some(1.0)), "{predicted}\n{list}");
        }
    }
}

#[test]
fn records_of_mask_files_whose_palettes_differ_are_refused() {
    let [black, cat, dog] = [0, 1, 2].map(voc_colour);
    let palettes = [[black, cat], [black, dog], [black, cat]];
    let masks = palettes.map(|palette| foreign_mask(4, &[0, 1, 1, 0], &Foreign::Palette(&palette)));
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("records");
    foreign_records(&records, "0 background\n1 cat\n2 dog", 1, &masks);
    let refused = Dataset::open(&records, None).and_then(|set| set.split("train")).unwrap_err();
    assert!(refused.message.contains("palettes differ between the masks"), "{refused}");
    let options = OpenOptions { mask_values: MaskValues::Colour, ..OpenOptions::default() };
    let by_colour = Dataset::open_with(&records, &options).unwrap().split("train").unwrap();
    assert_eq!(by_colour.load(1).unwrap().labels.ids, [0, 2, 2, 0]);
}
