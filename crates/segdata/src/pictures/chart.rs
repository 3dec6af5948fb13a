//! Curves over steps: the data of a chart, its scales and ticks, and the chart as pixels. The report draws the same
//! [`Chart`] as SVG.

use super::canvas::{Canvas, Rgb, flow};
use super::font::Font;
use crate::image::RgbImage;
use crate::size::Size;

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What it shows.
    pub name: String,
    /// `(step, value)`, by rising step; points that are not finite are gaps.
    pub points: Vec<(f64, f64)>,
}

/// Curves over a common axis of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Heading.
    pub title: String,
    /// The curves, in the order of [`SERIES_COLOURS`].
    pub series: Vec<Series>,
    /// Fixed range of the values, or that of the data.
    pub value_range: Option<(f64, f64)>,
}

/// Colours of the curves, readable on light and dark ground (Okabe & Ito 2008, without black and yellow).
pub const SERIES_COLOURS: [Rgb; 6] =
    [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233]];

const INK: Rgb = [40; 3];
const FRAME: Rgb = [150; 3];
const GRID: Rgb = [232; 3];

/// The axes of a chart: ranges and the places of their ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct Axes {
    /// First and last step.
    pub steps: (f64, f64),
    /// Lowest and highest value.
    pub values: (f64, f64),
    /// Ticks on the axis of steps.
    pub step_ticks: Vec<f64>,
    /// Ticks on the axis of values.
    pub value_ticks: Vec<f64>,
}

impl Chart {
    /// The axes that hold all finite points, with a margin so that no curve runs along the frame; `None` when there is no finite point.
    pub fn axes(&self) -> Option<Axes> {
        let finite = || self.series.iter().flat_map(|s| &s.points).filter(|p| p.0.is_finite() && p.1.is_finite());
        let steps = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), p| (a.min(p.0), b.max(p.0)));
        let found = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), p| (a.min(p.1), b.max(p.1)));
        if steps.0 > steps.1 {
            return None;
        }
        let steps = widened((0f64.min(steps.0), steps.1));
        let values = widened(self.value_range.unwrap_or((0f64.min(found.0), found.1)));
        let (step_ticks, value_ticks) = (ticks(steps, 6), ticks(values, 5));
        Some(Axes { steps: with_margin(steps, 0.015), values: with_margin(values, 0.04), step_ticks, value_ticks })
    }

    /// The chart as pixels: white ground, ticks, a legend below the title.
    pub fn draw(&self, size: Size) -> RgbImage {
        const LEFT: usize = 72;
        const RIGHT: usize = 24;
        const BOTTOM: usize = 36;
        let mut canvas = Canvas::new(size, [255; 3]);
        canvas.text(LEFT as i64, 12, Font::LARGE, INK, &self.title);
        let top = 42 + self.draw_legend(&mut canvas, LEFT as i64, 40, size.width.saturating_sub(LEFT + RIGHT));
        let plot =
            Size::new(size.width.saturating_sub(LEFT + RIGHT).max(1), size.height.saturating_sub(top + BOTTOM).max(1));
        let Some(axes) = self.axes() else {
            canvas.text(LEFT as i64, size.height as i64 / 2, Font::SMALL, INK, "no values yet");
            return canvas.into_image();
        };
        let place = |(step, value): (f64, f64)| {
            let (u, v) = axes.place(step, value);
            (LEFT as f64 + u * plot.width as f64, top as f64 + (1.0 - v) * plot.height as f64)
        };
        let half_line = Font::SMALL.height() as i64 / 2;
        for &tick in &axes.value_ticks {
            let y = place((axes.steps.0, tick)).1 as i64;
            canvas.fill(LEFT as i64, y, plot.width, 1, GRID);
            let label = number(tick);
            canvas.text(LEFT as i64 - 8 - Font::SMALL.width(&label) as i64, y - half_line, Font::SMALL, INK, &label);
        }
        for &tick in &axes.step_ticks {
            let x = place((tick, axes.values.0)).0 as i64;
            canvas.fill(x, top as i64, 1, plot.height, GRID);
            let label = number(tick);
            let (x, y) = (x - Font::SMALL.width(&label) as i64 / 2, (top + plot.height) as i64 + 8);
            canvas.text(x, y, Font::SMALL, INK, &label);
        }
        canvas.frame(LEFT as i64, top as i64, plot.width + 1, plot.height + 1, FRAME);
        for (series, colour) in self.series.iter().zip(SERIES_COLOURS.iter().cycle()) {
            for run in series.finite_runs() {
                if let [only] = run {
                    canvas.line(place(*only), place(*only), *colour);
                }
                run.windows(2).for_each(|pair| canvas.line(place(pair[0]), place(pair[1]), *colour));
            }
        }
        canvas.into_image()
    }

    /// A stroke of its colour and the name of each curve, in lines of `width`; gives back their height.
    fn draw_legend(&self, canvas: &mut Canvas, left: i64, top: i64, width: usize) -> usize {
        const STROKE: usize = 18;
        let widths: Vec<usize> = self.series.iter().map(|s| STROKE + 6 + Font::SMALL.width(&s.name) + 14).collect();
        let places = flow(&widths, width);
        let colours = SERIES_COLOURS.iter().cycle();
        for ((series, colour), &(row, x)) in self.series.iter().zip(colours).zip(&places) {
            let (x, y) = (left + x as i64, top + (row * Font::SMALL.height()) as i64);
            canvas.fill(x, y + 7, STROKE, 4, *colour);
            canvas.text(x + (STROKE + 6) as i64, y, Font::SMALL, INK, &series.name);
        }
        places.last().map_or(0, |(row, _)| (row + 1) * Font::SMALL.height() + 6)
    }
}

