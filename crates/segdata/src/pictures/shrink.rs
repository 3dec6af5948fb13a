//! Pictures made smaller, for sheets and for what a JPEG can hold.

use crate::image::RgbImage;

/// The picture shrunk to fit a square of `side` pixels, each pixel the mean of those it covers; never enlarged.
pub fn fitted(picture: &RgbImage, side: usize) -> RgbImage {
    let longest = picture.width.max(picture.height);
    if longest <= side {
        return picture.clone();
    }
    let (width, height) = ((picture.width * side / longest).max(1), (picture.height * side / longest).max(1));
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

/// The picture as it is, or shrunk to what a JPEG can hold: 65,535 pixels a side.
pub fn for_jpeg(picture: RgbImage) -> RgbImage {
    const MAX_SIDE: usize = 65_000;
    if picture.width.max(picture.height) > MAX_SIDE { fitted(&picture, MAX_SIDE) } else { picture }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_averages() {
        let picture = RgbImage { width: 4, height: 2, rgb_hwc: (0..24).map(|i| (i / 3 * 10) as u8).collect() };
        let out = fitted(&picture, 2);
        assert_eq!((out.width, out.height), (2, 1));
        assert_eq!(out.rgb_hwc, [25, 25, 25, 45, 45, 45]);
        assert_eq!(fitted(&picture, 9), picture);
    }
}
