//! The confusion matrix as a picture: each row shows where the pixels of one true class went.

use super::canvas::{Canvas, Rgb, blend, ink_on};
use super::font::Font;
use crate::image::RgbImage;
use crate::size::Size;

/// Share 1 is this colour, share 0 white; the report uses the same scale.
pub const FULL: Rgb = [0, 90, 160];

/// Share of a row's pixels in each cell; a row without pixels is all zero.
pub fn row_shares(row: &[u64]) -> Vec<f64> {
    let total: u64 = row.iter().sum();
    row.iter().map(|&n| if total == 0 { 0.0 } else { n as f64 / total as f64 }).collect()
}

/// The matrix (rows truth, columns prediction) with names, shares in percent, and the share as colour.
pub fn confusion_picture(confusion: &[Vec<u64>], names: &[String]) -> RgbImage {
    const INK: Rgb = [40; 3];
    const FONT: Font = Font::SMALL;
    let k = confusion.len();
    let labelled = k <= 40;
    let cell = if labelled { 32 } else { 8 };
    let name = |id: usize| -> String { names.get(id).map_or(id.to_string(), |n| n.chars().take(20).collect()) };
    let longest = (0..k).map(|id| FONT.width(&name(id))).max().unwrap_or(0);
    let margin = 40 + if labelled { longest + 8 } else { 0 };
    let (side, right) = (cell * k, 16);
    let to_middle = (cell as i64 - FONT.height() as i64) / 2;
    let (above, beside) = ("columns: predicted", "rows: truth (share of the row, %)");
    let least = (FONT.width(above) + 24, FONT.width(beside) + 24);
    let size = Size::new((margin + side + right).max(least.0), (margin + side + right).max(least.1));
    let mut canvas = Canvas::new(size, [255; 3]);
    canvas.text(12, 10, FONT, INK, above);
    canvas.text_upwards(10, size.height as i64 - right as i64, FONT, INK, beside);
    for (t, row) in confusion.iter().enumerate() {
        let y = (margin + t * cell) as i64;
        if labelled {
            let label = name(t);
            canvas.text((margin - 6 - FONT.width(&label)) as i64, y + to_middle, FONT, INK, &label);
            canvas.text_upwards(y + to_middle, (margin - 6) as i64, FONT, INK, &label);
        }
        for (p, share) in row_shares(row).into_iter().enumerate() {
            let x = (margin + p * cell) as i64;
            let colour = blend([255; 3], FULL, share as f32);
            canvas.fill(x, y, cell, cell, colour);
            let percent = (share * 100.0).round() as u64;
            if labelled && percent > 0 {
                let text = percent.to_string();
                let x = x + (cell - FONT.width(&text)) as i64 / 2;
                canvas.text(x, y + to_middle, FONT, ink_on(colour), &text);
            }
        }
    }
    canvas.frame(margin as i64 - 1, margin as i64 - 1, side + 2, side + 2, INK);
    canvas.into_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_row() {
        assert_eq!(row_shares(&[3, 1]), [0.75, 0.25]);
        assert_eq!(row_shares(&[0, 0]), [0.0, 0.0]);
    }

    #[test]
    fn matrices_of_any_size_are_drawn() {
        for k in [0, 1, 5, 21, 254] {
            let confusion: Vec<Vec<u64>> = (0..k).map(|t| (0..k).map(|p| u64::from(t == p)).collect()).collect();
            let names: Vec<String> = (0..k).map(|id| format!("class number {id}")).collect();
            let image = confusion_picture(&confusion, &names);
            assert_eq!(image.rgb_hwc.len(), image.width * image.height * 3, "{k} classes");
            assert_eq!(image.rgb_hwc.chunks(3).any(|p| p == FULL), k > 0, "{k} classes");
        }
    }
}
