//! The legend of a picture.

use super::canvas::{Canvas, flow};
use super::colours::{Mark, hatched, mark_of};
use super::font::Font;
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap, VOID};
use crate::size::Size;

/// The picture with a legend below: a swatch and the name of each class in `maps`, in the order of their ids. The swatch
/// is as the class is shown: in its colour, hatched for void, empty for what leaves the photograph as it is. The result
/// is wider than the picture where a name needs more space.
pub fn with_legend(picture: &RgbImage, maps: &[&LabelMap], classes: &Classes) -> RgbImage {
    legend_below(picture, &legend_entries(maps, classes), Font::for_width(picture.width))
}

/// How each id that occurs is shown, and its name, by id.
pub(super) fn legend_entries(maps: &[&LabelMap], classes: &Classes) -> Vec<(Mark, String)> {
    let mut present = [false; 256];
    maps.iter().flat_map(|map| &map.ids).for_each(|&id| present[usize::from(id)] = true);
    let ids = (0..=255).filter(|&id| present[usize::from(id)]);
    ids.map(|id| (mark_of(id, classes), name_of(id, classes))).collect()
}

/// The picture with swatches and texts below, in lines.
pub(super) fn legend_below(picture: &RgbImage, entries: &[(Mark, String)], font: Font) -> RgbImage {
    let (line, pad) = (font.height() * 3 / 2, font.height() / 4);
    let swatch = Size::new(font.height() * 3 / 2, font.height());
    let widths: Vec<usize> = entries.iter().map(|(_, name)| swatch.width + font.width(name) + 8 * pad).collect();
    let width = (2 * pad + widths.iter().copied().max().unwrap_or(0)).max(picture.width);
    let places = flow(&widths, width - 2 * pad);
    let rows = places.last().map_or(0, |(row, _)| row + 1);
    let mut canvas = Canvas::new(Size::new(width, picture.height + rows * line + 2 * pad), [255; 3]);
    canvas.place(picture, 0, 0);
    for ((mark, name), (row, x)) in entries.iter().zip(places) {
        let (x, y) = (pad + x, picture.height + 2 * pad + row * line);
        draw_swatch(&mut canvas, x as i64, y as i64, swatch, *mark);
        canvas.text((x + swatch.width + 2 * pad) as i64, y as i64, font, [20; 3], name);
    }
    canvas.into_image()
}

fn draw_swatch(canvas: &mut Canvas, left: i64, top: i64, size: Size, mark: Mark) {
    for y in 0..size.height {
        for x in 0..size.width {
            let colour = match mark {
                Mark::Bare => [255; 3],
                Mark::Hatched => hatched([150; 3], x, y, size.height / 12),
                Mark::Painted(colour) => colour,
            };
            canvas.dot(left + x as i64, top + y as i64, colour);
        }
    }
    canvas.frame(left, top, size.width, size.height, [90; 3]);
}

/// What a legend calls an id: at most 40 characters.
pub(super) fn name_of(id: u8, classes: &Classes) -> String {
    match classes.names.get(usize::from(id)) {
        Some(name) => name.chars().take(40).collect(),
        None if id == VOID => "void".to_string(),
        None => format!("id {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::colours::picture_colour;
    use super::*;

    #[test]
    fn legends_fit_pictures_of_any_size() {
        for (width, height) in [(1, 1), (10, 10), (900, 20), (3000, 2)] {
            let map = LabelMap::filled(Size { width, height }, 12);
            let out = with_legend(&RgbImage::filled(Size { width, height }, [7; 3]), &[&map], &Classes::voc());
            assert!(out.width >= width && out.height > height, "{width}x{height}");
            assert_eq!(out.pixel(0, 0), [7; 3]);
            assert!(out.rgb_hwc.chunks(3).any(|p| p == picture_colour(12)), "{width}x{height}");
        }
        let names = [8, 30, VOID].map(|id| name_of(id, &Classes::voc()));
        assert_eq!(names, ["cat", "id 30", "void"]);
    }

    #[test]
    fn swatches_stand_in_the_order_of_ids_and_void_is_hatched() {
        let size = Size::new(1000, 3);
        let mut map = LabelMap::filled(size, 8);
        map.ids[..4].copy_from_slice(&[VOID, 1, 0, 1]);
        let out = with_legend(&RgbImage::filled(size, [7; 3]), &[&map], &Classes::voc());
        let middle: Vec<_> = (0..out.width).map(|x| out.pixel(x, 3 + 24)).collect();
        let place = |id: u8| middle.iter().position(|p| *p == picture_colour(id));
        let (aeroplane, cat) = (place(1).unwrap(), place(8).unwrap());
        assert!(aeroplane < cat && place(0).is_none());
        let light_lines = middle[cat..].iter().filter(|p| p[0] == 239 && p[2] == 239).count();
        assert!(light_lines > 3, "void is hatched: {light_lines}");
    }
}
