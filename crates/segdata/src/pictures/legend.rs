//! The legend of a picture.

use super::canvas::{Canvas, Rgb, flow};
use super::colours::colour_of;
use super::font::Font;
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap, VOID};
use crate::size::Size;

/// The picture with a legend below: a colour field and the name of each class in `maps`, the most frequent first. The
/// result is wider than the picture where a name needs more space.
pub fn with_legend(picture: &RgbImage, maps: &[&LabelMap], classes: &Classes) -> RgbImage {
    let font = Font::for_width(picture.width);
    let (line, pad) = (font.height() * 5 / 4, font.height() / 4);
    let swatch = font.height() * 3 / 2;
    let entries = legend_entries(maps, classes);
    let entry_width = |name: &str| swatch + pad + font.width(name) + 4 * pad;
    let widths: Vec<usize> = entries.iter().map(|(_, name)| entry_width(name)).collect();
    let width = (2 * pad + widths.iter().copied().max().unwrap_or(0)).max(picture.width);
    let places = flow(&widths, width - 2 * pad);
    let rows = places.last().map_or(0, |(row, _)| row + 1);
    let mut canvas = Canvas::new(Size::new(width, picture.height + rows * line + 2 * pad), [255; 3]);
    canvas.place(picture, 0, 0);
    for ((colour, name), (row, x)) in entries.iter().zip(places) {
        let (x, y) = ((pad + x) as i64, (picture.height + pad + row * line) as i64);
        canvas.fill(x, y + pad as i64 / 2, swatch, font.height() - pad, *colour);
        canvas.frame(x, y + pad as i64 / 2, swatch, font.height() - pad, [90; 3]);
        canvas.text(x + (swatch + pad) as i64, y, font, [20; 3], name);
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
