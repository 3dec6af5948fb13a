//! Label maps painted on photographs, pixel by pixel.

use super::canvas::blend;
use super::colours::{Mark, hatched, mark_of};
use crate::error::{Error, Result};
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap};
use crate::size::Size;

/// Share of the class colour inside a region; the rest is the photograph.
pub const OVERLAY_SHARE: f32 = 0.5;

/// The photograph with the regions of the map painted on it: [`OVERLAY_SHARE`] of the class colour inside, and along the
/// edge a dark line with a light one within it, so that it is seen on any ground.
///
/// Fails when the two differ in size.
pub(crate) fn painted(photo: &RgbImage, map: &LabelMap, classes: &Classes) -> Result<RgbImage> {
    same_size(photo, map)?;
    let marks: Vec<Mark> = (0..=255).map(|id| mark_of(id, classes)).collect();
    let stroke = stroke(photo.size());
    let depths = depths(map);
    let mut out = photo.clone();
    for (i, pixel) in out.rgb_hwc.chunks_exact_mut(3).enumerate() {
        let under = [pixel[0], pixel[1], pixel[2]];
        let colour = match marks[usize::from(map.ids[i])] {
            Mark::Bare => continue,
            Mark::Hatched => hatched(under, i % map.width, i / map.width, stroke),
            Mark::Painted(colour) => match usize::from(depths[i]).div_ceil(STRAIGHT.into()) {
                depth if depth <= stroke => blend([0; 3], colour, 0.25),
                depth if depth <= 2 * stroke => blend([255; 3], colour, 0.65),
                _ => blend(under, colour, OVERLAY_SHARE),
            },
        };
        pixel.copy_from_slice(&colour);
    }
    Ok(out)
}

/// Refuses a map of another size than the photograph.
pub(super) fn same_size(photo: &RgbImage, map: &LabelMap) -> Result<()> {
    if photo.size() == map.size() {
        return Ok(());
    }
    Err(Error::data(format!("the label map is {} and the photograph {}", map.size(), photo.size())))
}

/// Width in pixels of the lines in a picture of this size.
pub(super) fn stroke(size: Size) -> usize {
    (size.width.max(size.height) / 360).max(1)
}

/// A step along a row or column in the unit of [`depths`], and a diagonal one (Borgefors 1986).
const STRAIGHT: u16 = 3;
const DIAGONAL: u16 = 4;

/// How deep each pixel lies in its region: [`STRAIGHT`] where a neighbour has another id, and more with each step inwards.
fn depths(map: &LabelMap) -> Vec<u16> {
    let (width, height) = (map.width as isize, map.height as isize);
    let at = |x: isize, y: isize| {
        let inside = (0..width).contains(&x) && (0..height).contains(&y);
        inside.then_some((y * width + x) as usize)
    };
    let mut depths = vec![u16::MAX; map.ids.len()];
    for y in 0..height {
        for x in 0..width {
            let i = (y * width + x) as usize;
            let mut around = [(1, 0), (-1, 0), (0, 1), (0, -1)].into_iter().filter_map(|(u, v)| at(x + u, y + v));
            if around.any(|j| map.ids[j] != map.ids[i]) {
                depths[i] = STRAIGHT;
            }
        }
    }
    let before = [(-1, 0, STRAIGHT), (0, -1, STRAIGHT), (-1, -1, DIAGONAL), (1, -1, DIAGONAL)];
    for sign in [1, -1] {
        for step in 0..width * height {
            let i = if sign > 0 { step } else { width * height - 1 - step };
            let (x, y) = (i % width, i / width);
            for (u, v, further) in before {
                if let Some(j) = at(x + sign * u, y + sign * v) {
                    depths[i as usize] = depths[i as usize].min(depths[j].saturating_add(further));
                }
            }
        }
    }
    depths
}

#[cfg(test)]
mod tests {
    use super::super::canvas::Rgb;
    use super::super::colours::picture_colour;
    use super::*;
    use crate::labels::VOID;

    #[test]
    fn background_is_left_void_hatched_and_regions_are_outlined() {
        let size = Size::new(700, 40);
        let mut map = LabelMap::filled(size, 0);
        for y in 0..40 {
            (300..500).for_each(|x| map.ids[y * 700 + x] = 15);
            (600..700).for_each(|x| map.ids[y * 700 + x] = VOID);
        }
        let grey = [100; 3];
        let inside = blend(grey, picture_colour(15), OVERLAY_SHARE);
        let out = painted(&RgbImage::filled(size, grey), &map, &Classes::voc()).unwrap();
        let row = |x: std::ops::Range<usize>| x.map(|x| out.pixel(x, 20)).collect::<Vec<Rgb>>();
        assert!(row(0..300).iter().chain(&row(500..600)).all(|p| *p == grey), "background");
        assert!(row(302..498).iter().all(|p| *p == inside), "inside");
        let luma = |p: Rgb| p.map(u32::from).iter().sum::<u32>();
        for (dark, light) in [(300, 301), (499, 498)] {
            let [dark, light] = [dark, light].map(|x| luma(out.pixel(x, 20)));
            assert!(dark < luma(inside) && light > luma(inside), "outline: {dark}, {light}");
        }
        let lines = |wanted: fn(u8) -> bool| row(600..700).iter().filter(|p| wanted(p[0])).count();
        assert!(lines(|v| v > 200) > 20 && lines(|v| v < 50) > 10 && lines(|v| v == 100) > 50, "hatching");
        assert_eq!(out.pixel(604, 21), out.pixel(603, 22), "the lines are diagonal");
        assert!(painted(&RgbImage::filled(Size::new(5, 7), grey), &map, &Classes::voc()).is_err());
    }

    #[test]
    fn depths_grow_inwards_in_every_direction() {
        let mut map = LabelMap::filled(Size::new(9, 9), 1);
        map.ids[0] = 2;
        let found = depths(&map);
        assert_eq!(found[..4], [3, 3, 6, 9]);
        assert_eq!([found[9], found[10], found[20], found[80]], [3, 6, 10, 34]);
    }
}
