//! The confusion matrix as a picture: each row shows where the pixels of one true class went.

use super::canvas::{Canvas, Rgb, blend, ink_on};
use super::font;
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
    let k = confusion.len();
    let cell = if k <= 40 { 26 } else { 8 };
    let labelled = cell >= 2 * font::GLYPH_HEIGHT;
    let name = |id: usize| -> String { names.get(id).map_or(id.to_string(), |n| n.chars().take(20).collect()) };
    let longest = (0..k).map(|id| font::width(&name(id))).max().unwrap_or(0);
    let margin = 30 + if labelled { longest + 8 } else { 0 };
    let (side, right) = (cell * k, 12);
    let mut canvas = Canvas::new(Size::new((margin + side + right).max(220), margin + side + right), [255; 3]);
    canvas.text(8, 8, 1, INK, "columns: predicted");
    canvas.text_upwards(8, (margin + side) as i64, 1, INK, "rows: truth (share of the row, %)");
    for (t, row) in confusion.iter().enumerate() {
        let y = (margin + t * cell) as i64;
        if labelled {
            let label = name(t);
            canvas.text((margin - 6 - font::width(&label)) as i64, y + (cell / 2) as i64 - 3, 1, INK, &label);
            canvas.text_upwards(y + (cell / 2) as i64 - 3, (margin - 6) as i64, 1, INK, &name(t));
        }
        for (p, share) in row_shares(row).into_iter().enumerate() {
            let x = (margin + p * cell) as i64;
            let colour = blend([255; 3], FULL, share as f32);
            canvas.fill(x, y, cell, cell, colour);
            let percent = (share * 100.0).round() as u64;
            if labelled && percent > 0 {
                let text = percent.to_string();
                let x = x + (cell - font::width(&text)) as i64 / 2;
                canvas.text(x, y + (cell / 2) as i64 - 3, 1, ink_on(colour), &text);
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
