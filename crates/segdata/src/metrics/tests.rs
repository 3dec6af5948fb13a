//! Scores against slow twins, small cases by hand, and NumPy.

use super::confusion::ConfusionMatrix;
use super::tally::Tally;
use crate::labels::LabelMap;
use crate::rng::{Purpose, Rng};
use crate::size::Size;

fn map(width: usize, ids: &[u8]) -> LabelMap {
    LabelMap { width, height: ids.len() / width, ids: ids.to_vec() }
}

fn noise(seed: u64, width: usize, height: usize, ids: &[u8]) -> LabelMap {
    let mut rng = Rng::derive(seed, Purpose::Bench, &[width as u64, height as u64]);
    LabelMap { width, height, ids: (0..width * height).map(|_| ids[rng.below(ids.len())]).collect() }
}

/// The slow twin: one pass over the pixels for every pair of classes.
fn slow_counts(classes: usize, truth: &LabelMap, prediction: &LabelMap) -> Vec<Vec<u64>> {
    let pairs = || truth.ids.iter().zip(&prediction.ids);
    (0..classes)
        .map(|t| {
            (0..classes)
                .map(|p| pairs().filter(|&(&a, &b)| usize::from(a) == t && usize::from(b) == p).count() as u64)
                .collect()
        })
        .collect()
}

#[test]
fn counting_equals_the_slow_twin() {
    for (seed, classes) in [(1, 1), (2, 2), (3, 7), (4, 255)] {
        let ids: Vec<u8> = (0..=255).collect();
        let (truth, prediction) = (noise(seed, 61, 37, &ids), noise(seed + 100, 61, 37, &ids));
        let mut matrix = ConfusionMatrix::new(classes);
        matrix.add(&truth, &prediction).unwrap();
        assert_eq!(matrix.rows(), slow_counts(classes, &truth, &prediction), "{classes} classes");
        let accounted = matrix.labelled_pixels() + matrix.void_pixels() + matrix.truth_out_of_range();
        assert_eq!(accounted, 61 * 37, "{classes} classes: every pixel is counted once");
    }
}

