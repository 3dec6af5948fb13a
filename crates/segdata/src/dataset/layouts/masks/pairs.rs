//! Pairing photographs with masks by their names, and the splits of what was paired.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::dataset::entry::Listing;
use crate::dataset::layout::OpenOptions;
use crate::dataset::layouts::drawn_split::{draw_all, split_name};
use crate::dataset::listing::{Files, each_file, read_list, unlisted};
use crate::dataset::names::{Side, composed, stem_of_image_name, without_image_extension};
use crate::error::{Error, Result};
use crate::files::MOST_FOLDERS_DEEP;
use crate::files::tree::Tree;

/// Words that tools put behind the name of a photograph for its mask, after a separator.
const MASK_WORDS: [&str; 12] = [
    "mask",
    "masks",
    "label",
    "labels",
    "labelids",
    "labeltrainids",
    "seg",
    "segmentation",
    "gt",
    "groundtruth",
    "annotation",
    "l",
];

/// Words behind the names of photographs.
const IMAGE_WORDS: [&str; 6] = ["image", "img", "im", "sat", "rgb", "photo"];

/// A split and where its two halves lie.
pub(super) struct Part {
    pub split: &'static str,
    pub images: Side,
    pub masks: Side,
}

/// An image file: the path of its folder, and its name.
struct Named {
    below: String,
    name: String,
}

/// How the names of photographs and masks correspond: of all suffixes and prefixes that occur, those under which most masks have a
/// photograph. `mask_suffix` of the options decides where it is said.
///
/// # Errors
/// What the system refuses.
pub(super) fn sides(tree: &Tree, images: &Path, masks: &Path, options: &OpenOptions) -> Result<(Side, Side)> {
    Ok(best_sides(tree, images, masks, options)?.0)
}

/// [`sides`], and how many pairs there are.
pub(super) fn best_sides(
    tree: &Tree,
    images: &Path,
    masks: &Path,
    options: &OpenOptions,
) -> Result<((Side, Side), usize)> {
    let one_folder = images == masks;
    let photographs = named(tree, images)?;
    let drawn = if one_folder { None } else { Some(named(tree, masks)?) };
    let drawn = drawn.as_ref().unwrap_or(&photographs);
    let mut ways = Vec::new();
    let suffixes = match &options.mask_suffix {
        Some(said) => BTreeSet::from([said.clone()]),
        None => suffixes(drawn, &MASK_WORDS),
    };
    let mut image_suffixes = suffixes_of_images(&photographs);
    image_suffixes.insert(0, String::new());
    if options.mask_suffix.is_none() {
        let jpeg = one_folder.then_some(true);
        let way = |jpeg: Option<bool>, dir: &Path| Side { jpeg, ..Side::of(dir) };
        ways.push((way(jpeg, images), way(jpeg.map(|_| false), masks)));
    }
    for suffix in &suffixes {
        for image_suffix in &image_suffixes {
            let not = (one_folder && image_suffix.is_empty()).then(|| suffix.clone());
            let image = Side { not, ..Side::of(images).with_suffix(image_suffix) };
            ways.push((image, Side::of(masks).with_suffix(suffix)));
        }
    }
    if options.mask_suffix.is_none() {
        let mut image_prefixes = prefixes(&photographs, &IMAGE_WORDS);
        image_prefixes.insert(String::new());
        for prefix in prefixes(drawn, &MASK_WORDS) {
            for image_prefix in &image_prefixes {
                let not_first = (one_folder && image_prefix.is_empty()).then(|| prefix.clone());
                let image = Side { not_first, ..Side::of(images).with_prefix(image_prefix) };
                ways.push((image, Side::of(masks).with_prefix(&prefix)));
            }
        }
    }
    let count = |(image, mask): &(Side, Side)| {
        let known: HashSet<(&str, &str)> = photographs.iter().filter_map(|n| n.id(image)).collect();
        drawn.iter().filter_map(|n| n.id(mask)).filter(|id| known.contains(id)).count()
    };
    let counted: Vec<usize> = ways.iter().map(count).collect();
    let most = counted.iter().copied().max().unwrap_or(0);
    let best = counted.iter().position(|&n| n == most).unwrap_or(0);
    Ok((ways.swap_remove(best), most))
}

