//! The rules: what the inspected samples mean together.

use std::collections::{BTreeMap, HashMap};

use super::count::{SixteenBits, SplitReport};
use super::inspect::{Inspection, Library, RANGE_OF_16BIT};
use super::problem::{Problem, Severity};
use crate::dataset::masks::explain::{Count, ValueCounts, explain};
use crate::dataset::masks::{MaskFacts, contradictions, named_like_void, only_one_class};
use crate::dataset::{Dataset, Form, Split};
use crate::image::{IMAGE_EXTENSIONS, ReadOptions, Scale16, fewest_bits};
use crate::labels::{MaskValue, VOID};

/// Faults of the lists: missing files, duplicates, unsafe ids, empty splits.
pub(super) fn lists(dataset: &Dataset, problems: &mut Vec<Problem>) {
    let mut reported: Vec<(&str, Option<&str>)> = Vec::new();
    for split in dataset.all_splits() {
        for fault in split.faults() {
            let key = (fault.code, fault.id.as_deref());
            if fault.id.is_some() && reported.contains(&key) {
                continue; // several lists name the same missing file
            }
            reported.push(key);
            problems.push(Problem::new(fault.code, Severity::Error, key.1, fault.message.clone(), &fault.hint));
        }
        if split.is_empty() && split.faults().is_empty() && dataset.all_splits().iter().all(|s| s.faults().is_empty()) {
            let message = format!("split `{}` is empty", split.name());
            problems.push(Problem::new(
                "empty_split",
                Severity::Error,
                None,
                message,
                "list at least one id, or remove the list",
            ));
        }
    }
}

/// Files beside photographs and masks that are neither.
pub(super) fn left_out(dataset: &Dataset, problems: &mut Vec<Problem>) {
    if let Some(sentence) = dataset.left_out() {
        let extensions: Vec<&str> = IMAGE_EXTENSIONS.iter().map(|(extension, _)| *extension).collect();
        let hint = format!(
            "pictures end in {}; others have to be converted or renamed to be read; photographs without labels take no part",
            extensions.join(", ")
        );
        problems.push(Problem::new("left_out", Severity::Warning, None, sentence.into(), &hint));
    }
}

/// What training needs and this data set lacks.
pub(super) fn usual_splits(dataset: &Dataset, problems: &mut Vec<Problem>) {
    let lists = [
        ("train", "write the ids to train on into train.txt, one a line"),
        ("val", "write some ids into val.txt, one a line, and take them out of train.txt"),
    ];
    let named = [
        ("train", "name the file, folder or subset to train on `train`, or say its name with `splits`"),
        ("val", "name a file, folder or subset to validate on `val`, or say its name with `splits`"),
    ];
    let has_lists = matches!(dataset.form, Form::Voc | Form::Folder | Form::Flat | Form::Pets);
    for (name, hint) in if has_lists { lists } else { named } {
        if dataset.all_splits().iter().all(|split| split.name() != name) {
            let message = format!("there is no split `{name}`, which training reads");
            problems.push(Problem::new("no_split", Severity::Error, None, message, hint));
        }
    }
}

/// Faults of single samples, in the order of the lists.
pub(super) fn samples(library: &Library, min_size: usize, problems: &mut Vec<Problem>) {
    for seen in library.all() {
        problems.extend(seen.faults.iter().cloned());
        if let Some(header) = seen.header
            && header.size.shorter_side() < min_size
        {
            let message = format!("{}: {} is below {min_size} pixels", seen.id, header.size);
            let hint = "`convert` leaves it out unless `min_size` says otherwise; training pads it with void";
            problems.push(Problem::new("too_small", Severity::Warning, Some(&seen.id), message, hint));
        }
    }
}