impl Series {
    /// The stretches of finite points: a curve is broken where a value is missing.
    pub fn finite_runs(&self) -> impl Iterator<Item = &[(f64, f64)]> {
        self.points.split(|p| !(p.0.is_finite() && p.1.is_finite())).filter(|run| !run.is_empty())
    }
}

impl Axes {
    /// A point in the unit square, values clamped into the range: `(0, 0)` is bottom left.
    pub fn place(&self, step: f64, value: f64) -> (f64, f64) {
        let along = |(low, high): (f64, f64), v: f64| ((v - low) / (high - low)).clamp(0.0, 1.0);
        (along(self.steps, step), along(self.values, value))
    }
}

/// A range with something between its ends.
fn widened((low, high): (f64, f64)) -> (f64, f64) {
    if high - low > low.abs().max(high.abs()) * 1e-9 { (low, high) } else { (low, low + low.abs().max(1.0)) }
}

/// The range with `share` of itself more at both ends.
fn with_margin((low, high): (f64, f64), share: f64) -> (f64, f64) {
    let margin = (high - low) * share;
    (low - margin, high + margin)
}

/// About `wanted` round numbers in the range: multiples of 1, 2 or 5 times a power of ten.
fn ticks((low, high): (f64, f64), wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(10.0 * power);
    if !(step.is_finite() && step > 0.0) {
        return Vec::new();
    }
    let first = (low / step).ceil();
    (0..=4 * wanted).map(|i| (first + i as f64) * step).take_while(|t| *t <= high + step * 1e-9).collect()
}

/// A number as short as can be without merging neighbouring ticks: three places and no trailing zeros where that is
/// enough, else two digits and a power of ten.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        a if !(1e-2..1e6).contains(&a) => format!("{value:.1e}"),
        a if a >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> Chart {
        let series = vec![Series { name: "loss".into(), points: points.to_vec() }];
        Chart { title: "Loss".into(), series, value_range: None }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        for (range, expected) in [
            ((0.0, 1.0), vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            ((0.0, 1500.0), vec![0.0, 500.0, 1000.0, 1500.0]),
            ((-3.0, 3.0), vec![-2.0, 0.0, 2.0]),
        ] {
            let found = ticks(range, 5);
            assert_eq!(found.len(), expected.len(), "{range:?}: {found:?}");
            found.iter().zip(&expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-9, "{range:?}: {found:?}"));
        }
    }

    #[test]
    fn no_curve_runs_along_the_frame() {
        let fixed = Chart { value_range: Some((0.0, 1.0)), ..chart(&[(0.0, 0.0), (100.0, 1.0)]) };
        for chart in [fixed, chart(&[(0.0, 3.0), (100.0, 0.0)]), chart(&[(5.0, -2.0), (900.0, 2.0)])] {
            let axes = chart.axes().unwrap();
            for &(step, value) in &chart.series[0].points {
                let (x, y) = axes.place(step, value);
                assert!((0.005..0.995).contains(&x) && (0.03..0.97).contains(&y), "({step}, {value}) is at ({x}, {y})");
            }
            assert!(axes.value_ticks.iter().all(|tick| (axes.values.0..=axes.values.1).contains(tick)));
        }
    }

    #[test]
    fn charts_of_odd_data_are_drawn() {
        let cases: [(&str, &[(f64, f64)]); 6] = [
            ("nothing", &[]),
            ("only gaps", &[(0.0, f64::NAN), (1.0, f64::INFINITY)]),
            ("one point", &[(10.0, 3.0)]),
            ("constant", &[(0.0, 2.0), (5.0, 2.0)]),
            ("tiny and huge", &[(0.0, 1e-300), (1e9, 1e300)]),
            ("a gap", &[(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)]),
        ];
        for (what, points) in cases {
            let image = chart(points).draw(Size::new(400, 240));
            assert_eq!(image.rgb_hwc.len(), 400 * 240 * 3, "{what}");
            let blue = image.rgb_hwc.chunks(3).filter(|p| *p == SERIES_COLOURS[0]).count();
            let legend = 4 * 18;
            let curve_expected = points.iter().any(|p| p.1.is_finite());
            assert_eq!(blue > legend, curve_expected, "{what}: {blue} pixels");
        }
        assert_eq!(chart(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)]).series[0].finite_runs().count(), 2);
        chart(&[(0.0, 1.0)]).draw(Size::new(1, 1));
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (1500.0, "1500"),
            (2.5, "2.5"),
            (1e-4, "1.0e-4"),
            (0.0015, "1.5e-3"),
            (0.2, "0.2"),
            (0.015, "0.015"),
            (2e6, "2.0e6"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
