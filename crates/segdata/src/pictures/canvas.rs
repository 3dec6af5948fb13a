//! A small raster to draw on: rectangles, lines, text, other pictures. Everything is clipped to the picture.

use super::font;
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

    /// Draws a line two pixels wide, which stays readable when a picture is shown smaller.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: Rgb) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).ceil().clamp(1.0, 1e5) as usize;
        for i in 0..=steps {
            let t = i as f64 / steps as f64;
            self.fill((from.0 + t * dx).floor() as i64, (from.1 + t * dy).floor() as i64, 2, 2, colour);
        }
    }

    /// Writes `text` with its top left corner at `(x, y)`, each dot of the font `scale` pixels wide.
    pub fn text(&mut self, x: i64, y: i64, scale: usize, colour: Rgb, text: &str) {
        self.each_dot(text, |canvas, column, row| {
            let (x, y) = (x + (column * scale) as i64, y + (row * scale) as i64);
            canvas.fill(x, y, scale, scale, colour);
        });
    }

    /// Writes `text` upwards, turned a quarter to the left, with the bottom left corner at `(x, y)`.
    pub(super) fn text_upwards(&mut self, x: i64, y: i64, scale: usize, colour: Rgb, text: &str) {
        self.each_dot(text, |canvas, column, row| {
            let (x, y) = (x + (row * scale) as i64, y - ((column + 1) * scale) as i64);
            canvas.fill(x, y, scale, scale, colour);
        });
    }

    fn each_dot(&mut self, text: &str, mut draw: impl FnMut(&mut Self, usize, usize)) {
        for (i, c) in text.chars().enumerate() {
            for (row, bits) in font::glyph(c).into_iter().enumerate() {
                for column in (0..font::GLYPH_WIDTH).filter(|column| bits >> (font::GLYPH_WIDTH - 1 - column) & 1 == 1)
                {
                    draw(self, i * font::ADVANCE + column, row);
                }
            }
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
        canvas.line((-3.0, 1.0), (-1.0, 1.0), [4; 3]);
        canvas.place(&Canvas::new(Size::new(9, 9), [5; 3]).into_image(), 3, 0);
        canvas.place(&Canvas::new(Size::new(9, 9), [6; 3]).into_image(), 30, 30);
        let image = canvas.into_image();
        let reds: Vec<u8> = image.rgb_hwc.iter().step_by(3).copied().collect();
        assert_eq!(reds, [1, 9, 9, 5, 4, 9, 9, 5, 4, 9, 9, 5]);
    }

    #[test]
    fn text_upwards_is_text_turned() {
        let (mut flat, mut turned) = (Canvas::new(Size::new(11, 7), [0; 3]), Canvas::new(Size::new(7, 11), [0; 3]));
        flat.text(0, 0, 1, [255; 3], "Ag");
        turned.text_upwards(0, 11, 1, [255; 3], "Ag");
        let (flat, turned) = (flat.into_image(), turned.into_image());
        for y in 0..7 {
            for x in 0..11 {
                assert_eq!(flat.rgb_hwc[(y * 11 + x) * 3], turned.rgb_hwc[((10 - x) * 7 + y) * 3], "({x}, {y})");
            }
        }
    }

    #[test]
    fn blends_and_inks() {
        assert_eq!(blend([0, 100, 200], [100, 100, 0], 0.5), [50, 100, 100]);
        assert_eq!(blend([7; 3], [200; 3], 0.0), [7; 3]);
        assert_eq!((ink_on([255; 3]), ink_on([0; 3]), ink_on([128, 0, 0])), ([0; 3], [255; 3], [255; 3]));
    }
}