impl Named {
    /// The folder and the id under `side`.
    fn id(&self, side: &Side) -> Option<(&str, &str)> {
        side.id_of(&self.name).map(|id| (self.below.as_str(), id))
    }
}

fn named(tree: &Tree, dir: &Path) -> Result<Vec<Named>> {
    let mut found = Vec::new();
    each_file(tree, dir, MOST_FOLDERS_DEEP, &mut |below, name, _| {
        if stem_of_image_name(name).is_some() {
            found.push(Named { below: composed(below).into_owned(), name: composed(name).into_owned() });
        }
        true
    })?;
    Ok(found)
}

/// The ends of names that are one of these words behind a separator, as they are written.
fn suffixes(files: &[Named], words: &[&str]) -> BTreeSet<String> {
    let end = |file: &Named| {
        let stem = without_image_extension(stem_of_image_name(&file.name)?);
        let (at, word) =
            stem.rmatch_indices(['_', '-', '.', ' ']).next().map(|(at, _)| (at, stem[at + 1..].to_lowercase()))?;
        words.contains(&word.as_str()).then(|| stem[at..].to_string())
    };
    files.iter().filter_map(end).collect()
}

/// The beginnings of names that are one of these words before a separator, as they are written.
fn prefixes(files: &[Named], words: &[&str]) -> BTreeSet<String> {
    let start = |file: &Named| {
        let (at, _) = file.name.match_indices(['_', '-', '.', ' ']).next()?;
        words.contains(&file.name[..at].to_lowercase().as_str()).then(|| file.name[..=at].to_string())
    };
    files.iter().filter_map(start).collect()
}

fn suffixes_of_images(files: &[Named]) -> Vec<String> {
    suffixes(files, &IMAGE_WORDS).into_iter().collect()
}

/// The listings of splits that have folders of their own. Where there is `train` and no `val`, one is drawn from it.
/// Where two splits have an id in common, ids are those below the folder of the split: `train/a`.
///
/// # Errors
/// What the system refuses.
pub(super) fn list_parts(tree: &Tree, parts: Vec<Part>) -> Result<Vec<Listing>> {
    let has = |name: &str| parts.iter().any(|part| part.split == name);
    let undivided = has("train") && !has("val");
    let mut listings = Vec::new();
    for part in parts {
        let mut files = Files::new(tree, part.images, part.masks)?;
        if undivided && part.split == "train" {
            listings.extend(draw_all(&mut files));
            continue;
        }
        listings.push(files.resolve(part.split, unlisted(files.all_ids())));
    }
    listings.sort_by(|a, b| a.name.cmp(&b.name));
    Listing::tell_splits_apart(&mut listings);
    Ok(listings)
}

/// The listings of one pair of folders: `train.txt`, `val.txt`, ... in `root` name the splits, a draw does without them.
///
/// # Errors
/// A list that cannot be read; what the system refuses.
pub(super) fn list_whole(tree: &Tree, images: Side, masks: Side) -> Result<Vec<Listing>> {
    let mut files = Files::new(tree, images, masks)?;
    let lists = split_lists(tree)?;
    if lists.is_empty() {
        return Ok(draw_all(&mut files));
    }
    lists.iter().map(|(name, path)| Ok(files.resolve(name, read_list(tree, path)?))).collect()
}

/// Lists in the root, by the name of their split. A list must be named after a split, so that `classes.txt` and notes are
/// none.
fn split_lists(tree: &Tree) -> Result<Vec<(String, PathBuf)>> {
    let mut lists = Vec::new();
    for path in tree.list(tree.root())? {
        if path.extension().is_some_and(|e| e == "txt")
            && let Some(stem) = path.file_stem().and_then(|s| s.to_str())
            && ["train", "val", "test"].iter().any(|name| stem.starts_with(name))
        {
            lists.push((split_name(stem).unwrap_or(stem).to_string(), path.clone()));
        }
    }
    lists.sort();
    Ok(lists)
}

/// The error of a set whose folders hold no pair.
pub(super) fn no_pairs(tree: &Tree) -> Error {
    Error::data("no photograph has a mask of its name").at(tree.root()).hint(
        "a mask has the stem of its photograph; `mask_suffix` says what it has behind it, `images` and `masks` name the folders",
    )
}
