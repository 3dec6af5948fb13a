//! Scores of label maps: the confusion matrix and everything computed from it.
//!
//! All counts are integers and all sums are sums of integers, so a score has the same bits for any number of threads
//! and any order of the images. A class that occurs neither in the truth nor in the predictions has no IoU: it is
//! `None`, left out of the means, and counted as absent.
//!
//! With `n_ij` the number of pixels of class `i` predicted as `j` and `t_i` all pixels of class `i` (Long, Shelhamer &
//! Darrell 2015, section 5):
//!
//! * pixel accuracy `sum n_ii / sum t_i`; mean accuracy: the mean of `n_ii / t_i` over the classes of the truth;
//! * IoU of a class `n_ii / (t_i + sum_j n_ji - n_ii)`; mIoU: its mean over the classes present in truth or prediction;
//! * frequency-weighted IoU `sum t_i IoU_i / sum t_i`.

mod boundary;

pub use boundary::{BoundaryCounts, band_radius_px};

use crate::error::{Error, Result};
use crate::labels::{LabelMap, VOID};

/// How many pixels of each true class were predicted as each class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// `[truth][prediction]`, row-major.
    counts: Vec<u64>,
    /// Pixels of each true class whose prediction is no class at all.
    unclassified: Vec<u64>,
    void_pixels: u64,
    truth_out_of_range: u64,
}

impl ConfusionMatrix {
    /// An empty matrix for ids `0..classes`; at most 255 classes, since 255 is [`VOID`].
    pub fn new(classes: usize) -> Self {
        debug_assert!(classes <= usize::from(VOID), "{classes} classes do not fit below the void id {VOID}");
        ConfusionMatrix {
            classes,
            counts: vec![0; classes * classes],
            unclassified: vec![0; classes],
            void_pixels: 0,
            truth_out_of_range: 0,
        }
    }

    /// Adds one image. Pixels whose truth is [`VOID`] count nowhere. A labelled pixel predicted as void or as an id
    /// that is no class is wrong: it lowers the accuracy and the IoU of its true class. Truth that is neither void nor
    /// a class cannot be scored; it is only counted, in [`truth_out_of_range`](Self::truth_out_of_range).
    ///
    /// Fails when the two maps differ in size.
    pub fn add(&mut self, truth: &LabelMap, prediction: &LabelMap) -> Result<()> {
        same_size(truth, prediction)?;
        // Counted in a flat table of all 256 x 256 pairs: no branch in the loop over pixels.
        let mut pairs = vec![0u64; 256 * 256];
        for (&t, &p) in truth.ids.iter().zip(&prediction.ids) {
            pairs[usize::from(t) << 8 | usize::from(p)] += 1;
        }
        for (truth_id, row) in pairs.chunks_exact(256).enumerate() {
            let (hits, misses) = row.split_at(self.classes);
            let missed: u64 = misses.iter().sum();
            if truth_id < self.classes {
                let first = truth_id * self.classes;
                for (count, hit) in self.counts[first..first + self.classes].iter_mut().zip(hits) {
                    *count += hit;
                }
                self.unclassified[truth_id] += missed;
            } else {
                let pixels = hits.iter().sum::<u64>() + missed;
                match truth_id == usize::from(VOID) {
                    true => self.void_pixels += pixels,
                    false => self.truth_out_of_range += pixels,
                }
            }
        }
        Ok(())
    }

