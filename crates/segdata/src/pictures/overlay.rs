//! The classes laid over the photograph, large enough to be read.

use super::canvas::Canvas;
use super::fit::{enlarged, enlarged_map};
use super::font::Font;
use super::legend::with_legend;
use super::paint::painted;
use crate::error::Result;
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap};
use crate::size::Size;

/// A photograph whose longer side has fewer pixels is shown enlarged.
const LEGIBLE_SIDE: usize = 640;

/// The photograph with the classes laid over it, each in its [`picture_colour`](super::picture_colour), half transparent
/// and outlined. A class that is black in the class list (the background of most) leaves the photograph as it is, and
/// void is hatched. Photographs below 640 pixels are enlarged by a whole factor.
///
/// Fails when the two differ in size.
pub fn overlay(photo: &RgbImage, map: &LabelMap, classes: &Classes) -> Result<RgbImage> {
    let times = magnification(photo.size());
    painted(&enlarged(photo, times), &enlarged_map(map, times), classes)
}

/// The whole factor by which a photograph of this size is enlarged: 1 to 16.
pub(crate) fn magnification(size: Size) -> usize {
    LEGIBLE_SIDE.div_ceil(size.width.max(size.height).max(1)).clamp(1, 16)
}

/// Two overlays of one photograph beside each other, with their captions above and one legend below: the network's own
/// label map on the left, what the CRF makes of it on the right.
///
/// Fails when a map differs in size from the photograph.
pub fn overlay_pair(photo: &RgbImage, raw: &LabelMap, refined: &LabelMap, classes: &Classes) -> Result<RgbImage> {
    let pictures = [
        ("prediction".to_string(), overlay(photo, raw, classes)?),
        ("after the CRF".to_string(), overlay(photo, refined, classes)?),
    ];
    Ok(with_legend(&side_by_side(&pictures), &[raw, refined], classes))
}

/// Pictures beside each other, each under its caption.
pub(super) fn side_by_side(pictures: &[(String, RgbImage)]) -> RgbImage {
    let font = Font::for_width(pictures.iter().map(|(_, picture)| picture.width).sum());
    let (gap, caption) = (font.height() / 2, font.height() * 3 / 2);
    let cell = |(text, picture): &(String, RgbImage)| picture.width.max(font.width(text));
    let width = pictures.iter().map(|one| cell(one) + gap).sum::<usize>().saturating_sub(gap);
    let height = pictures.iter().map(|(_, picture)| picture.height).max().unwrap_or(0);
    let mut canvas = Canvas::new(Size::new(width, height + caption), [255; 3]);
    let mut x = 0;
    for one in pictures {
        canvas.text(x as i64, font.height() as i64 / 4, font, [20; 3], &one.0);
        canvas.place(&one.1, x, caption);
        x += cell(one) + gap;
    }
    canvas.into_image()
}

#[cfg(test)]
mod tests {
    use super::super::canvas::{Rgb, blend};
    use super::super::colours::picture_colour;
    use super::super::paint::OVERLAY_SHARE;
    use super::*;

    const GREY: Rgb = [100; 3];

    fn inside(id: u8) -> Rgb {
        blend(GREY, picture_colour(id), OVERLAY_SHARE)
    }

    #[test]
    fn small_photographs_are_enlarged_by_whole_factors() {
        for ((width, height), times) in
            [((1, 1), 16), ((128, 96), 5), ((500, 375), 2), ((375, 500), 2), ((640, 10), 1), ((4000, 30), 1)]
        {
            let size = Size { width, height };
            let out = overlay(&RgbImage::filled(size, GREY), &LabelMap::filled(size, 3), &Classes::voc()).unwrap();
            assert_eq!(out.size(), Size::new(width * times, height * times));
            assert!(out.rgb_hwc.chunks(3).all(|p| p == inside(3)), "{size}: the edge of the picture is no outline");
        }
    }

    #[test]
    fn the_overlays_of_both_results_are_side_by_side() {
        for (width, height) in [(1, 1), (30, 20), (900, 20)] {
            let size = Size { width, height };
            let times = magnification(size);
            let maps = [1, 2].map(|id| LabelMap::filled(size, id));
            let out = overlay_pair(&RgbImage::filled(size, GREY), &maps[0], &maps[1], &Classes::voc()).unwrap();
            let places = |id: u8| -> Vec<usize> {
                let all = (0..out.width * out.height).map(|i| (i % out.width, i / out.width));
                all.filter(|&(x, y)| out.pixel(x, y) == inside(id)).map(|(x, _)| x).collect()
            };
            let (left, right) = (places(1), places(2));
            assert_eq!([left.len(), right.len()], [size.pixels() * times * times; 2], "{size}");
            assert!(left.iter().max() < right.iter().min(), "{size}");
        }
        let (photo, map) = (RgbImage::filled(Size::new(3, 3), GREY), LabelMap::filled(Size::new(3, 3), 1));
        let other = LabelMap::filled(Size::new(3, 2), 1);
        assert!(overlay_pair(&photo, &map, &other, &Classes::voc()).is_err());
    }
}
