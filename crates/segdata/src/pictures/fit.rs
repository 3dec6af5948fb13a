//! Pictures made smaller or larger, for sheets, for legible text and for what a JPEG can hold.

use crate::image::RgbImage;
use crate::labels::LabelMap;
use crate::size::Size;

/// The size shrunk so that its longer side is `side`, or as it is where it is smaller; at least 1x1.
fn fitted_size(size: Size, side: usize) -> Size {
    let longest = size.width.max(size.height);
    if longest <= side {
        return size;
    }
    Size::new((size.width * side / longest).max(1), (size.height * side / longest).max(1))
}

/// The picture shrunk to fit a square of `side` pixels, each pixel the mean of those it covers; never enlarged.
pub(crate) fn fitted(picture: &RgbImage, side: usize) -> RgbImage {
    let Size { width, height } = fitted_size(picture.size(), side);
    if picture.size() == Size::new(width, height) {
        return picture.clone();
    }
    let mut rgb_hwc = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let rows = y * picture.height / height..((y + 1) * picture.height).div_ceil(height);
        for x in 0..width {
            let columns = x * picture.width / width..((x + 1) * picture.width).div_ceil(width);
            let mut sum = [0u64; 3];
            for v in rows.clone() {
                for u in columns.clone() {
                    let i = (v * picture.width + u) * 3;
                    (0..3).for_each(|c| sum[c] += u64::from(picture.rgb_hwc[i + c]));
                }
            }
            let n = (rows.len() * columns.len()) as u64;
            rgb_hwc.extend(sum.map(|s| ((s + n / 2) / n) as u8));
        }
    }
    RgbImage { width, height, rgb_hwc }
}

/// The map at the size that [`fitted`] gives a picture: each pixel the one in the middle of those it covers.
pub(crate) fn fitted_map(map: &LabelMap, side: usize) -> LabelMap {
    let Size { width, height } = fitted_size(map.size(), side);
    let middle = |i: usize, of: usize, n: usize| (2 * i + 1) * of / (2 * n);
    let ids = (0..height)
        .flat_map(|y| (0..width).map(move |x| (middle(x, map.width, width), middle(y, map.height, height))))
        .map(|(x, y)| map.ids[y * map.width + x])
        .collect();
    LabelMap { width, height, ids }
}

/// The picture as many times as large, smooth between the middles of its pixels.
pub(crate) fn enlarged(picture: &RgbImage, times: usize) -> RgbImage {
    if times <= 1 || picture.rgb_hwc.is_empty() {
        return picture.clone();
    }
    let (width, height) = (picture.width * times, picture.height * times);
    // The two neighbours of a place, and the share of the second.
    let between = |at: usize, side: usize| {
        let place = ((at as f32 + 0.5) / times as f32 - 0.5).clamp(0.0, (side - 1) as f32);
        (place as usize, (place as usize + 1).min(side - 1), place.fract())
    };
    let columns: Vec<_> = (0..width).map(|x| between(x, picture.width)).collect();
    let mut rgb_hwc = Vec::with_capacity(3 * width * height);
    for (top, bottom, down) in (0..height).map(|y| between(y, picture.height)) {
        for &(left, right, along) in &columns {
            let value = |x: usize, y: usize, c: usize| f32::from(picture.rgb_hwc[(y * picture.width + x) * 3 + c]);
            let row = |y: usize, c: usize| value(left, y, c) * (1.0 - along) + value(right, y, c) * along;
            rgb_hwc.extend((0..3).map(|c| (row(top, c) * (1.0 - down) + row(bottom, c) * down).round() as u8));
        }
    }
    RgbImage { width, height, rgb_hwc }
}

/// The map as many times as large.
pub(crate) fn enlarged_map(map: &LabelMap, times: usize) -> LabelMap {
    let times = times.max(1);
    let mut ids = Vec::with_capacity(map.ids.len() * times * times);
    for row in map.ids.chunks_exact(map.width.max(1)) {
        let wide: Vec<u8> = row.iter().flat_map(|&id| std::iter::repeat_n(id, times)).collect();
        (0..times).for_each(|_| ids.extend_from_slice(&wide));
    }
    LabelMap { width: map.width * times, height: map.height * times, ids }
}

/// The picture as it is, or shrunk to what a JPEG can hold: 65,535 pixels a side.
pub fn for_jpeg(picture: RgbImage) -> RgbImage {
    const MAX_SIDE: usize = 65_000;
    if picture.width.max(picture.height) > MAX_SIDE { fitted(&picture, MAX_SIDE) } else { picture }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_averages_colours_and_picks_ids() {
        let picture = RgbImage { width: 4, height: 2, rgb_hwc: (0..24).map(|i| (i / 3 * 10) as u8).collect() };
        let out = fitted(&picture, 2);
        assert_eq!((out.width, out.height), (2, 1));
        assert_eq!(out.rgb_hwc, [25, 25, 25, 45, 45, 45]);
        assert_eq!(fitted(&picture, 9), picture);
        let map = LabelMap { width: 4, height: 2, ids: (0..8).collect() };
        assert_eq!(fitted_map(&map, 2), LabelMap { width: 2, height: 1, ids: vec![5, 7] });
        assert_eq!(fitted_map(&map, 9), map);
    }

    #[test]
    fn enlarging_is_smooth_for_colours_and_repeats_ids() {
        let picture = RgbImage { width: 2, height: 1, rgb_hwc: vec![0, 0, 0, 100, 100, 100] };
        let out = enlarged(&picture, 2);
        assert_eq!(out.size(), Size::new(4, 2));
        assert_eq!(out.rgb_hwc.iter().step_by(3).copied().collect::<Vec<u8>>(), [0, 25, 75, 100, 0, 25, 75, 100]);
        let map = LabelMap { width: 2, height: 1, ids: vec![3, 9] };
        assert_eq!(enlarged_map(&map, 2), LabelMap { width: 4, height: 2, ids: vec![3, 3, 9, 9, 3, 3, 9, 9] });
        assert_eq!(enlarged_map(&map, 1), map);
    }
}