    /// Adds the counts of another matrix over the same classes.
    pub fn merge(&mut self, other: &ConfusionMatrix) {
        assert_eq!(self.classes, other.classes, "matrices over different class lists cannot be added");
        let add = |into: &mut [u64], from: &[u64]| into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        add(&mut self.counts, &other.counts);
        add(&mut self.unclassified, &other.unclassified);
        self.void_pixels += other.void_pixels;
        self.truth_out_of_range += other.truth_out_of_range;
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Pixels of class `truth` predicted as class `prediction`.
    pub fn count(&self, truth: usize, prediction: usize) -> u64 {
        self.counts[truth * self.classes + prediction]
    }

    /// The matrix, rows truth, columns prediction.
    pub fn rows(&self) -> Vec<Vec<u64>> {
        self.counts.chunks(self.classes.max(1)).map(<[u64]>::to_vec).collect()
    }

    /// All pixels of class `truth`, however predicted.
    pub fn truth_pixels(&self, truth: usize) -> u64 {
        let row = &self.counts[truth * self.classes..(truth + 1) * self.classes];
        row.iter().sum::<u64>() + self.unclassified[truth]
    }

    /// All labelled pixels predicted as class `prediction`.
    pub fn predicted_pixels(&self, prediction: usize) -> u64 {
        (0..self.classes).map(|truth| self.count(truth, prediction)).sum()
    }

    /// Labelled pixels: those that count.
    pub fn labelled_pixels(&self) -> u64 {
        (0..self.classes).map(|truth| self.truth_pixels(truth)).sum()
    }

    /// Pixels whose truth is void.
    pub fn void_pixels(&self) -> u64 {
        self.void_pixels
    }

    /// Labelled pixels whose prediction is no class.
    pub fn unclassified_pixels(&self) -> u64 {
        self.unclassified.iter().sum()
    }

    /// Pixels whose truth is neither void nor a class.
    pub fn truth_out_of_range(&self) -> u64 {
        self.truth_out_of_range
    }

    /// `n_ii / (t_i + sum_j n_ji - n_ii)`; `None` for a class in neither truth nor prediction.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let both = self.count(class, class);
        ratio(both, self.truth_pixels(class) + self.predicted_pixels(class) - both)
    }

    /// `n_ii / t_i`; `None` for a class that is not in the truth.
    pub fn accuracy(&self, class: usize) -> Option<f64> {
        ratio(self.count(class, class), self.truth_pixels(class))
    }

    /// Share of the labelled pixels that are right; `None` without labelled pixels.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        ratio((0..self.classes).map(|c| self.count(c, c)).sum(), self.labelled_pixels())
    }

    /// Mean of the accuracy over the classes of the truth.
    pub fn mean_accuracy(&self) -> Option<f64> {
        mean((0..self.classes).map(|c| self.accuracy(c)))
    }

    /// Mean of the IoU over the classes present in truth or prediction.
    pub fn miou(&self) -> Option<f64> {
        mean((0..self.classes).map(|c| self.iou(c)))
    }

    /// Mean of the IoU weighted by the pixels of the truth.
    pub fn fw_iou(&self) -> Option<f64> {
        let labelled = self.labelled_pixels();
        let weighted =
            (0..self.classes).filter_map(|c| self.iou(c).map(|iou| self.truth_pixels(c) as f64 * iou)).sum::<f64>();
        (labelled > 0).then(|| weighted / labelled as f64)
    }
}

/// Everything counted over a set of images; merged from any number of parts in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Pixel pairs.
    pub confusion: ConfusionMatrix,
    /// Pixels of the bands along the contours.
    pub boundary: BoundaryCounts,
    /// Images added.
    pub images: u64,
    /// Images that had at least one labelled pixel.
    pub scored_images: u64,
    /// Sum of the images' own mIoU in units of 2^-52, so that the order of addition does not matter.
    image_miou_sum: u128,
}

const IMAGE_MIOU_UNIT: f64 = (1u64 << 52) as f64;

impl Tally {
    /// Nothing counted yet, for ids `0..classes`.
    pub fn new(classes: usize) -> Self {
        Tally {
            confusion: ConfusionMatrix::new(classes),
            boundary: BoundaryCounts::new(classes),
            images: 0,
            scored_images: 0,
            image_miou_sum: 0,
        }
    }

    /// Counts one image and returns its own mIoU (`None` when every pixel is void). Fails when the maps differ in size.
    pub fn add(&mut self, truth: &LabelMap, prediction: &LabelMap) -> Result<Option<f64>> {
        let mut own = ConfusionMatrix::new(self.confusion.classes);
        own.add(truth, prediction)?;
        self.boundary.add(truth, prediction)?;
        self.confusion.merge(&own);
        self.images += 1;
        let miou = own.miou();
        if let Some(miou) = miou {
            self.scored_images += 1;
            self.image_miou_sum += (miou * IMAGE_MIOU_UNIT).round() as u128;
        }
        Ok(miou)
    }

    /// Adds what another tally over the same classes counted.
    pub fn merge(&mut self, other: &Tally) {
        self.confusion.merge(&other.confusion);
        self.boundary.merge(&other.boundary);
        self.images += other.images;
        self.scored_images += other.scored_images;
        self.image_miou_sum += other.image_miou_sum;
    }

