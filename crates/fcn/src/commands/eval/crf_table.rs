//! What `fcn eval --crf` prints: every score before and after, and what it gained or lost.

use fcn_core::evaluate::CrfComparison;
use segdata::metrics::Scores;

use crate::flags::crf::typed;
use crate::report;

/// The classes, the scores of the whole set, and the verdict.
pub fn text(comparison: &CrfComparison) -> String {
    let (raw, crf) = (&comparison.raw.scores, &comparison.crf.scores);
    let share = |value: Option<f64>| value.map_or("n/a".to_string(), |v| format!("{v:.4}"));
    let cells = |name: &str, before: Option<f64>, after: Option<f64>| {
        vec![name.to_string(), share(before), share(after), report::change(before, after)]
    };
    let by_class: Vec<Vec<String>> = (raw.per_class.iter().zip(&crf.per_class))
        .map(|(before, after)| {
            let mut row = cells(&before.name, before.iou, after.iou);
            row.push(before.pixels.to_string());
            row
        })
        .collect();
    type Score = fn(&Scores) -> Option<f64>;
    let all: [(&str, Score); 6] = [
        ("mIoU", |s| s.miou),
        ("pixel accuracy", |s| s.pixel_accuracy),
        ("mean accuracy", |s| s.mean_accuracy),
        ("frequency-weighted IoU", |s| s.fw_iou),
        ("boundary IoU", |s| s.boundary_iou),
        ("mean of per-image mIoU", |s| s.mean_image_iou),
    ];
    let of_the_set: Vec<Vec<String>> = all.iter().map(|(name, of)| cells(name, of(raw), of(crf))).collect();
    [
        report::table(&["class", "IoU", "with CRF", "change", "pixels"], &by_class),
        String::new(),
        report::table(&["score", "raw", "with CRF", "change"], &of_the_set),
        String::new(),
        format!("the CRF: {}", typed(&comparison.parameters)),
        format!(
            "it changed {} of the pixels of {} images; {} images are better by their own mIoU, {} worse",
            report::percent(comparison.changed),
            raw.images,
            comparison.images_better,
            comparison.images_worse
        ),
        verdict(raw.miou, crf.miou),
    ]
    .join("\n")
}

fn verdict(raw: Option<f64>, crf: Option<f64>) -> String {
    let (Some(before), Some(after)) = (raw, crf) else { return "nothing could be scored".into() };
    let numbers = format!("mIoU {before:.4} without it, {after:.4} with it ({})", report::change(raw, crf));
    match after.total_cmp(&before) {
        std::cmp::Ordering::Greater => format!("the CRF is better: {numbers}"),
        std::cmp::Ordering::Equal => format!("the CRF makes no difference: {numbers}"),
        std::cmp::Ordering::Less => {
            format!("the CRF is worse: {numbers}; `fcn crf --search` looks for parameters that are better than none")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fcn_core::evaluate::{CrfTally, Evaluation};
    use fcn_core::infer::CrfParams;
    use segdata::labels::LabelMap;
    use segdata::metrics::Tally;

    fn comparison(raw: &[u8], crf: &[u8]) -> CrfComparison {
        let map = |ids: &[u8]| LabelMap { width: ids.len(), height: 1, ids: ids.to_vec() };
        let mut tally = CrfTally::new(3);
        tally.add(&map(&[0, 0, 1, 1]), &map(raw), &map(crf)).unwrap();
        let names = ["a".to_string(), "b".into(), "c".into()];
        let scored = |tally: &Tally| Evaluation { scores: tally.scores(&names), loss: None, skipped: Vec::new() };
        CrfComparison {
            raw: scored(&tally.raw),
            crf: scored(&tally.crf),
            changed: tally.changed(),
            images_better: tally.images_better,
            images_worse: tally.images_worse,
            parameters: CrfParams::default(),
        }
    }

    #[test]
    fn before_after_and_change_are_told_by_class_and_in_all() {
        let text = text(&comparison(&[0, 1, 1, 1], &[0, 0, 1, 1]));
        let parts = [
            "a      0.5000    1.0000  +0.5000       2",
            "c         n/a       n/a                0",
            "mIoU                    0.5833    1.0000  +0.4167",
            "changed 25.00 % of the pixels of 1 images; 1 images are better by their own mIoU, 0 worse",
            "the CRF is better: mIoU 0.5833 without it, 1.0000 with it (+0.4167)",
            "--bilateral-srgb 13",
        ];
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(super::text(&comparison(&[0, 0, 1, 1], &[0, 0, 0, 0])).contains("the CRF is worse"));
        assert!(super::text(&comparison(&[0, 0, 1, 1], &[0, 0, 1, 1])).contains("no difference"));
    }
}
