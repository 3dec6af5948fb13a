//! A small raster to draw on: rectangles, lines, text, other pictures. Everything is clipped to the picture.

use super::font::Font;
use crate::image::RgbImage;
use crate::size::Size;

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// A picture being drawn. Coordinates are in pixels from the top left corner and may lie outside.
#[derive(Clone, Debug)]
pub struct Canvas {
    image: RgbImage,
}

impl Canvas {
    /// A picture of one colour; at least 1x1.
    pub fn new(size: Size, colour: Rgb) -> Self {
        Canvas { image: RgbImage::filled(Size::new(size.width.max(1), size.height.max(1)), colour) }
    }

    /// The finished picture.
    pub fn into_image(self) -> RgbImage {
        self.image
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.image.width
    }

    /// Colours one pixel.
    pub fn dot(&mut self, x: i64, y: i64, colour: Rgb) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x < self.image.width && y < self.image.height {
            let i = (y * self.image.width + x) * 3;
            self.image.rgb_hwc[i..i + 3].copy_from_slice(&colour);
        }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, x: i64, y: i64, width: usize, height: usize, colour: Rgb) {
        let clip = |from: i64, n: usize, end: usize| {
            let to = from.saturating_add(n as i64).clamp(0, end as i64);
            from.clamp(0, end as i64)..to
        };
        for v in clip(y, height, self.image.height) {
            for u in clip(x, width, self.image.width) {
                self.dot(u, v, colour);
            }
        }
    }

    /// Draws the edge of a rectangle, one pixel wide.
    pub fn frame(&mut self, x: i64, y: i64, width: usize, height: usize, colour: Rgb) {
        self.fill(x, y, width, 1, colour);
        self.fill(x, y + height as i64 - 1, width, 1, colour);
        self.fill(x, y, 1, height, colour);
        self.fill(x + width as i64 - 1, y, 1, height, colour);
    }

    /// Draws a line two pixels wide with smooth edges.
    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: Rgb) {
        const REACH: i64 = 2;
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).ceil().clamp(1.0, 1e5) as i64;
        let squared = (dx * dx + dy * dy).max(1e-9);
        let flat = dx.abs() >= dy.abs();
        for i in -REACH..=steps + REACH {
            let t = i as f64 / steps as f64;
            let (x, y) = ((from.0 + t * dx).floor() as i64, (from.1 + t * dy).floor() as i64);
            for aside in -REACH..=REACH {
                let (x, y) = if flat { (x, y + aside) } else { (x + aside, y) };
                let (u, v) = (x as f64 + 0.5 - from.0, y as f64 + 0.5 - from.1);
                let nearest = ((u * dx + v * dy) / squared).clamp(0.0, 1.0);
                let distance = (u - nearest * dx).hypot(v - nearest * dy);
                self.tint(x, y, colour, (1.5 - distance).clamp(0.0, 1.0) as f32);
            }
        }
    }

    /// Writes `text` with its top left corner at `(x, y)`.
    pub(crate) fn text(&mut self, x: i64, y: i64, font: Font, colour: Rgb, text: &str) {
        for (column, row, coverage) in font.pixels(text) {
            self.tint(x + column as i64, y + row as i64, colour, f32::from(coverage) / 255.0);
        }
    }

    /// Writes `text` upwards, turned a quarter to the left, with the bottom left corner at `(x, y)`.
    pub(super) fn text_upwards(&mut self, x: i64, y: i64, font: Font, colour: Rgb, text: &str) {
        for (column, row, coverage) in font.pixels(text) {
            self.tint(x + row as i64, y - 1 - column as i64, colour, f32::from(coverage) / 255.0);
        }
    }

    /// Mixes `share` of a colour into one pixel.
    fn tint(&mut self, x: i64, y: i64, colour: Rgb, share: f32) {
        let (Ok(u), Ok(v)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if u < self.image.width && v < self.image.height {
            self.dot(x, y, blend(self.image.pixel(u, v), colour, share));
        }
    }

    /// Places a picture with its top left corner at `(x, y)`.
    pub fn place(&mut self, picture: &RgbImage, x: usize, y: usize) {
        let width = picture.width.min(self.image.width.saturating_sub(x));
        let height = picture.height.min(self.image.height.saturating_sub(y));
        for v in 0..height {
            let from = v * picture.width * 3;
            let to = ((y + v) * self.image.width + x) * 3;
            self.image.rgb_hwc[to..to + width * 3].copy_from_slice(&picture.rgb_hwc[from..from + width * 3]);
        }
    }
}