#[test]
fn scores_of_small_cases() {
    struct Case {
        what: &'static str,
        truth: &'static [u8],
        prediction: &'static [u8],
        pixel_accuracy: Option<f64>,
        mean_accuracy: Option<f64>,
        miou: Option<f64>,
        fw_iou: Option<f64>,
        absent: usize,
    }
    let case = |what, truth, prediction, pixel_accuracy, mean_accuracy, miou, fw_iou, absent| Case {
        what,
        truth,
        prediction,
        pixel_accuracy,
        mean_accuracy,
        miou,
        fw_iou,
        absent,
    };
    let one = Some(1.0);
    let cases = [
        case("perfect, class 2 absent", &[0, 0, 1, 1], &[0, 0, 1, 1], one, one, one, one, 1),
        case("all wrong", &[0, 0, 1, 1], &[1, 1, 0, 0], Some(0.), Some(0.), Some(0.), Some(0.), 1),
        case("void truth counts nowhere", &[0, 255, 1, 255], &[0, 1, 1, 0], one, one, one, one, 1),
        case("all void", &[255; 4], &[0, 1, 2, 1], None, None, None, None, 3),
        case("predicted only", &[0, 0, 0, 0], &[0, 0, 0, 2], Some(0.75), Some(0.75), Some(0.375), Some(0.75), 1),
        case(
            "void predicted is wrong",
            &[0, 0, 1, 1],
            &[0, 255, 1, 1],
            Some(0.75),
            Some(0.75),
            Some(0.75),
            Some(0.75),
            1,
        ),
        case(
            "unknown predicted is wrong",
            &[0, 0, 1, 1],
            &[0, 9, 1, 1],
            Some(0.75),
            Some(0.75),
            Some(0.75),
            Some(0.75),
            1,
        ),
        case("unknown truth is not scored", &[0, 7, 1, 1], &[0, 0, 1, 1], one, one, one, one, 1),
    ];
    let mut wrong = Vec::new();
    for c in &cases {
        let mut tally = Tally::new(3);
        tally.add(&map(2, c.truth), &map(2, c.prediction)).unwrap();
        let s = tally.scores(&[]);
        let found = (s.pixel_accuracy, s.mean_accuracy, s.miou, s.fw_iou, s.classes_absent);
        let expected = (c.pixel_accuracy, c.mean_accuracy, c.miou, c.fw_iou, c.absent);
        if found != expected {
            wrong.push(format!("{}: expected {expected:?}, found {found:?}", c.what));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sizes_must_agree() {
    let error = Tally::new(2).add(&map(2, &[0; 4]), &map(1, &[0; 4])).unwrap_err();
    assert!(error.message.contains("1x4") && error.message.contains("2x2"), "{error}");
}

#[test]
fn any_order_and_any_grouping_gives_the_same_bits() {
    let pairs: Vec<_> =
        (0..40).map(|i| (noise(i, 17, 13, &[0, 1, 2, 3, 255]), noise(i + 500, 17, 13, &[0, 1, 2, 3]))).collect();
    let count = |pairs: &[(LabelMap, LabelMap)]| {
        let mut tally = Tally::new(5);
        pairs.iter().for_each(|(t, p)| assert!(tally.add(t, p).is_ok()));
        tally
    };
    let whole = count(&pairs);
    for seed in 0..5 {
        let mut shuffled = pairs.clone();
        Rng::derive(seed, Purpose::Shuffle, &[]).shuffle(&mut shuffled);
        let (left, right) = shuffled.split_at(7 + seed as usize);
        let mut merged = count(right);
        merged.merge(&count(left));
        assert_eq!(merged, whole, "order {seed}");
        assert_eq!(merged.mean_image_iou().map(f64::to_bits), whole.mean_image_iou().map(f64::to_bits));
    }
}

#[test]
fn counts_do_not_overflow_32_bits() {
    let mut matrix = ConfusionMatrix::new(2);
    matrix.add(&LabelMap::filled(Size::new(64, 64), 1), &LabelMap::filled(Size::new(64, 64), 1)).unwrap();
    for _ in 0..24 {
        let copy = matrix.clone();
        matrix.merge(&copy);
    }
    assert_eq!(matrix.count(1, 1), 1 << 36);
    assert_eq!(matrix.miou(), Some(1.0));
}

#[test]
fn scores_are_json_with_null_for_absent_classes() {
    let mut tally = Tally::new(2);
    tally.add(&map(2, &[0, 0]), &map(2, &[0, 0])).unwrap();
    let json = serde_json::to_value(tally.scores(&["a".into(), "b".into()])).unwrap();
    assert_eq!(json["miou"], 1.0);
    assert!(json["per_class"][1]["iou"].is_null());
    assert_eq!(json["per_class"][1]["name"], "b");
    assert_eq!(json["confusion"], serde_json::json!([[2, 0], [0, 0]]));
}

/// Golden numbers of `reference/metrics_golden.py` (numpy, scikit-style definitions written out there).
#[test]
fn scores_equal_numpys() {
    let text = include_str!("../../../../testdata/metrics/golden.json");
    let golden: serde_json::Value = serde_json::from_str(text).unwrap();
    let classes = golden["classes"].as_u64().unwrap() as usize;
    let mut wrong = Vec::new();
    for group in golden["groups"].as_array().unwrap() {
        let mut tally = Tally::new(classes);
        for image in group["images"].as_array().unwrap() {
            let width = image["width"].as_u64().unwrap() as usize;
            let ids = |key: &str| -> Vec<u8> { decode_runs(image[key].as_str().unwrap()) };
            tally.add(&map(width, &ids("truth")), &map(width, &ids("prediction"))).unwrap();
        }
        let found = serde_json::to_value(tally.scores(&[])).unwrap();
        for (key, expected) in group["scores"].as_object().unwrap() {
            let close = match (found[key].as_f64(), expected.as_f64()) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-12,
                (a, b) => a == b && found[key] == *expected,
            };
            if !close {
                wrong.push(format!("{} {key}: numpy {expected}, found {}", group["name"], found[key]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `"3*0 2*255"` -> `[0, 0, 0, 255, 255]`.
fn decode_runs(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .flat_map(|run| {
            let (n, id) = run.split_once('*').unwrap();
            vec![id.parse::<u8>().unwrap(); n.parse().unwrap()]
        })
        .collect()
}

#[test]
fn a_truth_of_one_class_is_remarked_on() {
    let names = ["background".to_string(), "cell".to_string()];
    let remark = |ids: Vec<u8>| {
        let truth = LabelMap { width: ids.len(), height: 1, ids };
        let mut tally = Tally::new(2);
        tally.add(&truth, &LabelMap::filled(truth.size(), 0)).unwrap();
        tally.scores(&names).one_class()
    };
    assert_eq!(remark(vec![0, 1, 255, 255]), None);
    assert!(
        remark(vec![0, 0, 255, 255]).is_some_and(|s| s.contains("only class `background`") && s.contains("50.0 %"))
    );
    assert!(remark(vec![255; 4]).is_some_and(|s| s.contains("only void") && s.contains("100.0 %")));
}
