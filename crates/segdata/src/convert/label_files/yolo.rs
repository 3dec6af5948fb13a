//! YOLO's segmentation labels, as Ultralytics reads them: a text file a picture, an object a line.
//!
//! Format: <https://docs.ultralytics.com/datasets/segment/>. A line is `class x1 y1 x2 y2 ...`, with columns and rows as
//! fractions of width and height. Classes are numbered without the background. A line has one outline: holes are cut into it
//! along lines of no width, there and back, as Ultralytics joins the parts of an object (`merge_multi_segment`).

use std::path::Path;

use super::names::Names;
use crate::error::{Error, Result};
use crate::files::write::write_bytes_atomically;
use crate::image::shapes::regions;
use crate::labels::LabelMap;

/// Writes the file of one picture at `path`: outlines simplified within `simplify` pixels.
///
/// # Errors
/// A label map that is none; what the system refuses.
pub(super) fn write(path: &Path, labels: &LabelMap, names: &Names, simplify: f64) -> Result<()> {
    let mut text = String::new();
    for region in regions(labels)?.into_iter().filter(|region| Some(region.id) != names.background) {
        let number = names.all().position(|named| named.id == region.id);
        let number =
            number.ok_or_else(|| Error::internal(format!("the label map holds {}, which has no name", region.id)))?;
        let holes = region.holes.iter().map(|hole| hole.simplified(simplify));
        text.push_str(&number.to_string());
        for [x, y] in with_holes(region.outline.simplified(simplify), holes) {
            text.push_str(&format!(" {} {}", fraction(x, labels.width), fraction(y, labels.height)));
        }
        text.push('\n');
    }
    write_bytes_atomically(path, text.as_bytes())
}

/// The `data.yaml` that names the classes; photographs are expected in `images/`, beside `labels/`.
pub(super) fn config(names: &Names) -> String {
    let mut text = String::from("path: .\ntrain: images\nval: images\nnames:\n");
    for (number, named) in names.all().enumerate() {
        // Text of JSON is text of YAML.
        text.push_str(&format!("  {number}: {}\n", serde_json::Value::from(named.name)));
    }
    text
}

/// One outline of an outline and the holes in it: the way leads from the nearest corner to each hole, around it, and back.
fn with_holes(mut outline: Vec<[u32; 2]>, holes: impl Iterator<Item = Vec<[u32; 2]>>) -> Vec<[u32; 2]> {
    for hole in holes {
        let Some(&entry) = hole.first() else { continue };
        let distance =
            |[x, y]: [u32; 2]| u64::from(x.abs_diff(entry[0])).pow(2) + u64::from(y.abs_diff(entry[1])).pow(2);
        let Some(at) = (0..outline.len()).min_by_key(|&i| distance(outline[i])) else { continue };
        let way_back = [entry, outline[at]];
        outline.splice(at + 1..at + 1, hole.into_iter().chain(way_back));
    }
    outline
}

/// A coordinate as a fraction of the picture, to a thousandth of a pixel of the widest picture.
fn fraction(at: u32, of: usize) -> String {
    let text = format!("{:.8}", f64::from(at) / of.max(1) as f64);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_cut_in_from_the_nearest_corner() {
        let outline = vec![[0, 0], [9, 0], [9, 9], [0, 9]];
        let holes = [vec![[7, 1], [7, 2], [8, 2], [8, 1]], vec![[6, 1], [6, 2], [5, 2]]];
        let joined = with_holes(outline, holes.into_iter());
        let expected: [[u32; 2]; 15] = [
            [0, 0],
            [9, 0],
            [7, 1],
            [6, 1],
            [6, 2],
            [5, 2],
            [6, 1],
            [7, 1],
            [7, 2],
            [8, 2],
            [8, 1],
            [7, 1],
            [9, 0],
            [9, 9],
            [0, 9],
        ];
        assert_eq!(joined, expected);
    }

    #[test]
    fn fractions_have_no_zeros_at_their_end() {
        let cases = [((0, 7), "0"), ((7, 7), "1"), ((1, 4), "0.25"), ((1, 3), "0.33333333"), ((0, 0), "0")];
        for ((at, of), expected) in cases {
            assert_eq!(fraction(at, of), expected);
        }
    }
}
