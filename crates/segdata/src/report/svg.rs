//! Charts, heat maps and sparklines as SVG, coloured by the style sheet so that they fit light and dark ground.

use super::html::escape;
use crate::pictures::chart::{Chart, number};
use crate::pictures::heatmap::row_shares;

/// A chart of 560x260 units; every point of a short series carries its value as a tooltip.
pub fn chart(chart: &Chart) -> String {
    const WIDTH: f64 = 560.0;
    const HEIGHT: f64 = 260.0;
    const LEFT: f64 = 56.0;
    const TOP: f64 = 12.0;
    const POINTS_WITH_MARKS: usize = 60;
    let (plot_width, plot_height) = (WIDTH - LEFT - 14.0, HEIGHT - TOP - 30.0);
    let Some(axes) = chart.axes() else {
        return format!(
            "<figure><figcaption>{}</figcaption><p class=none>no values yet</p></figure>",
            escape(&chart.title)
        );
    };
    let place = |step: f64, value: f64| {
        let (u, v) = axes.place(step, value);
        (LEFT + u * plot_width, TOP + (1.0 - v) * plot_height)
    };
    let mut body = String::new();
    for &tick in &axes.value_ticks {
        let y = place(axes.steps.0, tick).1;
        body += &format!("<path class=grid d='M{LEFT} {y:.1}h{plot_width:.1}'/>");
        body += &format!("<text x={:.1} y={:.1} text-anchor=end>{}</text>", LEFT - 6.0, y + 4.0, number(tick));
    }
    for &tick in &axes.step_ticks {
        let x = place(tick, axes.values.0).0;
        body += &format!("<path class=grid d='M{x:.1} {TOP}v{plot_height:.1}'/>");
        body += &format!("<text x={x:.1} y={:.1} text-anchor=middle>{}</text>", HEIGHT - 12.0, number(tick));
    }
    for (i, series) in chart.series.iter().enumerate() {
        let colour = format!("s{}", i % 6);
        for run in series.finite_runs() {
            let points: Vec<String> = run
                .iter()
                .map(|&(step, value)| {
                    let (x, y) = place(step, value);
                    format!("{x:.1},{y:.1}")
                })
                .collect();
            body += &format!("<polyline class='line {colour}' points='{}'/>", points.join(" "));
        }
        if series.points.len() <= POINTS_WITH_MARKS {
            for &(step, value) in series.points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
                let (x, y) = place(step, value);
                body += &format!(
                    "<circle class='mark {colour}' cx={x:.1} cy={y:.1} r=3><title>{} {value:.4} at step {step:.0}</title></circle>",
                    escape(&series.name)
                );
            }
        }
    }
    let legend: String = (chart.series.iter().enumerate())
        .map(|(i, s)| format!("<span class=name><span class='key s{}'></span>{}</span> ", i % 6, escape(&s.name)))
        .collect();
    format!(
        "<figure class=chart><figcaption>{}<span class=legend>{legend}</span></figcaption>\
         <svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='{0}'>{body}</svg></figure>",
        escape(&chart.title)
    )
}

/// The matrix (rows truth, columns prediction) as a heat map of the rows' shares; counts in the tooltips.
pub fn heatmap(confusion: &[Vec<u64>], names: &[String]) -> String {
    const CELL: usize = 24;
    const LABELS: usize = 120;
    let side = confusion.len() * CELL;
    let name = |id: usize| escape(names.get(id).map_or("?", String::as_str));
    let mut body = String::new();
    for (t, row) in confusion.iter().enumerate() {
        let y = LABELS + t * CELL;
        let middle = CELL / 2 + 4;
        body += &format!("<text x={} y={} text-anchor=end>{}</text>", LABELS - 6, y + middle, name(t));
        body += &format!("<text transform='translate({} {}) rotate(-90)'>{}</text>", y + middle, LABELS - 6, name(t));
        for (p, (share, count)) in row_shares(row).into_iter().zip(row).enumerate() {
            let x = LABELS + p * CELL;
            body += &format!(
                "<g><title>{} as {}: {count} pixels, {:.1} %</title><rect class=cell x={x} y={y} width={CELL} height={CELL} \
                 style='fill-opacity:{share:.3}'/>",
                name(t),
                name(p),
                share * 100.0
            );
            let percent = (share * 100.0).round();
            if percent > 0.0 {
                let class = if share > 0.5 { "on" } else { "off" };
                body += &format!(
                    "<text class={class} x={} y={} text-anchor=middle>{percent}</text>",
                    x + CELL / 2,
                    y + middle
                );
            }
            body += "</g>";
        }
    }
    body += &format!("<rect class=edge x={LABELS} y={LABELS} width={side} height={side} />");
    let size = LABELS + side + 4;
    format!(
        "<svg class=heat style='max-width:{}px' viewBox='0 0 {size} {size}' role=img aria-label='confusion matrix'>{body}</svg>",
        size * 5 / 4
    )
}

/// A small curve of shares without axes; gaps where a value is missing.
pub fn sparkline(values: &[Option<f64>]) -> String {
    const WIDTH: f64 = 120.0;
    const HEIGHT: f64 = 22.0;
    let step = WIDTH / values.len().saturating_sub(1).max(1) as f64;
    let points: Vec<Option<(f64, f64)>> = (values.iter().enumerate())
        .map(|(i, v)| v.map(|v| (i as f64 * step, 1.0 + (1.0 - v.clamp(0.0, 1.0)) * (HEIGHT - 2.0))))
        .collect();
    let lines: String = points
        .split(Option::is_none)
        .filter(|run| run.len() > 1)
        .map(|run| {
            let text: Vec<String> = run.iter().flatten().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            format!("<polyline class='line s0' points='{}'/>", text.join(" "))
        })
        .collect();
    format!("<svg class=spark viewBox='0 0 {WIDTH} {HEIGHT}' aria-hidden=true>{lines}</svg>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::chart::Series;

    #[test]
    fn charts_break_at_gaps_and_escape_names() {
        let points = vec![(0.0, 1.0), (1.0, 0.5), (2.0, f64::NAN), (3.0, 0.2), (4.0, 0.1)];
        let series = vec![Series { name: "<b>\"x\"".into(), points }];
        let svg = chart(&Chart { title: "a & b".into(), series, value_range: None });
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;b&gt;&quot;x&quot;") && !svg.contains("NaN"), "{svg}");
        let empty = chart(&Chart { title: "t".into(), series: vec![], value_range: None });
        assert!(empty.contains("no values yet"));
    }

    #[test]
    fn heat_maps_and_sparklines_hold_all_values() {
        let svg = heatmap(&[vec![3, 1], vec![0, 0]], &["a<".into(), "b".into()]);
        assert_eq!(svg.matches("class=cell").count(), 4);
        assert!(svg.contains("a&lt; as b: 1 pixels, 25.0 %"), "{svg}");
        assert_eq!(sparkline(&[Some(0.1), Some(0.2), None, Some(0.3), Some(0.4)]).matches("<polyline").count(), 2);
        assert_eq!(sparkline(&[None]).matches("<polyline").count(), 0);
    }
}
