//! Where a prediction is wrong, and what it says there.

use super::canvas::{Rgb, blend};
use super::colours::{Mark, hatched, mark_of};
use super::fit::{enlarged, enlarged_map};
use super::font::Font;
use super::legend::{legend_below, name_of};
use super::overlay::{magnification, side_by_side};
use super::paint::{same_size, stroke};
use crate::error::Result;
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap, VOID};

/// Colour of wrong pixels whose predicted class is left unpainted elsewhere: things that were missed.
const MISSED: Rgb = [255; 3];

/// Colour of what is right in the legend.
const RIGHT: Rgb = [64; 3];

/// A prediction whose errors are shown.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// What made it.
    pub name: &'a str,
    /// The prediction.
    pub map: &'a LabelMap,
    /// mIoU of the image.
    pub miou: Option<f64>,
}

/// The errors of one or more predictions beside each other, each with its mIoU and the share of the labelled pixels that
/// are wrong above it: right pixels are a dim photograph, wrong ones have the colour of the class that was predicted, white
/// where that is a class without a colour (a thing that was missed), and void is hatched. One legend below. Photographs
/// below 640 pixels are enlarged by a whole factor.
///
/// Fails when a map differs in size from the photograph.
pub fn error_picture(photo: &RgbImage, truth: &LabelMap, judged: &[Judged<'_>], classes: &Classes) -> Result<RgbImage> {
    let times = magnification(photo.size());
    let (large, large_truth) = (enlarged(photo, times), enlarged_map(truth, times));
    let mut pictures = Vec::new();
    let mut predicted = [false; 256];
    for one in judged {
        let map = error_map(&large, &large_truth, &enlarged_map(one.map, times), classes)?;
        pictures.push((caption(truth, one), map));
        wrong(truth, one.map).for_each(|id| predicted[usize::from(id)] = true);
    }
    let mut entries = vec![(Mark::Painted(RIGHT), "right".to_string())];
    entries.extend((0..VOID).filter(|&id| predicted[usize::from(id)]).map(|id| match mark_of(id, classes) {
        Mark::Bare => (Mark::Painted(MISSED), format!("wrong: {}", name_of(id, classes))),
        mark => (mark, format!("wrong: {}", name_of(id, classes))),
    }));
    if truth.ids.contains(&VOID) {
        entries.push((Mark::Hatched, name_of(VOID, classes)));
    }
    let picture = side_by_side(&pictures);
    Ok(legend_below(&picture, &entries, Font::for_width(picture.width)))
}

/// The errors at the size of the photograph, without text.
///
/// Fails when a map differs in size from the photograph.
pub(crate) fn error_map(
    photo: &RgbImage,
    truth: &LabelMap,
    prediction: &LabelMap,
    classes: &Classes,
) -> Result<RgbImage> {
    same_size(photo, truth)?;
    same_size(photo, prediction)?;
    let stroke = stroke(photo.size());
    let mut out = photo.clone();
    for (i, pixel) in out.rgb_hwc.chunks_exact_mut(3).enumerate() {
        let under = [pixel[0], pixel[1], pixel[2]];
        let colour = match (truth.ids[i], prediction.ids[i]) {
            (VOID, _) => dim(hatched(under, i % photo.width, i / photo.width, stroke)),
            (wanted, found) if wanted == found => dim(under),
            (_, found) => match mark_of(found, classes) {
                Mark::Painted(colour) => colour,
                Mark::Bare | Mark::Hatched => MISSED,
            },
        };
        pixel.copy_from_slice(&colour);
    }
    Ok(out)
}

/// A pixel in dark grey (ITU-R BT.601 luma), a little of its colour left.
fn dim(rgb: Rgb) -> Rgb {
    let [r, g, b] = rgb.map(u32::from);
    let grey = [((299 * r + 587 * g + 114 * b) / 1000) as u8; 3];
    blend([0; 3], blend(rgb, grey, 0.8), 0.45)
}

/// What is predicted at each labelled pixel that is wrong.
fn wrong(truth: &LabelMap, prediction: &LabelMap) -> impl Iterator<Item = u8> {
    let both = truth.ids.iter().zip(&prediction.ids);
    both.filter(|(wanted, found)| **wanted != VOID && wanted != found).map(|(_, found)| *found)
}

fn caption(truth: &LabelMap, one: &Judged<'_>) -> String {
    let labelled = truth.ids.iter().filter(|id| **id != VOID).count();
    let share = 100.0 * wrong(truth, one.map).count() as f64 / labelled.max(1) as f64;
    let miou = one.miou.map_or("n/a".to_string(), |miou| format!("{miou:.3}"));
    format!("{}: mIoU {miou}, {share:.1} % wrong", one.name)
}

#[cfg(test)]
mod tests {
    use super::super::colours::picture_colour;
    use super::*;
    use crate::size::Size;

    const SIZE: Size = Size::new(700, 30);

    /// Four fields: right, taken for a cat, missed, void.
    fn scene() -> (RgbImage, LabelMap, LabelMap) {
        let (mut truth, mut prediction) = (LabelMap::filled(SIZE, 15), LabelMap::filled(SIZE, 15));
        for i in 0..SIZE.pixels() {
            match i % SIZE.width / 175 {
                0 => {}
                1 => prediction.ids[i] = 8,
                2 => prediction.ids[i] = 0,
                _ => truth.ids[i] = VOID,
            }
        }
        (RgbImage::filled(SIZE, [200, 180, 160]), truth, prediction)
    }

    #[test]
    fn right_is_dim_wrong_has_the_predicted_colour_and_void_is_hatched() {
        let (photo, truth, prediction) = scene();
        let out = error_map(&photo, &truth, &prediction, &Classes::voc()).unwrap();
        let colours = |field: usize| -> std::collections::BTreeSet<Rgb> {
            (0..SIZE.pixels()).filter(|i| i % 700 / 175 == field).map(|i| out.pixel(i % 700, i / 700)).collect()
        };
        let ground = dim([200, 180, 160]);
        assert!(ground.iter().all(|v| *v < 100), "{ground:?}");
        assert_eq!(colours(0), [ground].into());
        assert_eq!(colours(1), [picture_colour(8)].into());
        assert_eq!(colours(2), [MISSED].into());
        assert!(colours(3).len() == 3 && colours(3).contains(&ground), "{:?}", colours(3));
        let nothing = LabelMap::filled(SIZE, VOID);
        assert_eq!(error_map(&photo, &truth, &nothing, &Classes::voc()).unwrap().pixel(0, 0), MISSED);
        for map in [&truth, &prediction] {
            let other = RgbImage::filled(Size::new(3, 3), [0; 3]);
            assert!(error_map(&other, map, &LabelMap::filled(Size::new(3, 3), 1), &Classes::voc()).is_err());
        }
    }

    #[test]
    fn the_picture_says_how_much_is_wrong_and_which_classes_were_predicted() {
        let (photo, truth, prediction) = scene();
        let raw = Judged { name: "prediction", map: &prediction, miou: Some(0.25) };
        assert_eq!(caption(&truth, &raw), "prediction: mIoU 0.250, 66.7 % wrong");
        let all_void = LabelMap::filled(SIZE, VOID);
        assert_eq!(caption(&all_void, &Judged { miou: None, ..raw }), "prediction: mIoU n/a, 0.0 % wrong");
        let right = Judged { name: "after the CRF", map: &truth, miou: Some(1.0) };
        let count = |picture: &RgbImage, colour: Rgb| picture.rgb_hwc.chunks(3).filter(|p| *p == colour).count();
        let [one, two, none] = [&[raw][..], &[raw, right], &[right]]
            .map(|judged| error_picture(&photo, &truth, judged, &Classes::voc()).unwrap());
        assert!(two.width > 2 * one.width - 20 && one.height > SIZE.height);
        let wrong = SIZE.pixels() / 4;
        assert!(count(&one, picture_colour(8)) > wrong && count(&two, picture_colour(8)) > wrong, "map and swatch");
        assert_eq!(count(&none, picture_colour(8)), 0);
    }
}
