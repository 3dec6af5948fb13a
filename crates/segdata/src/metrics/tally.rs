//! Everything counted over a set of images, and all scores of it.

use super::boundary::BoundaryCounts;
use super::confusion::ConfusionMatrix;
use crate::error::Result;
use crate::labels::LabelMap;

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
        let mut own = ConfusionMatrix::new(self.confusion.classes());
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
        let per_class: Vec<ClassScore> = (0..matrix.classes())
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

impl Scores {
    /// What makes these scores meaningless: a truth in which fewer than two classes occur. `None` where two or more do.
    pub fn one_class(&self) -> Option<String> {
        let mut present = self.per_class.iter().filter(|class| class.pixels > 0);
        let class = present.next().map_or("void".into(), |class| format!("class `{}`", class.name));
        if present.next().is_some() {
            return None;
        }
        let void = 100.0 * self.void_pixels as f64 / (self.void_pixels + self.labelled_pixels).max(1) as f64;
        Some(format!(
            "only {class} occurs in the truth, so there is nothing to distinguish and the scores mean nothing; {void:.1} % of \
             the truth is void: see whether that was meant as a class"
        ))
    }
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
