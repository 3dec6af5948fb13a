//! The legend of a picture.

use super::canvas::{Canvas, Rgb};
use super::colours::colour_of;
use super::font;
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap, VOID};
use crate::size::Size;

/// The picture with a legend below: a colour field and the name of each class in `maps`, the most frequent first. The
/// result is wider than the picture where a name needs more space.
pub fn with_legend(picture: &RgbImage, maps: &[&LabelMap], classes: &Classes) -> RgbImage {
    let scale = (picture.width / 400).clamp(1, 4);
    let entries = legend_entries(maps, classes);
    let entry_width = |name: &str| (14 + font::width(name) + 10) * scale;
    let width = entries.iter().map(|(_, name)| entry_width(name)).max().unwrap_or(0).max(picture.width);
    let line = 12 * scale;
    let mut rows: Vec<Vec<&(Rgb, String)>> = Vec::new();
    let mut used = width;
    for entry in &entries {
        if used + entry_width(&entry.1) > width {
            rows.push(Vec::new());
            used = 0;
        }
        used += entry_width(&entry.1);
        rows.last_mut().into_iter().for_each(|row| row.push(entry));
    }
    let mut canvas = Canvas::new(Size::new(width, picture.height + rows.len() * line + 2 * scale), [255; 3]);
    canvas.place(picture, 0, 0);
    for (i, row) in rows.iter().enumerate() {
        let y = (picture.height + i * line + 3 * scale) as i64;
        let mut x = 3 * scale as i64;
        for (colour, name) in row {
            canvas.fill(x, y, 9 * scale, 7 * scale, *colour);
            canvas.frame(x, y, 9 * scale, 7 * scale, [90; 3]);
            canvas.text(x + 12 * scale as i64, y, scale, [20; 3], name);
            x += entry_width(name) as i64;
        }
    }
    canvas.into_image()
}

/// Colour and name of each id that occurs, the most frequent first, equal ones by id.
fn legend_entries(maps: &[&LabelMap], classes: &Classes) -> Vec<(Rgb, String)> {
    let mut pixels = [0u64; 256];
    maps.iter().flat_map(|map| &map.ids).for_each(|&id| pixels[usize::from(id)] += 1);
    let mut ids: Vec<u8> = (0..=255).filter(|&id| pixels[usize::from(id)] > 0).collect();
    ids.sort_by_key(|&id| std::cmp::Reverse(pixels[usize::from(id)]));
    let name = |id: u8| match classes.names.get(usize::from(id)) {
        Some(name) => name.chars().take(40).collect(),
        None if id == VOID => "void".to_string(),
        None => format!("id {id}"),
    };
    ids.into_iter().map(|id| (colour_of(id, classes), name(id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::voc_colour;

    #[test]
    fn a_legend_names_what_occurs_by_frequency() {
        let mut map = LabelMap::filled(Size::new(10, 10), 8);
        map.ids[0] = 0;
        map.ids[1] = VOID;
        map.ids[2] = 30;
        map.ids[3] = 0;
        let names: Vec<String> = legend_entries(&[&map], &Classes::voc()).into_iter().map(|e| e.1).collect();
        assert_eq!(names, ["cat", "background", "id 30", "void"]);
        for (width, height) in [(1, 1), (10, 10), (900, 20), (3000, 2)] {
            let map = LabelMap::filled(Size { width, height }, 12);
            let out = with_legend(&RgbImage::filled(Size { width, height }, [7; 3]), &[&map], &Classes::voc());
            assert!(out.width >= width && out.height > height, "{width}x{height}");
            assert_eq!(out.pixel(0, 0), [7; 3]);
            assert!(out.rgb_hwc.chunks(3).any(|p| p == voc_colour(12)), "{width}x{height}");
        }
    }
}