/// Row and horizontal place of each of some things of these widths, set one after the other into lines of `width`.
pub(super) fn flow(widths: &[usize], width: usize) -> Vec<(usize, usize)> {
    let (mut row, mut x) = (0, 0);
    let mut places = Vec::with_capacity(widths.len());
    for &one in widths {
        if x > 0 && x + one > width {
            (row, x) = (row + 1, 0);
        }
        places.push((row, x));
        x += one;
    }
    places
}

/// Black or white, whichever reads better on `background` (ITU-R BT.601 luma).
pub(super) fn ink_on(background: Rgb) -> Rgb {
    let [r, g, b] = background.map(u32::from);
    if 299 * r + 587 * g + 114 * b > 140_000 { [0; 3] } else { [255; 3] }
}

/// `share` of `over`, the rest of `under`; `share` in `[0, 1]`.
pub(super) fn blend(under: Rgb, over: Rgb, share: f32) -> Rgb {
    let channel = |i: usize| (f32::from(under[i]) * (1.0 - share) + f32::from(over[i]) * share).round() as u8;
    [channel(0), channel(1), channel(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_outside_is_clipped() {
        let mut canvas = Canvas::new(Size::new(4, 3), [9; 3]);
        canvas.fill(-5, -5, 6, 6, [1; 3]);
        canvas.fill(3, 2, 100, 100, [2; 3]);
        canvas.fill(50, 50, 3, 3, [3; 3]);
        canvas.line((-30.0, 1.0), (-9.0, 1.0), [4; 3]);
        canvas.text(-90, 0, Font::SMALL, [4; 3], "outside");
        canvas.place(&Canvas::new(Size::new(9, 9), [5; 3]).into_image(), 3, 0);
        canvas.place(&Canvas::new(Size::new(9, 9), [6; 3]).into_image(), 30, 30);
        let image = canvas.into_image();
        let reds: Vec<u8> = image.rgb_hwc.iter().step_by(3).copied().collect();
        assert_eq!(reds, [1, 9, 9, 5, 9, 9, 9, 5, 9, 9, 9, 5]);
    }

    #[test]
    fn text_upwards_is_text_turned() {
        let font = Font::SMALL;
        let (width, height) = (font.width("Ag"), font.height());
        let mut flat = Canvas::new(Size::new(width, height), [0; 3]);
        let mut turned = Canvas::new(Size::new(height, width), [0; 3]);
        flat.text(0, 0, font, [255; 3], "Ag");
        turned.text_upwards(0, width as i64, font, [255; 3], "Ag");
        let (flat, turned) = (flat.into_image(), turned.into_image());
        assert!(flat.rgb_hwc.iter().any(|&value| value > 200));
        for y in 0..height {
            for x in 0..width {
                assert_eq!(flat.pixel(x, y), turned.pixel(y, width - 1 - x), "({x}, {y})");
            }
        }
    }

    #[test]
    fn lines_are_two_pixels_wide_and_smooth() {
        let mut canvas = Canvas::new(Size::new(40, 40), [255; 3]);
        canvas.line((5.0, 10.0), (35.0, 10.0), [0; 3]);
        canvas.line((5.0, 15.0), (35.0, 38.0), [0; 3]);
        let image = canvas.into_image();
        let column: Vec<u8> = (7..13).map(|y| image.pixel(20, y)[0]).collect();
        assert_eq!(column, [255, 255, 0, 0, 255, 255]);
        assert!((14..40).any(|y| (20..235).contains(&image.pixel(20, y)[0])), "a slanted line has steps");
    }

    #[test]
    fn what_does_not_fit_flows_into_the_next_line() {
        assert_eq!(flow(&[3, 4, 4, 20, 1], 8), [(0, 0), (0, 3), (1, 0), (2, 0), (3, 0)]);
    }

    #[test]
    fn blends_and_inks() {
        assert_eq!(blend([0, 100, 200], [100, 100, 0], 0.5), [50, 100, 100]);
        assert_eq!(blend([7; 3], [200; 3], 0.0), [7; 3]);
        assert_eq!((ink_on([255; 3]), ink_on([0; 3]), ink_on([128, 0, 0])), ([0; 3], [255; 3], [255; 3]));
    }
}
