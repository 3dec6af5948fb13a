//! Letters with smooth edges: Noto Sans Mono in four sizes and multiples of the largest, from tables in the program.
//!
//! There are the letters of western and central European languages (Basic Latin, Latin-1 and Latin Extended-A of
//! Unicode); every other character shows as a hollow box. A letter and an accent that follows it are drawn as one.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};
use unicode_normalization::UnicodeNormalization;

/// A size of text. The letters lie in cells of one width and height that touch each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Font {
    raster: RasterHeight,
    /// How many pixels a side one of the table becomes, for pictures that need letters larger than the tables hold.
    times: usize,
}

impl Font {
    /// Lines of 16 pixels, for labels.
    pub const SMALL: Font = Font { raster: RasterHeight::Size16, times: 1 };
    /// Lines of 20 pixels, for what stands beside pictures.
    pub const MEDIUM: Font = Font { raster: RasterHeight::Size20, times: 1 };
    /// Lines of 24 pixels, for headings.
    pub const LARGE: Font = Font { raster: RasterHeight::Size24, times: 1 };

    /// The size that reads well in a picture of this width in pixels: a line is about a 45th of it, at least 16 pixels.
    pub fn for_width(width: usize) -> Font {
        let (raster, times) = match width / 45 {
            0..=17 => (RasterHeight::Size16, 1),
            18..=21 => (RasterHeight::Size20, 1),
            22..=27 => (RasterHeight::Size24, 1),
            height => (RasterHeight::Size32, (height / 32).clamp(1, 8)),
        };
        Font { raster, times }
    }

    /// Height of a line in pixels.
    pub fn height(self) -> usize {
        self.raster.val() * self.times
    }

    /// Width of a cell in pixels.
    pub fn advance(self) -> usize {
        get_raster_width(FontWeight::Regular, self.raster) * self.times
    }

    /// Width of `text` in pixels.
    pub fn width(self, text: &str) -> usize {
        text.nfc().count() * self.advance()
    }

    /// `(column, row, coverage)` of each pixel that `text` touches, from its top left corner; coverage up to 255.
    pub fn pixels(self, text: &str) -> impl Iterator<Item = (usize, usize, u8)> {
        let (width, height) = (self.advance(), self.height());
        text.nfc().enumerate().flat_map(move |(i, c)| {
            let glyph = get_raster(c, FontWeight::Regular, self.raster);
            (0..width * height).filter_map(move |at| {
                let (x, y) = (at % width, at / width);
                let coverage = glyph.map_or_else(|| self.box_at(x, y), |glyph| self.glyph_at(&glyph, x, y));
                (coverage > 0).then_some((i * width + x, y, coverage))
            })
        })
    }

    /// A pixel of a glyph, between those of the table where it is enlarged.
    fn glyph_at(self, glyph: &RasterizedChar, x: usize, y: usize) -> u8 {
        let along = |at: usize| {
            let place = ((at as f32 + 0.5) / self.times as f32 - 0.5).max(0.0);
            (place as usize, place.fract())
        };
        let ((u, right), (v, down)) = (along(x), along(y));
        let value = |u: usize, v: usize| f32::from(glyph.pixel(u, v).unwrap_or(0));
        let row = |v: usize| value(u, v) * (1.0 - right) + value(u + 1, v) * right;
        (row(v) * (1.0 - down) + row(v + 1) * down).round() as u8
    }

    /// A pixel of the box that stands for a character without a glyph.
    fn box_at(self, x: usize, y: usize) -> u8 {
        let (width, height, line) = (self.advance(), self.height(), self.height() / 16);
        let (left, right, top, bottom) = (line, width - line, height / 5, height - height / 5);
        let within = (left..right).contains(&x) && (top..bottom).contains(&y);
        let inside = (left + line..right - line).contains(&x) && (top + line..bottom - line).contains(&y);
        if within && !inside { 255 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(font: Font, text: &str) -> Vec<(usize, usize, u8)> {
        font.pixels(text).collect()
    }

    #[test]
    fn letters_are_smooth_and_tell_each_other_apart() {
        for font in [Font::SMALL, Font::LARGE, Font::for_width(900), Font::for_width(6000)] {
            let all: Vec<_> = ('!'..='~').chain('¡'..='¬').chain('Ā'..='ſ').map(String::from).collect();
            let pixels: Vec<_> = all.iter().map(|c| drawn(font, c)).collect();
            for (i, one) in pixels.iter().enumerate() {
                assert!(!one.is_empty(), "{} is blank in {font:?}", all[i]);
                let same = pixels[..i].iter().position(|other| other == one);
                assert!(same.is_none_or(|j| "ĸŀ".contains(&all[i]) || "ĸŀ".contains(&all[j])), "{}", all[i]);
            }
            assert!(drawn(font, "a").iter().any(|p| (1..255).contains(&p.2)), "{font:?} has no smooth edges");
            assert!(drawn(font, "ÄyA|").iter().all(|p| p.0 < font.width("ÄyA|") && p.1 < font.height()));
        }
    }

    #[test]
    fn what_has_no_glyph_is_a_box_and_accents_join_their_letter() {
        for font in [Font::SMALL, Font::for_width(100_000)] {
            let hollow = drawn(font, "猫");
            assert_eq!(hollow, drawn(font, "\u{7f}"));
            assert!(hollow.iter().all(|p| p.2 == 255) && hollow.len() < font.advance() * font.height() / 2);
            assert_eq!(drawn(font, "u\u{308}"), drawn(font, "ü"));
            assert_eq!(font.width("u\u{308}x"), 2 * font.advance());
            assert_eq!((drawn(font, " \u{a0}").is_empty(), font.width("")), (false, 0));
        }
    }

    #[test]
    fn text_grows_with_the_picture() {
        let heights: Vec<usize> =
            [0, 500, 900, 1000, 1500, 3000, 9000, usize::MAX].map(|w| Font::for_width(w).height()).into();
        assert_eq!(heights, [16, 16, 20, 24, 32, 64, 192, 256]);
    }
}
