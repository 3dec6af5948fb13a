//! What the values found in masks probably mean, and a class list to start from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;

use crate::dataset::layout::Layout;
use crate::error::Error;
use crate::files::tree::Tree;
use crate::image::RawMask;
use crate::labels::{Classes, MaskCoding, MaskValue, VOID, voc_colour};

/// Values found over any number of masks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ValueCounts {
    /// Pixels and masks of each value.
    pub by_value: BTreeMap<MaskValue, Count>,
    /// Number of masks looked at.
    pub masks: u64,
}

/// How often a value occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub pixels: u64,
    pub masks: u64,
}

/// What the values probably mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// One sentence.
    pub meaning: String,
    /// A `classes.txt` under which the masks would be read so, where one can be written.
    pub class_list: Option<String>,
}

impl ValueCounts {
    /// Adds the values of one mask.
    pub fn add(&mut self, histogram: &BTreeMap<MaskValue, u64>) {
        self.masks += 1;
        for (&value, &pixels) in histogram {
            let count = self.by_value.entry(value).or_default();
            count.pixels += pixels;
            count.masks += 1;
        }
    }

    pub fn total_pixels(&self) -> u64 {
        self.by_value.values().map(|c| c.pixels).sum()
    }

    /// The values with their share of all pixels, commonest first: `0 (71.2 %, 10 masks), 255 (...)`.
    pub fn describe(&self, at_most: usize) -> String {
        let total = self.total_pixels().max(1) as f64;
        let mut sorted: Vec<_> = self.by_value.iter().collect();
        sorted.sort_by_key(|(value, c)| (std::cmp::Reverse(c.pixels), **value));
        let mut parts: Vec<String> = sorted
            .iter()
            .take(at_most)
            .map(|(value, c)| {
                let masks = if c.masks == 1 { "1 mask".to_string() } else { format!("{} masks", c.masks) };
                format!("{value} ({:.1} %, {masks})", 100.0 * c.pixels as f64 / total)
            })
            .collect();
        if sorted.len() > at_most {
            parts.push(format!("and {} more", sorted.len() - at_most));
        }
        parts.join(", ")
    }

    /// The values, where all are indices, class ids, or colours of three equal channels.
    fn indices(&self) -> Option<Vec<u16>> {
        let index = |value: &MaskValue| match *value {
            MaskValue::Index(index) => Some(index),
            MaskValue::Id(id) => Some(id.into()),
            MaskValue::Colour([r, g, b]) => (r == g && g == b).then_some(r.into()),
        };
        let indices: Option<BTreeSet<u16>> = self.by_value.keys().map(index).collect();
        indices.map(|indices| indices.into_iter().collect())
    }

    fn colours(&self) -> Option<Vec<[u8; 3]>> {
        self.by_value.keys().map(|v| if let MaskValue::Colour(c) = v { Some(*c) } else { None }).collect()
    }
}

/// More distinct values than this are no classes.
const MOST_CLASSES: usize = 64;

/// Explains what the values of masks without a class list probably mean.
pub(crate) fn explain(counts: &ValueCounts) -> Explanation {
    if counts.by_value.is_empty() {
        return only("no mask could be read".into());
    }
    if let Some(indices) = counts.indices() {
        return explain_indices(&indices);
    }
    if let Some(colours) = counts.colours() {
        return explain_colours(&colours, counts);
    }
    only("some masks hold indices, others RGB colours: save all of them in one way".into())
}

fn only(meaning: String) -> Explanation {
    Explanation { meaning, class_list: None }
}