/// What mask values mean: unknown ones, the void trap, classes that never occur.
pub(super) fn meaning(dataset: &Dataset, library: &Library, named: bool, problems: &mut Vec<Problem>) {
    let coding = &dataset.coding;
    let mut unknown: BTreeMap<MaskValue, Count> = BTreeMap::new();
    let mut all = ValueCounts::default();
    let mut pixels_by_class = vec![0u64; dataset.classes.len()];
    let mut void_pixels = 0;
    for seen in library.all().filter(|s| !s.values.is_empty()) {
        all.add(&seen.values);
        let (mut strange, mut labelled) = (Vec::new(), 0);
        for (&value, &pixels) in &seen.values {
            match coding.id_of(value) {
                None => {
                    let count = unknown.entry(value).or_default();
                    (count.pixels, count.masks) = (count.pixels + pixels, count.masks + 1);
                    strange.push(format!("{value}: {pixels} px"));
                }
                Some(VOID) => void_pixels += pixels,
                Some(id) => {
                    pixels_by_class[usize::from(id)] += pixels;
                    labelled += pixels;
                }
            }
        }
        if named && !strange.is_empty() {
            let more = if strange.len() > 8 { format!(", and {} more", strange.len() - 8) } else { String::new() };
            let message = format!(
                "{}: mask values without a class: {}{more}",
                seen.id,
                strange[..strange.len().min(8)].join(", ")
            );
            problems.push(Problem::new(
                "mask_values",
                Severity::Error,
                Some(&seen.id),
                message,
                "see `unknown_values`",
            ));
        } else if named && labelled == 0 {
            let message = format!("{}: every pixel of the mask is void", seen.id);
            problems.push(Problem::new(
                "all_void",
                Severity::Warning,
                Some(&seen.id),
                message,
                "it teaches nothing: leave it out",
            ));
        }
    }
    if !named || all.masks == 0 {
        return;
    }
    if !unknown.is_empty() {
        unknown_values(unknown, &all, dataset.classes.len(), problems);
    }
    absences(dataset, &all, &pixels_by_class, void_pixels, problems);
}

/// Values without a class over all masks, with what they probably mean.
fn unknown_values(unknown: BTreeMap<MaskValue, Count>, all: &ValueCounts, classes: usize, problems: &mut Vec<Problem>) {
    let masks = unknown.values().map(|c| c.masks).max().unwrap_or(0);
    let shares = ValueCounts { by_value: unknown, masks };
    let share = 100.0 * shares.total_pixels() as f64 / all.total_pixels().max(1) as f64;
    let message = format!(
        "{} mask values have no class among the {classes} named, {share:.1} % of all pixels: {}; all masks together hold {}",
        shares.by_value.len(),
        shares.describe(12),
        all.describe(12)
    );
    let explained = explain(all);
    let list =
        explained.class_list.map_or(String::new(), |l| format!("; a class list that covers them:\n{}", l.trim_end()));
    let hint = format!("{}{list}", explained.meaning);
    problems.push(Problem::new("unknown_values", Severity::Error, None, message, &hint));
}

/// One class alone, classes that never occur, and much void.
fn absences(dataset: &Dataset, all: &ValueCounts, pixels: &[u64], void_pixels: u64, problems: &mut Vec<Problem>) {
    let names = &dataset.classes.names;
    let absent: Vec<&str> = names.iter().zip(pixels).filter(|(_, n)| **n == 0).map(|(name, _)| name.as_str()).collect();
    let void_share = void_pixels as f64 / all.total_pixels().max(1) as f64;
    if absent.len() + 1 >= names.len() {
        let present = names.iter().zip(pixels).find(|(_, n)| **n > 0).map(|(name, _)| name.as_str());
        let (message, hint) = only_one_class(present, all);
        problems.push(Problem::new("one_class", Severity::Error, None, message, &hint));
        return;
    }
    if !absent.is_empty() {
        let message = format!("{} of {} classes never occur: {}", absent.len(), names.len(), absent.join(", "));
        problems.push(Problem::new(
            "absent_class",
            Severity::Warning,
            None,
            message,
            "their IoU is n/a; where these are not your classes, name yours in a classes.txt (without one a VOC root means VOC's 21)",
        ));
    }
    if void_share > 0.5 {
        let message = format!("{:.1} % of all pixels are void", 100.0 * void_share);
        problems.push(Problem::new(
            "much_void",
            Severity::Warning,
            None,
            message,
            "void counts neither in the loss nor in any score: see whether 255 was meant as a class",
        ));
    }
}