    /// Mean over the images of each image's own mIoU: not the mIoU of the set, and usually higher.
    pub fn mean_image_iou(&self) -> Option<f64> {
        (self.scored_images > 0).then(|| self.image_miou_sum as f64 / IMAGE_MIOU_UNIT / self.scored_images as f64)
    }

    /// All scores, with a row a class.
    pub fn scores(&self, names: &[String]) -> Scores {
        let matrix = &self.confusion;
        let per_class: Vec<ClassScore> = (0..matrix.classes)
            .map(|id| ClassScore {
                id,
                name: names.get(id).cloned().unwrap_or_else(|| id.to_string()),
                iou: matrix.iou(id),
                accuracy: matrix.accuracy(id),
                boundary_iou: self.boundary.iou(id),
                pixels: matrix.truth_pixels(id),
            })
            .collect();
        Scores {
            images: self.images,
            pixel_accuracy: matrix.pixel_accuracy(),
            mean_accuracy: matrix.mean_accuracy(),
            miou: matrix.miou(),
            fw_iou: matrix.fw_iou(),
            boundary_iou: self.boundary.mean_iou(),
            mean_image_iou: self.mean_image_iou(),
            classes_scored: per_class.iter().filter(|c| c.iou.is_some()).count(),
            classes_absent: per_class.iter().filter(|c| c.iou.is_none()).count(),
            labelled_pixels: matrix.labelled_pixels(),
            void_pixels: matrix.void_pixels(),
            unclassified_pixels: matrix.unclassified_pixels(),
            per_class,
            confusion: matrix.rows(),
        }
    }
}

/// The scores of a set of images. Every share is in `[0, 1]`; `None` (JSON `null`) where there is nothing to divide by.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scores {
    /// Images scored.
    pub images: u64,
    /// Share of the labelled pixels that are right.
    pub pixel_accuracy: Option<f64>,
    /// Mean over the classes of the truth of the share of their pixels that are right.
    pub mean_accuracy: Option<f64>,
    /// Mean IoU over the classes present in truth or prediction, from the counts of all images together.
    pub miou: Option<f64>,
    /// IoU weighted by how often each class occurs.
    pub fw_iou: Option<f64>,
    /// Mean IoU of the bands along the contours (Cheng et al. 2021), from the counts of all images together.
    pub boundary_iou: Option<f64>,
    /// Mean over the images of each image's own mIoU.
    pub mean_image_iou: Option<f64>,
    /// Classes present in truth or prediction.
    pub classes_scored: usize,
    /// Classes in neither.
    pub classes_absent: usize,
    /// Pixels that count.
    pub labelled_pixels: u64,
    /// Pixels whose truth is void.
    pub void_pixels: u64,
    /// Labelled pixels predicted as void or as an id that is no class; they count as wrong.
    pub unclassified_pixels: u64,
    /// A row a class, by id.
    pub per_class: Vec<ClassScore>,
    /// Rows truth, columns prediction.
    pub confusion: Vec<Vec<u64>>,
}

/// The scores of one class.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ClassScore {
    /// Class id.
    pub id: usize,
    /// Class name.
    pub name: String,
    /// Intersection over union; `None` for a class in neither truth nor prediction.
    pub iou: Option<f64>,
    /// Share of its pixels that are right; `None` for a class that is not in the truth.
    pub accuracy: Option<f64>,
    /// IoU of the bands along its contours.
    pub boundary_iou: Option<f64>,
    /// Its pixels in the truth.
    pub pixels: u64,
}

/// `part / whole`, or `None` where the whole is empty.
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Mean of the values that exist.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, n) = values.flatten().fold((0.0, 0u64), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / n as f64)
}

fn same_size(truth: &LabelMap, prediction: &LabelMap) -> Result<()> {
    if (truth.width, truth.height) == (prediction.width, prediction.height) {
        return Ok(());
    }
    Err(Error::data(format!(
        "the prediction is {}x{} and the truth {}x{}; scores compare pixel with pixel",
        prediction.width, prediction.height, truth.width, truth.height
    ))
    .hint("save predictions at the size of the photographs, resized with nearest neighbour"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Rng};

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
        matrix.add(&LabelMap::filled(64, 64, 1), &LabelMap::filled(64, 64, 1)).unwrap();
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
}