fn explain_indices(values: &[u16]) -> Explanation {
    let labels: Vec<u16> = values.iter().copied().filter(|&v| v != u16::from(VOID)).collect();
    if values == [0, 255] {
        return Explanation {
            meaning: "0 and 255 only: a binary mask in which 255 is the foreground; here 255 means void, so every \
                      labelled pixel would be class 0 and nothing could be learnt"
                .into(),
            class_list: Some("0 background\n255 foreground\n".into()),
        };
    }
    if values == [u16::from(VOID)] {
        return only("255 only, which is void: nothing is labelled".into());
    }
    if values.len() > MOST_CLASSES {
        return only(format!(
            "{} different values are no classes: these are instance numbers, depths or a photograph; draw one value a class, counting from 0",
            values.len()
        ));
    }
    let luma: Vec<u16> = (0..21u8).chain([VOID]).map(|id| u16::from(luma(voc_colour(id)))).collect();
    let highest = labels.last().copied().unwrap_or(0);
    if highest > 20 && labels.len() > 2 && labels.iter().all(|v| luma.contains(v)) {
        return only(
            "the values are the brightnesses of VOC's colours: colour masks were turned to grey; save the masks as palette PNG, or keep them RGB"
                .into(),
        );
    }
    let dense = usize::from(highest) + 1 == labels.len();
    if dense {
        let listed = (0..=highest).map(|id| format!("{id} {}\n", placeholder(id, highest))).collect::<String>();
        let void = if values.len() > labels.len() { "; 255 is void" } else { "" };
        return Explanation {
            meaning: format!("class ids 0 to {highest}{void}"),
            class_list: Some(format!("{listed}255 void\n")),
        };
    }
    if usize::from(highest) < 2 * labels.len() + 2 && highest < 255 {
        let line = |id: u16| {
            format!("{id} {}\n", if labels.contains(&id) { placeholder(id, highest) } else { format!("unseen_{id}") })
        };
        return Explanation {
            meaning: format!("class ids up to {highest}, of which some never occur"),
            class_list: Some((0..=highest).map(line).collect::<String>() + "255 void\n"),
        };
    }
    only(format!(
        "{} values spread up to {highest}, so not class ids: brightnesses written for the eye; redraw them as 0, 1, 2, ...",
        labels.len()
    ))
}

fn placeholder(id: u16, highest: u16) -> String {
    match (id, highest) {
        (0, _) => "background".into(),
        (1, 1) => "object".into(),
        _ => format!("class_{id}"),
    }
}

fn explain_colours(colours: &[[u8; 3]], counts: &ValueCounts) -> Explanation {
    let voc = Classes::voc();
    let is_voc = |c: &[u8; 3]| voc.palette.contains(c) || *c == voc_colour(VOID);
    if colours.len() > 2 && colours.iter().all(is_voc) {
        return Explanation { meaning: "RGB masks in VOC's colours".into(), class_list: Some(voc.to_text()) };
    }
    if colours.len() > 3 * MOST_CLASSES {
        return only(format!(
            "{} different colours are no classes: the masks went through JPEG or smoothing, or hold instances",
            colours.len()
        ));
    }
    let mut sorted = colours.to_vec();
    sorted.sort_by_key(|c| {
        (*c != [0; 3], std::cmp::Reverse(counts.by_value.get(&MaskValue::Colour(*c)).map_or(0, |n| n.pixels)))
    });
    let lines = sorted.iter().enumerate().map(|(id, [r, g, b])| {
        let name = if [*r, *g, *b] == [0; 3] { "background".to_string() } else { format!("class_{id}") };
        format!("{id} {name} {r} {g} {b}\n")
    });
    Explanation {
        meaning: format!(
            "RGB masks in {} colours: each is probably a class; name them, and call black `void` if it marks pixels without a label",
            colours.len()
        ),
        class_list: Some(lines.collect()),
    }
}

/// ITU-R BT.601 brightness as Pillow's `convert("L")` computes it.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// The error for a folder that says nothing about its classes: the values in its masks, what they probably mean, and a
/// class list to start from.
pub(in crate::dataset) fn without_classes(layout: &Layout) -> Error {
    let masks: Vec<&PathBuf> =
        layout.listings.iter().flat_map(|l| &l.entries).filter_map(|e| e.source.mask()).collect();
    let histograms: Vec<_> = masks
        .par_iter()
        .filter_map(|path| RawMask::decode(&layout.tree.read("the mask", path).ok()?).ok())
        .map(|mask| mask.histogram())
        .collect();
    let mut counts = ValueCounts::default();
    histograms.iter().for_each(|h| counts.add(h));
    let (message, hint) = describe_missing_classes(&layout.tree, &counts, &explain(&counts));
    Error::data(message).at(layout.tree.root()).hint(hint)
}

