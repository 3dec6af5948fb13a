//! The classes laid over the photograph.

use super::canvas::{Canvas, blend};
use super::colours::colour_of;
use super::font::Font;
use super::legend::with_legend;
use crate::error::{Error, Result};
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap, VOID};
use crate::size::Size;

/// Share of the class colour in an overlay; the rest is the photograph.
pub const OVERLAY_SHARE: f32 = 0.55;

/// The photograph with the classes laid over it: [`OVERLAY_SHARE`] of the class colour inside, the full colour along
/// contours. A black class (the background of most lists) and void leave the photograph as it is.
///
/// Fails when the two differ in size.
pub fn overlay(photo: &RgbImage, map: &LabelMap, classes: &Classes) -> Result<RgbImage> {
    if photo.size() != map.size() {
        return Err(Error::data(format!("the label map is {} and the photograph {}", map.size(), photo.size())));
    }
    let mut out = photo.clone();
    for (i, pixel) in out.rgb_hwc.chunks_exact_mut(3).enumerate() {
        let id = map.ids[i];
        let colour = colour_of(id, classes);
        if id == VOID || colour == [0; 3] {
            continue;
        }
        let differs = |other: Option<usize>| other.is_some_and(|j| map.ids[j] != id);
        let x = i % map.width;
        let contour = differs((x > 0).then(|| i - 1))
            || differs((x + 1 < map.width).then_some(i + 1))
            || differs(i.checked_sub(map.width))
            || differs((i + map.width < map.ids.len()).then_some(i + map.width));
        let share = if contour { 1.0 } else { OVERLAY_SHARE };
        pixel.copy_from_slice(&blend([pixel[0], pixel[1], pixel[2]], colour, share));
    }
    Ok(out)
}

/// Two overlays of one photograph beside each other, with their captions above and one legend below: the network's own
/// label map on the left, what the CRF makes of it on the right.
///
/// Fails when a map differs in size from the photograph.
pub fn overlay_pair(photo: &RgbImage, raw: &LabelMap, refined: &LabelMap, classes: &Classes) -> Result<RgbImage> {
    let font = Font::for_width(2 * photo.width);
    let (gap, caption) = (font.height() / 2, font.height() * 5 / 4);
    let mut canvas = Canvas::new(Size::new(2 * photo.width + gap, photo.height + caption), [255; 3]);
    for (i, (map, text)) in [(raw, "prediction"), (refined, "after the CRF")].into_iter().enumerate() {
        let x = i * (photo.width + gap);
        canvas.text(x as i64 + 2, font.height() as i64 / 8, font, [20; 3], text);
        canvas.place(&overlay(photo, map, classes)?, x, caption);
    }
    Ok(with_legend(&canvas.into_image(), &[raw, refined], classes))
}

#[cfg(test)]
mod tests {
    use super::super::canvas::Rgb;
    use super::*;
    use crate::labels::voc_colour;

    #[test]
    fn an_overlay_keeps_background_and_void_and_draws_contours_in_full_colour() {
        let mut map = LabelMap::filled(Size::new(7, 5), 0);
        (0..5).for_each(|y| (2..7).for_each(|x| map.ids[y * 7 + x] = 15));
        map.ids[0] = VOID;
        let out = overlay(&RgbImage::filled(Size::new(7, 5), [100; 3]), &map, &Classes::voc()).unwrap();
        assert_eq!(out.pixel(0, 0), [100; 3], "void");
        assert_eq!(out.pixel(1, 2), [100; 3], "background");
        assert_eq!(out.pixel(2, 2), voc_colour(15), "contour");
        assert_eq!(out.pixel(5, 2), blend([100; 3], voc_colour(15), OVERLAY_SHARE), "inside");
        assert!(overlay(&RgbImage::filled(Size::new(5, 7), [0; 3]), &map, &Classes::voc()).is_err());
    }

    #[test]
    fn the_overlays_of_both_results_are_side_by_side() {
        for (width, height) in [(1, 1), (30, 20), (900, 20)] {
            let (raw, refined) =
                (LabelMap::filled(Size { width, height }, 1), LabelMap::filled(Size { width, height }, 2));
            let out =
                overlay_pair(&RgbImage::filled(Size { width, height }, [100; 3]), &raw, &refined, &Classes::voc())
                    .unwrap();
            let blended = |id| blend([100; 3], voc_colour(id), OVERLAY_SHARE);
            let side = |x: std::ops::Range<usize>, colour: Rgb| {
                (0..out.height)
                    .flat_map(|y| x.clone().map(move |x| (x, y)))
                    .filter(|&(x, y)| out.pixel(x, y) == colour)
                    .count()
            };
            assert_eq!(side(0..width, blended(1)), width * height, "{width}x{height}");
            assert_eq!(
                side(width + 1..(2 * width + 24).min(out.width), blended(2)),
                width * height,
                "{width}x{height}"
            );
        }
        assert!(
            overlay_pair(
                &RgbImage::filled(Size::new(3, 3), [0; 3]),
                &LabelMap::filled(Size::new(3, 3), 1),
                &LabelMap::filled(Size::new(3, 2), 1),
                &Classes::voc()
            )
            .is_err()
        );
    }
}
