//! The table of a validation: IoU by class, with what each gained or lost against the last validation and the best.

use std::path::Path;

use segdata::report::history::{RunHistory, ValidationPoint};

use crate::report::{change, table};

/// Classes that are listed; of more, those with the lowest IoU are.
const SHOWN: usize = 40;

/// The table of the newest validation in a run's log.
///
/// # Errors
/// A log that cannot be read.
pub fn newest(run: &Path) -> fcn_core::Result<Option<String>> {
    let history = RunHistory::read(&run.join(fcn_core::train::METRICS_FILE))?;
    Ok(history.validations.split_last().map(|(newest, before)| text(newest, before)))
}

/// The table of the best validation in a run's log.
///
/// # Errors
/// A log that cannot be read.
pub fn best(run: &Path) -> fcn_core::Result<Option<String>> {
    let history = RunHistory::read(&run.join(fcn_core::train::METRICS_FILE))?;
    Ok(ValidationPoint::best(&history.validations).map(|best| text(best, &[])))
}

fn text(newest: &ValidationPoint, before: &[ValidationPoint]) -> String {
    let (last, best) = (before.last(), ValidationPoint::best(before));
    let iou_in = |other: Option<&ValidationPoint>, id: usize| other?.per_class.iter().find(|c| c.id == id)?.iou;
    let share = |value: Option<f64>| value.map_or("n/a".to_string(), |value| format!("{value:.4}"));
    let mut classes: Vec<_> = newest.per_class.iter().filter(|c| c.iou.is_some()).collect();
    let left_out = classes.len().saturating_sub(SHOWN);
    if left_out > 0 {
        classes.sort_by(|a, b| a.iou.partial_cmp(&b.iou).unwrap_or(std::cmp::Ordering::Equal));
        classes.truncate(SHOWN);
    }
    let row = |name: &str, iou: Option<f64>, then: [Option<f64>; 2]| {
        let mut cells = vec![format!("  {name}"), share(iou)];
        cells.extend(then.map(|then| change(then, iou)));
        cells.truncate(if before.is_empty() { 2 } else { 4 });
        cells
    };
    let mut rows: Vec<Vec<String>> = classes
        .iter()
        .map(|class| row(&class.name, class.iou, [last, best].map(|other| iou_in(other, class.id))))
        .collect();
    rows.push(row("mean", newest.miou, [last, best].map(|other| other?.miou)));
    let header = [
        format!("  class (step {})", newest.step),
        "IoU".into(),
        "against last".into(),
        match best {
            Some(best) => format!("against best ({})", best.step),
            None => "against best".into(),
        },
    ];
    let shown = if before.is_empty() { 2 } else { 4 };
    let header: Vec<&str> = header.iter().take(shown).map(String::as_str).collect();
    let more = if left_out > 0 { format!("\n  and {left_out} classes with a higher IoU") } else { String::new() };
    format!("{}{more}", table(&header, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use segdata::report::history::ClassPoint;

    #[test]
    fn classes_are_compared_with_the_last_and_the_best() {
        let point = |step: u64, ious: [Option<f64>; 2], miou: f64| ValidationPoint {
            step,
            miou: Some(miou),
            per_class: (ious.into_iter().enumerate())
                .map(|(id, iou)| ClassPoint { id, name: ["sky", "road"][id].into(), iou, ..ClassPoint::default() })
                .collect(),
            ..ValidationPoint::default()
        };
        let (first, second) = (point(10, [Some(0.5), None], 0.5), point(20, [Some(0.25), Some(0.5)], 0.375));
        let newest = point(30, [Some(0.75), Some(0.25)], 0.5);
        let text = text(&newest, &[first.clone(), second]);
        let expected = "\
            \x20 class (step 30)     IoU  against last  against best (10)\n\
            \x20 sky              0.7500       +0.5000            +0.2500\n\
            \x20 road             0.2500       -0.2500\n\
            \x20 mean             0.5000       +0.1250            +0.0000";
        assert_eq!(text, expected);
        assert!(super::text(&first, &[]).lines().all(|line| line.split_whitespace().count() <= 4));
    }
}