/// Message and remedy of a folder without a class list.
pub(crate) fn describe_missing_classes(tree: &Tree, counts: &ValueCounts, explained: &Explanation) -> (String, String) {
    let message = format!(
        "there is no classes.txt, so nothing says what mask values mean; {} masks hold {}: {}",
        counts.masks,
        counts.describe(12),
        explained.meaning
    );
    let mut hint = String::new();
    if let Some((name, classes)) = class_list_beside(tree) {
        hint.push_str(&format!(
            "{name} lists {classes} classes: use it with `classes {}`,\n",
            tree.root().join(&name).display()
        ));
    }
    match &explained.class_list {
        Some(list) => {
            let more = if hint.is_empty() { "" } else { "or " };
            hint.push_str(&format!("{more}write classes.txt; to start from:\n{}", list.trim_end()));
        }
        None => hint.push_str("write classes.txt: one class a line, `id name` or `id name r g b`"),
    }
    (message, hint)
}

/// A text file beside the images that reads as a class list, under another name.
fn class_list_beside(tree: &Tree) -> Option<(String, usize)> {
    let paths = tree.list(tree.root()).ok()?;
    paths.iter().filter(|p| p.extension().is_some_and(|e| e == "txt")).find_map(|path| {
        let classes = MaskCoding::read(path).ok()?.classes.len();
        (classes > 1).then(|| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), classes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[MaskValue]) -> ValueCounts {
        let by_value = values.iter().map(|&v| (v, Count { pixels: 10, masks: 1 })).collect();
        ValueCounts { by_value, masks: 1 }
    }

    #[test]
    fn what_values_mean_is_explained_and_the_class_list_reads_them() {
        let index = |values: &[u16]| values.iter().map(|&v| MaskValue::Index(v)).collect::<Vec<_>>();
        let colour = |values: &[[u8; 3]]| values.iter().map(|&v| MaskValue::Colour(v)).collect::<Vec<_>>();
        let voc_greys: Vec<u16> = [0u8, 8, 12, 15].map(|id| u16::from(luma(voc_colour(id)))).to_vec();
        let many: Vec<u16> = (0..200).collect();
        // values, what the meaning says, how many classes the list names (0: no list)
        let cases = [
            (index(&[0, 255]), "255 is the foreground", 2),
            (index(&[0, 1]), "class ids 0 to 1", 2),
            (index(&[0, 1, 2, 3, 255]), "255 is void", 4),
            (index(&[0, 1, 3, 4]), "some never occur", 5),
            (index(&[255]), "nothing is labelled", 0),
            (index(&[0, 128, 255]), "redraw them", 0),
            (index(&voc_greys), "turned to grey", 0),
            (index(&many), "instance numbers", 0),
            (colour(&[[0; 3], [128, 0, 0], [64, 0, 0], voc_colour(VOID)]), "VOC's colours", 21),
            (colour(&[[0; 3], [1, 2, 3], [255; 3]]), "3 colours", 3),
            (vec![MaskValue::Index(0), MaskValue::Colour([1, 2, 3])], "one way", 0),
            (vec![], "no mask", 0),
        ];
        let mut failures = Vec::new();
        for (values, meaning, classes) in cases {
            let counts = counts(&values);
            let found = explain(&counts);
            if !found.meaning.contains(meaning) {
                failures.push(format!("{values:?}: {found:?}"));
            }
            let coding = found.class_list.as_deref().map(|text| MaskCoding::parse(text).unwrap());
            if coding.as_ref().map_or(0, |c| c.classes.len()) != classes {
                failures.push(format!("{values:?}: {coding:?}"));
            }
            if let Some(coding) = coding
                && values.iter().any(|v| coding.id_of(*v).is_none())
            {
                failures.push(format!("{values:?}: the class list does not cover them"));
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }
}
