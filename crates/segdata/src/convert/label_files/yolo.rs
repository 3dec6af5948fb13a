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
        let holes = region.holes.iter().map(|hole| hole.simplified(simplify)).collect();
        text.push_str(&number.to_string());
        for [x, y] in with_holes(region.outline.simplified(simplify), holes, MAX_PAIRS) {
            text.push_str(&format!(" {} {}", fraction(x, labels.width), fraction(y, labels.height)));
        }
        text.push('\n');
    }
    write_bytes_atomically(path, text.as_bytes())
}

/// The `data.yaml` that names the classes; photographs are expected in `images/`, beside `labels/`. Without `path`,
/// Ultralytics looks beside the file.
pub(super) fn config(names: &Names) -> String {
    let mut text = String::from("train: images\nval: images\nnames:\n");
    for (number, named) in names.all().enumerate() {
        // Text of JSON is text of YAML.
        text.push_str(&format!("  {number}: {}\n", serde_json::Value::from(named.name)));
    }
    text
}

/// Pairs of corners that are compared at most for the shortest ways into the holes of an object: a fraction of a second.
const MAX_PAIRS: usize = 1 << 26;

/// One outline of an outline and the holes in it: the way leads from the nearest corner to each hole, around it, and back.
/// Where that would be more than `max_pairs` comparisons, it leads from hole to hole, and back past all of them.
fn with_holes(outline: Vec<[u32; 2]>, holes: Vec<Vec<[u32; 2]>>, max_pairs: usize) -> Vec<[u32; 2]> {
    let corners = outline.len() + holes.iter().map(|hole| hole.len() + 2).sum::<usize>();
    if corners.saturating_mul(holes.len()) > max_pairs {
        return from_hole_to_hole(outline, holes);
    }
    let mut joined = outline;
    for hole in holes {
        let Some(&entry) = hole.first() else { continue };
        let distance =
            |[x, y]: [u32; 2]| u64::from(x.abs_diff(entry[0])).pow(2) + u64::from(y.abs_diff(entry[1])).pow(2);
        let Some(at) = (0..joined.len()).min_by_key(|&i| distance(joined[i])) else { continue };
        let way_back = [entry, joined[at]];
        joined.splice(at + 1..at + 1, hole.into_iter().chain(way_back));
    }
    joined
}

fn from_hole_to_hole(outline: Vec<[u32; 2]>, holes: Vec<Vec<[u32; 2]>>) -> Vec<[u32; 2]> {
    let mut entries: Vec<[u32; 2]> = holes.iter().filter_map(|hole| hole.first().copied()).collect();
    let start = outline.first().copied();
    let mut joined = outline;
    joined.extend(start);
    for (hole, entry) in holes.into_iter().filter(|hole| !hole.is_empty()).zip(&entries) {
        joined.extend(hole);
        joined.push(*entry);
    }
    entries.pop();
    joined.extend(entries.into_iter().rev());
    joined
}

/// A coordinate as a fraction of the picture, to a thousandth of a pixel of the widest picture.
fn fraction(at: u32, of: usize) -> String {
    let text = format!("{:.8}", f64::from(at) / of.max(1) as f64);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::shapes::Polygon;
    use crate::size::Size;

    #[test]
    fn ways_into_holes_cover_no_pixel() {
        let outline = vec![[0, 0], [19, 0], [19, 19], [0, 19]];
        let square = |x: u32, y: u32| vec![[x, y], [x, y + 2], [x + 2, y + 2], [x + 2, y]];
        let holes = vec![square(15, 1), square(3, 7), square(9, 9), square(14, 15)];
        let nearest = with_holes(outline.clone(), holes.clone(), 1000);
        let around = [[19, 0], [15, 1], [15, 3], [17, 3], [17, 1], [15, 1], [19, 0]];
        assert!(nearest.windows(7).any(|corners| corners == around), "{nearest:?}");
        let size = Size::new(20, 20);
        let filled = |corners: &[[u32; 2]]| Polygon::new(corners.iter().map(|c| c.map(f64::from))).unwrap().fill(size);
        let expected = holes.iter().fold(filled(&outline), |rest, hole| rest.minus(&filled(hole)));
        assert_eq!(expected.area(), 361 - 16);
        for max_pairs in [1000, 0] {
            assert_eq!(filled(&with_holes(outline.clone(), holes.clone(), max_pairs)), expected, "{max_pairs}");
        }
        assert_eq!(with_holes(outline.clone(), Vec::new(), 1000), outline);
    }

    #[test]
    fn fractions_have_no_zeros_at_their_end() {
        let cases = [((0, 7), "0"), ((7, 7), "1"), ((1, 4), "0.25"), ((1, 3), "0.33333333"), ((0, 0), "0")];
        for ((at, of), expected) in cases {
            assert_eq!(fraction(at, of), expected);
        }
    }
}