/// Classes that occur in `val` but never in `train`.
pub(super) fn unseen_classes(splits: &[SplitReport], problems: &mut Vec<Problem>) {
    let named = |name: &str| splits.iter().find(|s| s.name == name);
    let (Some(train), Some(val)) = (named("train"), named("val")) else { return };
    let pairs = train.per_class.iter().zip(&val.per_class);
    let unseen: Vec<&str> =
        pairs.filter(|(t, v)| t.images == 0 && v.images > 0).map(|(t, _)| t.name.as_str()).collect();
    if !unseen.is_empty() {
        let message = format!("{} classes occur in val, but never in train: {}", unseen.len(), unseen.join(", "));
        let hint = "their IoU will be 0: move images between the lists";
        problems.push(Problem::new("unseen_class", Severity::Warning, None, message, hint));
    }
}

/// Photographs of 16 bits a sample: a scale that one of them needs, all should have.
pub(super) fn sixteen_bits(library: &Library, reading: &ReadOptions, problems: &mut Vec<Problem>) {
    let Some(all) = SixteenBits::of(library.all()) else { return };
    if let Some(hint) = reading.white(all.greatest).err().and_then(|e| e.hint) {
        let refused = problems.iter_mut().filter(|problem| problem.code == RANGE_OF_16BIT);
        refused.for_each(|problem| problem.hint = hint.clone());
    }
    let dimmer = |seen: &&Inspection| seen.greatest_of_16bit.is_some_and(|greatest| fewest_bits(greatest) < all.bits);
    let count = library.all().filter(dimmer).count();
    if reading.scale_16bit == Some(Scale16::Used) && count > 0 {
        let message = format!(
            "{count} of {} photographs of 16 bits a sample use fewer bits than the {} of the others, and are made lighter \
             than these by `used`",
            all.images, all.bits
        );
        let hint = format!("if one camera took them, give all the same scale: `scale_16bit {}`", all.bits);
        problems.push(Problem::new("scales_differ", Severity::Warning, None, message, &hint));
    }
}

/// Masks whose palettes or depths contradict each other or the class list, and a class that is named like void.
pub(super) fn contradicting(dataset: &Dataset, library: &Library, problems: &mut Vec<Problem>) {
    let facts: Vec<MaskFacts> = library.all().filter_map(|seen| seen.facts.clone()).collect();
    for found in contradictions(&facts, &dataset.coding) {
        problems.push(Problem::new(found.code, Severity::Error, None, found.message, &found.hint));
    }
    if let Some(name) = named_like_void(&dataset.coding) {
        let message = format!("255 is class `{name}`, which is learnt and scored like every other class");
        let hint = format!("if these pixels have no label, write `255 void` instead of `255 {name}` in the class list");
        problems.push(Problem::new("void_name", Severity::Warning, None, message, &hint));
    }
}

/// The same image for training and for validation: by id, and by content under other names. Splits such as `trainval`
/// contain others by design; only `train`, `val` and `test` must be apart.
pub(super) fn leaks(dataset: &Dataset, library: &Library, problems: &mut Vec<Problem>) {
    let named = |name: &str| dataset.all_splits().iter().find(|s| s.name() == name);
    for (first, second) in [("train", "val"), ("train", "test"), ("val", "test")] {
        if let (Some(a), Some(b)) = (named(first), named(second)) {
            leak_between(a, b, library, problems);
        }
    }
}

fn leak_between(a: &Split, b: &Split, library: &Library, problems: &mut Vec<Problem>) {
    let ids: HashMap<&str, ()> = library.of(a).map(|s| (s.id.as_str(), ())).collect();
    let contents: HashMap<[u8; 32], &str> = library.of(a).filter_map(|s| Some((s.content?, s.id.as_str()))).collect();
    let (a, b_name) = (a.name(), b.name());
    for seen in library.of(b) {
        if ids.contains_key(seen.id.as_str()) {
            let message = format!("{} is in {a} and in {b_name}: the score would be too good", seen.id);
            problems.push(Problem::new(
                "in_both_splits",
                Severity::Error,
                Some(&seen.id),
                message,
                "take it out of one list",
            ));
        } else if let Some(twin) = seen.content.and_then(|c| contents.get(&c)) {
            let message = format!("{} in {b_name} is the same image as {twin} in {a}", seen.id);
            problems.push(Problem::new(
                "same_image",
                Severity::Warning,
                Some(&seen.id),
                message,
                "take it out of one list",
            ));
        }
    }
}
