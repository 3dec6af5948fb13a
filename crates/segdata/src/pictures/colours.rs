//! The colours of classes in pictures for people, chosen so that eyes tell them apart. VOC's colour map does not aim at
//! that: its aeroplane and its cat are two dark reds. Mask files keep the colours of their class list.

use std::sync::LazyLock;

use super::canvas::{Rgb, blend};
use crate::labels::{Classes, VOID};

/// How the pixels of an id are shown on a photograph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    /// Not at all: the background of most lists, a class whose colour there is black.
    Bare,
    /// By diagonal lines: pixels without a label.
    Hatched,
    /// In a colour.
    Painted(Rgb),
}

/// How an id is shown; ids that are no class have colours too.
pub(crate) fn mark_of(id: u8, classes: &Classes) -> Mark {
    match classes.palette.get(usize::from(id)) {
        _ if id == VOID => Mark::Hatched,
        Some([0, 0, 0]) => Mark::Bare,
        _ => Mark::Painted(picture_colour(id)),
    }
}

/// The colour of a class's bar in a chart: that of its regions, grey where these are left unpainted.
pub(crate) fn bar_colour(id: usize, classes: &Classes) -> Rgb {
    match mark_of(u8::try_from(id).unwrap_or(VOID), classes) {
        Mark::Painted(colour) => colour,
        Mark::Bare | Mark::Hatched => [150; 3],
    }
}

/// A pixel of the diagonal lines, light and dark, that show void on any ground.
pub(super) fn hatched(under: Rgb, x: usize, y: usize, stroke: usize) -> Rgb {
    match (x + y) / stroke.max(1) % 8 {
        0 | 1 => blend(under, [255; 3], 0.85),
        2 => blend(under, [0; 3], 0.7),
        _ => under,
    }
}

/// The colour of class `id` in pictures for people. It depends on the id alone: each is the colour that is farthest from
/// those of all lower ids, from black, white and grey, so that the first few classes differ most.
pub fn picture_colour(id: u8) -> Rgb {
    static COLOURS: LazyLock<Vec<Rgb>> = LazyLock::new(farthest_colours);
    COLOURS.get(usize::from(id)).copied().unwrap_or([128; 3])
}

/// A colour for each of the 255 possible ids: greedy, among 16 levels a channel, neither pale nor dark nor glaring.
fn farthest_colours() -> Vec<Rgb> {
    const LIGHTNESS: std::ops::RangeInclusive<f32> = 0.46..=0.88;
    const CHROMA: std::ops::RangeInclusive<f32> = 0.13..=0.25;
    let levels = || (0..=255).step_by(17).map(|v| v as u8);
    let mut left: Vec<(Rgb, [f32; 3], f32)> = levels()
        .flat_map(|r| levels().flat_map(move |g| levels().map(move |b| [r, g, b])))
        .map(|rgb| (rgb, oklab(rgb), f32::INFINITY))
        .filter(|(_, [l, a, b], _)| LIGHTNESS.contains(l) && CHROMA.contains(&a.hypot(*b)))
        .collect();
    let mut colours = Vec::new();
    let mut taken = vec![oklab([0; 3]), oklab([255; 3]), oklab([128; 3])];
    for _ in 0..VOID {
        for from in taken.drain(..) {
            left.iter_mut().for_each(|(_, lab, nearest)| *nearest = nearest.min(distance(*lab, from)));
        }
        let Some(&(rgb, lab, _)) = left.iter().reduce(|best, one| if one.2 > best.2 { one } else { best }) else {
            break;
        };
        colours.push(rgb);
        taken.push(lab);
    }
    colours
}

/// sRGB as lightness and two opponent colours, in which distances are those that eyes see (OKLab, Ottosson 2020).
fn oklab(rgb: Rgb) -> [f32; 3] {
    let [r, g, b] = rgb.map(|v| {
        let v = f32::from(v) / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
    let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
    let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
    [
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
        1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
        0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
    ]
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::voc_colour;

    /// The least distance between two of the colours of the first `n` ids.
    fn closest(n: u8, colour: impl Fn(u8) -> Rgb) -> f32 {
        let pairs = (0..n).flat_map(|a| (0..a).map(move |b| (a, b)));
        pairs.map(|(a, b)| distance(oklab(colour(a)), oklab(colour(b)))).fold(f32::INFINITY, f32::min)
    }

    #[test]
    fn eyes_tell_the_classes_apart() {
        let (aeroplane, cat) = (1, 8);
        let apart = |colour: fn(u8) -> Rgb| distance(oklab(colour(aeroplane)), oklab(colour(cat)));
        assert!(apart(picture_colour) > 0.25 && apart(voc_colour) < 0.16, "{}", apart(picture_colour));
        for (n, least) in [(6, 0.2), (21, 0.11), (100, 0.04), (255, 0.02)] {
            let found = closest(n, picture_colour);
            assert!(found >= least, "{n} colours: two are {found} apart");
        }
        assert!(closest(21, picture_colour) > 1.3 * closest(21, voc_colour), "{}", closest(21, voc_colour));
    }

    #[test]
    fn lightness_and_distance_are_those_of_oklab() {
        for (rgb, lab) in [
            ([255, 255, 255], [1.0, 0.0, 0.0]),
            ([0, 0, 0], [0.0, 0.0, 0.0]),
            ([255, 0, 0], [0.627_955, 0.224_863, 0.125_846]),
            ([0, 0, 255], [0.452_014, -0.032_457, -0.311_528]),
        ] {
            assert!(distance(oklab(rgb), lab) < 1e-4, "{rgb:?}: {:?}", oklab(rgb));
        }
    }

    #[test]
    fn background_is_bare_void_hatched_and_the_rest_painted() {
        let voc = Classes::voc();
        assert_eq!(mark_of(0, &voc), Mark::Bare);
        assert_eq!(mark_of(VOID, &voc), Mark::Hatched);
        assert_eq!(mark_of(8, &voc), Mark::Painted(picture_colour(8)));
        assert_eq!(mark_of(77, &voc), Mark::Painted(picture_colour(77)));
        let streets = Classes { names: vec!["road".into()], palette: vec![[128, 64, 128]] };
        assert_eq!(mark_of(0, &streets), Mark::Painted(picture_colour(0)));
    }
}
