//! Amounts as bars, one a line.

use super::canvas::{Canvas, Rgb};
use super::font::Font;
use crate::image::RgbImage;
use crate::size::Size;

/// One line of a bar chart.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// What is counted; at most 30 characters are shown.
    pub name: String,
    /// How much there is of it; the longest bar has the largest.
    pub amount: u64,
    /// What is written behind the bar.
    pub label: String,
    /// Colour of the bar.
    pub colour: Rgb,
}

/// A horizontal bar chart under a title.
pub(crate) fn bar_chart(title: &str, bars: &[Bar]) -> RgbImage {
    const FONT: Font = Font::MEDIUM;
    const LINE: usize = 30;
    const TOP: usize = 52;
    const PAD: usize = 16;
    const LONGEST: usize = 520;
    const INK: Rgb = [20; 3];
    let name = |bar: &Bar| -> String { bar.name.chars().take(30).collect() };
    let names = bars.iter().map(|bar| FONT.width(&name(bar))).max().unwrap_or(0);
    let labels = bars.iter().map(|bar| FONT.width(&bar.label)).max().unwrap_or(0);
    let left = PAD + names + PAD;
    let width = (left + LONGEST + 10 + labels + PAD).max(Font::LARGE.width(title) + 2 * PAD);
    let mut canvas = Canvas::new(Size::new(width, TOP + bars.len() * LINE + PAD), [255; 3]);
    canvas.text(PAD as i64, 14, Font::LARGE, INK, title);
    let most = bars.iter().map(|bar| bar.amount).max().unwrap_or(0).max(1);
    for (i, bar) in bars.iter().enumerate() {
        let y = (TOP + i * LINE) as i64;
        let name = name(bar);
        canvas.text((left - PAD / 2 - FONT.width(&name)) as i64, y + 5, FONT, INK, &name);
        // What is there at all can be seen.
        let share = bar.amount as f64 / most as f64;
        let long = ((share * LONGEST as f64).round() as usize).max(usize::from(bar.amount > 0));
        canvas.fill(left as i64, y + 4, long, LINE - 8, bar.colour);
        canvas.text((left + long + 10) as i64, y + 5, FONT, [90; 3], &bar.label);
    }
    canvas.fill(left as i64 - 1, TOP as i64, 1, bars.len() * LINE, [150; 3]);
    canvas.into_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_amounts() {
        let bar = |amount, colour| Bar { name: "n".repeat(99), amount, label: format!("{amount}"), colour };
        let out = bar_chart("t", &[bar(1000, [1; 3]), bar(500, [2; 3]), bar(0, [3; 3]), bar(1, [4; 3])]);
        let pixels = |colour: Rgb| out.rgb_hwc.chunks(3).filter(|p| *p == colour).count();
        assert_eq!([1, 2, 3, 4].map(|v| pixels([v; 3]) / 22), [520, 260, 0, 1]);
        for bars in [vec![], vec![bar(0, [9; 3])], vec![bar(u64::MAX, [9; 3]); 300]] {
            let out = bar_chart("title", &bars);
            assert!(out.width > 0 && out.height > 0);
        }
    }
}
