//! The scores of one validation, as they are logged.

use serde::Serialize;

use crate::evaluate::Evaluation;
use segdata::metrics::Tally;

/// The scores of one validation.
#[derive(Clone, Debug, Serialize)]
pub struct Validation {
    /// The step it was at.
    #[serde(skip)]
    pub step: u64,
    /// All scores.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// The scores of the pictured images, where they went through the CRF.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pictured: Option<PicturedScores>,
    /// The images with the lowest mIoU of their own, the lowest first: at most [`WORST`].
    pub worst: Vec<ImageScore>,
}

/// How many of the worst images are named.
pub const WORST: usize = 10;

/// One image and its own score.
#[derive(Clone, Debug, Serialize)]
pub struct ImageScore {
    /// Sample id.
    pub id: String,
    /// Mean IoU over the classes in the image or its prediction, 0 to 1.
    pub miou: f64,
}

/// The images whose pictures are saved, scored without the CRF and with it.
#[derive(Clone, Debug, Serialize)]
pub struct PicturedScores {
    /// Images.
    pub images: u64,
    /// Of the network's own label maps.
    pub raw: ShortScores,
    /// Of the label maps after the CRF.
    pub crf: ShortScores,
    /// Share of the pixels that the CRF changed.
    pub changed: f64,
    /// Time that the CRF took, with the second pass through the network that it needs.
    pub seconds: f64,
}

/// The scores that a few images allow.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ShortScores {
    /// Mean IoU over the classes present, 0 to 1.
    pub miou: Option<f64>,
    /// Share of the labelled pixels that are right.
    pub pixel_accuracy: Option<f64>,
    /// Mean IoU of the bands along contours.
    pub boundary_iou: Option<f64>,
}

impl From<&Tally> for ShortScores {
    fn from(tally: &Tally) -> Self {
        let matrix = &tally.confusion;
        let boundary_iou = tally.boundary.mean_iou();
        ShortScores { miou: matrix.miou(), pixel_accuracy: matrix.pixel_accuracy(), boundary_iou }
    }
}

impl Validation {
    /// Mean IoU over the classes present, 0 to 1.
    pub fn miou(&self) -> Option<f64> {
        self.evaluation.scores.miou
    }

    /// The curves that it is a point of, by name.
    pub fn curves(&self) -> Vec<(String, Option<f64>)> {
        let (scores, pictured) = (&self.evaluation.scores, self.pictured.as_ref());
        let all = [
            ("loss", self.evaluation.loss),
            ("miou", scores.miou),
            ("pixel_accuracy", scores.pixel_accuracy),
            ("mean_accuracy", scores.mean_accuracy),
            ("fw_iou", scores.fw_iou),
            ("boundary_iou", scores.boundary_iou),
            ("pictured_miou", pictured.and_then(|p| p.raw.miou)),
            ("pictured_miou_crf", pictured.and_then(|p| p.crf.miou)),
        ];
        let of_classes = scores.per_class.iter().map(|class| (format!("iou/{}", class.name), class.iou));
        all.into_iter().map(|(name, value)| (name.to_string(), value)).chain(of_classes).collect()
    }

    /// One line for a log.
    pub fn line(&self) -> String {
        let scores = &self.evaluation.scores;
        format!(
            "validation at step {}: mIoU {}  pixel accuracy {}  mean accuracy {}  fwIoU {}  loss {}",
            self.step,
            number(scores.miou),
            number(scores.pixel_accuracy),
            number(scores.mean_accuracy),
            number(scores.fw_iou),
            number(self.evaluation.loss)
        )
    }

    /// One more line for a log, on what the CRF does to the pictured images.
    pub fn crf_line(&self) -> Option<String> {
        self.pictured.as_ref().map(|p| {
            format!(
                "  CRF on the {} pictured images: mIoU {} -> {}  pixel accuracy {} -> {}  boundary IoU {} -> {}  ({:.1} s)",
                p.images,
                number(p.raw.miou),
                number(p.crf.miou),
                number(p.raw.pixel_accuracy),
                number(p.crf.pixel_accuracy),
                number(p.raw.boundary_iou),
                number(p.crf.boundary_iou),
                p.seconds
            )
        })
    }
}

/// Takes an image in among the [`WORST`]; of equal ones the earlier stays before the later.
pub fn keep_the_worst(worst: &mut Vec<ImageScore>, id: &str, miou: f64) {
    let at = worst.partition_point(|other| other.miou <= miou);
    if at < WORST {
        worst.insert(at, ImageScore { id: id.to_string(), miou });
        worst.truncate(WORST);
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or("n/a".to_string(), |value| format!("{value:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_images_are_kept_in_order() {
        let mut worst = Vec::new();
        for i in 0..30 {
            keep_the_worst(&mut worst, &i.to_string(), f64::from(i * 7 % 30 / 2));
        }
        let scores: Vec<f64> = worst.iter().map(|image| image.miou).collect();
        assert_eq!(scores, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
        assert_eq!((worst[0].id.as_str(), worst[1].id.as_str()), ("0", "13"));
    }
}
