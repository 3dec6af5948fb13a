//! Scores by class: a table with the colours of the pictures, the confusion matrix, and what the CRF does.

use super::history::{ClassPoint, CrfPoint, ValidationPoint};
use super::html::{escape, share};
use super::svg;
use crate::labels::Classes;
use crate::metrics::Tally;
use crate::pictures::colours::{Mark, mark_of};

/// Classes that the heat map shows at most; a larger matrix is in the run's picture of it.
const MAX_HEATMAP_CLASSES: usize = 64;

/// The colour of a class in the pictures, as a small field.
pub(super) fn swatch(id: usize, classes: &Classes) -> String {
    match u8::try_from(id).map(|id| mark_of(id, classes)) {
        Ok(Mark::Painted([r, g, b])) => format!("<i class=swatch style='background:#{r:02x}{g:02x}{b:02x}'></i>"),
        Ok(Mark::Hatched) => "<i class='swatch hatched'></i>".into(),
        _ => "<i class='swatch bare'></i>".into(),
    }
}

/// The table of the classes that occur; those that never do are named below, folded away.
pub(super) fn table(validations: &[ValidationPoint], classes: &Classes) -> String {
    let Some(last) = validations.last().filter(|v| !v.per_class.is_empty()) else { return String::new() };
    let total: u64 = last.per_class.iter().map(|c| c.pixels).sum();
    let (present, absent): (Vec<&ClassPoint>, Vec<&ClassPoint>) = last.per_class.iter().partition(|c| c.iou.is_some());
    let with_boundary = present.iter().any(|c| c.boundary_iou.is_some());
    let boundary = |cell: String| if with_boundary { cell } else { String::new() };
    let row = |class: &&ClassPoint| {
        let iou_of = |v: &ValidationPoint| v.per_class.iter().find(|c| c.id == class.id).and_then(|c| c.iou);
        let history: Vec<Option<f64>> = validations.iter().map(iou_of).collect();
        format!(
            "<tr><td>{}{}</td><td>{}</td><td class=bar><div style='width:{:.1}%'></div></td>{}<td>{}</td><td>{:.2} %</td>\
             <td>{}</td></tr>",
            swatch(class.id, classes),
            escape(&class.name),
            share(class.iou),
            class.iou.unwrap_or(0.0).clamp(0.0, 1.0) * 100.0,
            boundary(format!("<td>{}</td>", share(class.boundary_iou))),
            share(class.accuracy),
            100.0 * class.pixels as f64 / total.max(1) as f64,
            svg::sparkline(&history),
        )
    };
    let rows: String = present.iter().map(row).collect();
    let folded = match absent.len() {
        0 => String::new(),
        n => format!(
            "<details><summary>{n} {} neither in the truth nor in the predictions: no IoU, not in the mean</summary><p>{}</p>\
             </details>",
            if n == 1 { "class occurs" } else { "classes occur" },
            absent
                .iter()
                .map(|c| format!("<span class=name>{}{}</span> ", swatch(c.id, classes), escape(&c.name)))
                .collect::<String>()
        ),
    };
    format!(
        "<h2>Classes at step {}</h2><div class=scroll><table><tr><th>class</th><th>IoU</th><th></th>{}<th>accuracy</th>\
         <th>share of pixels</th><th>IoU over the run</th></tr>{rows}</table></div>{folded}",
        last.step,
        boundary("<th>boundary IoU</th>".into()),
    )
}

/// The confusion matrix of the classes that occur.
pub(super) fn confusion(last: Option<&ValidationPoint>) -> String {
    let Some(last) = last.filter(|v| !v.confusion.is_empty()) else { return String::new() };
    let heading = format!("<h2>Confusion at step {}</h2>", last.step);
    let absent = |id: usize| last.per_class.iter().any(|c| c.id == id && c.iou.is_none());
    let ids: Vec<usize> = (0..last.confusion.len()).filter(|&id| !absent(id)).collect();
    if ids.len() > MAX_HEATMAP_CLASSES {
        return format!("{heading}<p class=none>{} classes: see the picture in the run folder.</p>", ids.len());
    }
    let pick = |row: &Vec<u64>| ids.iter().map(|&id| row.get(id).copied().unwrap_or(0)).collect::<Vec<u64>>();
    let matrix: Vec<Vec<u64>> = ids.iter().map(|&id| pick(&last.confusion[id])).collect();
    let name = |id: &usize| last.per_class.iter().find(|c| c.id == *id).map_or("?".into(), |c| c.name.clone());
    let map = svg::heatmap(&matrix, &ids.iter().map(name).collect::<Vec<_>>());
    format!(
        "{heading}<p class=none>Rows truth, columns prediction; share of the row in percent.</p><div class=scroll>{map}</div>"
    )
}

/// What the CRF does to the pictured images: their scores as logged, and by class where the pictures are there.
pub(super) fn crf(logged: Option<&CrfPoint>, by_class: &[Tally; 2], classes: &Classes) -> String {
    let Some(logged) = logged else { return String::new() };
    let row = |title: String, before: Option<f64>, after: Option<f64>| {
        let change = before.zip(after).map_or(String::new(), |(before, after)| format!("{:+.3}", after - before));
        format!("<tr><td>{title}</td><td>{}</td><td>{}</td><td>{change}</td></tr>", share(before), share(after))
    };
    let (raw, crf) = (&logged.raw, &logged.crf);
    let mut rows = row("mIoU".into(), raw.miou, crf.miou)
        + &row("pixel accuracy".into(), raw.pixel_accuracy, crf.pixel_accuracy)
        + &row("boundary IoU".into(), raw.boundary_iou, crf.boundary_iou);
    for (id, name) in classes.names.iter().enumerate() {
        let [before, after] = [0, 1].map(|i: usize| by_class[i].confusion.iou(id));
        if before.or(after).is_some() {
            rows += &row(format!("{}IoU of {}", swatch(id, classes), escape(name)), before, after);
        }
    }
    format!(
        "<h2>The CRF on the pictured images</h2><div class=scroll><table><tr><th>score of {} images</th><th>without</th><th>with</th>\
         <th>change</th></tr>{rows}</table></div><p class=none>It changed {:.2} % of their pixels.</p>",
        logged.images,
        100.0 * logged.changed
    )
}
