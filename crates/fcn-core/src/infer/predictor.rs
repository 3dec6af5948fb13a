//! A photograph in, a label map at its own size out: the one path from a network to a prediction, used by `eval`,
//! validation, `predict` and whatever serves the network.
//!
//! `K` classes, `H x W` pixels. A photograph is normalised as its weights say and goes through the network whole if the
//! activations fit [`ACTIVATION_BUDGET_BYTES`]. A larger one goes through in tiles that overlap by a margin on every side,
//! of which only the inner part is kept. Tiles start at multiples of the network's stride, and the margin covers all that
//! a pixel's score depends on ([`Graph::margin`]: 256 pixels for an FCN), so that the label map is the one that the whole
//! photograph would give. Which tiles there are depends on the network and the size of the
//! photograph alone, not on the machine.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::device::values::with_values;
use crate::environment::gib;
use crate::loss::{PixelLoss, Reduction, valid_pixels};
use crate::network::ModelMeta;
use crate::network::graph::Graph;
use crate::network::{Frozen, Network, WeightForm};
use crate::{Error, ErrorKind, Result};
use segdata::image::RgbImage;
use segdata::image::preprocessing::Normaliser;
use segdata::labels::{LabelMap, most_likely};
use segdata::size::Size;

/// Activations that one pass may hold, in bytes, by the estimate of [`Predictor::activation_bytes_per_pixel`].
pub const ACTIVATION_BUDGET_BYTES: u64 = 3 << 30;

/// Probabilities that may be asked for at once, in bytes.
const MAX_PROBABILITY_BYTES: u64 = 4 << 30;

/// Pixels that one task turns from scores into probabilities.
const PIXELS_PER_TASK: usize = 8192;

/// Turns photographs into label maps. Holds a network and nothing that changes.
#[derive(Clone, Debug)]
pub struct Predictor {
    network: Arc<Frozen>,
    normaliser: Normaliser,
    budget_bytes: u64,
}

/// The summed cross-entropy of a prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SummedLoss {
    /// Sum over the valid pixels, in nats.
    pub nats: f64,
    /// Valid pixels.
    pub pixels: u64,
}

/// The label map, and what else was asked for.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The most probable class of each pixel; of equal ones the lowest id.
    pub labels: LabelMap,
    /// Softmax of the scores, `[K, H, W]` in C order, if asked for.
    pub probabilities: Option<Vec<f32>>,
    /// Cross-entropy of the scores against the truth; zero of zero pixels where none was given.
    pub loss: SummedLoss,
}

/// What a prediction computes besides the label map.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra<'a> {
    /// Whether the probabilities are wanted: `4 K` bytes a pixel, at most 4 GiB.
    pub probabilities: bool,
    /// The truth, where the loss against it is wanted.
    pub truth: Option<&'a LabelMap>,
}

impl Predictor {
    /// A predictor on the device that the network is on. The network may be in training: only running statistics are
    /// used, nothing is dropped and no gradient kept.
    pub fn new(fcn: Network) -> Self {
        Self::with_weights(fcn, WeightForm::Transformed)
    }

    /// As [`new`](Self::new), with a choice between speed and memory.
    pub fn with_weights(fcn: Network, form: WeightForm) -> Self {
        let normaliser = Normaliser::new(&fcn.meta.preprocessing);
        Predictor { network: Arc::new(Frozen::new(fcn, form)), normaliser, budget_bytes: ACTIVATION_BUDGET_BYTES }
    }

    /// What network it uses.
    pub fn meta(&self) -> &ModelMeta {
        self.network.meta()
    }

    /// The label map of a photograph of any size, at that size.
    ///
    /// # Errors
    /// A photograph without pixels; scores that are not finite; a device that fails.
    pub fn predict(&self, image: &RgbImage) -> Result<LabelMap> {
        Ok(self.predict_with(image, Extra::default())?.labels)
    }

    /// The label map, and probabilities or loss if wished.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); probabilities of more than 4 GiB; a truth of another size or with ids that the
    /// network does not know.
    pub fn predict_with(&self, image: &RgbImage, extra: Extra) -> Result<Prediction> {
        if let Some(truth) = extra.truth
            && (truth.width, truth.height) != (image.width, image.height)
        {
            return Err(Error::data(format!(
                "the mask is {}x{} and the photograph {}x{}",
                truth.width, truth.height, image.width, image.height
            )));
        }
        self.pass(image, extra)
    }

    /// Estimate of what one pass holds at once for each pixel of its input: the larger of the maps that are
    /// alive at once (of an FCN a convolution's input and output in the first stage) and the scores (in the frame, without it, and the best of each pixel), beside
    /// the photograph and its planes. The kernels unfold nothing: a pass over 2048 x 2048 pixels at width 0.25 was
    /// measured at 152 bytes a pixel, the estimate for its first stage.
    pub fn activation_bytes_per_pixel(meta: &ModelMeta) -> u64 {
        let maps = meta.graph().peak_values_per_pixel().ceil() as u64;
        let classes = meta.classes.len() as u64;
        4 * (maps.max(3 * classes) + 6)
    }

    fn pass(&self, image: &RgbImage, extra: Extra) -> Result<Prediction> {
        let (width, height, classes) = (image.width, image.height, self.network.meta().classes.len());
        let pixels = width * height;
        if pixels == 0 || image.rgb_hwc.len() != pixels * 3 {
            let bytes = image.rgb_hwc.len();
            return Err(Error::internal(format!("a photograph of {width}x{height} with {bytes} bytes")));
        }
        let mut labels = LabelMap::filled(Size { width, height }, 0);
        let mut probabilities = match extra.probabilities {
            true => Some(room_for_probabilities(classes, pixels)?),
            false => None,
        };
        let mut loss = SummedLoss::default();
        for tile in tiles(self.network.meta(), width, height, self.budget_bytes) {
            let logits = self.tile_logits(image, &tile); // [1, K, kept H, kept W]
            if let Some(truth) = extra.truth {
                loss.add(tile_loss(&logits, truth, &tile)?);
            }
            let (rows, columns) = (tile.rows.kept.clone(), tile.columns.kept.clone());
            let ids = with_values(&logits, |scores| most_likely(scores, classes))?.ok_or_else(|| {
                Error::weights("the network's scores are not finite: there is no most likely class")
                    .hint("these weights come from a training that diverged; use an earlier checkpoint")
            })?;
            for (y, line) in rows.clone().zip(ids.chunks(columns.len())) {
                labels.ids[y * width + columns.start..][..columns.len()].copy_from_slice(line);
            }
            if let Some(all) = &mut probabilities {
                with_values(&logits, |scores| {
                    let values = softmax(scores, classes);
                    for (class, plane) in values.chunks(rows.len() * columns.len()).enumerate() {
                        for (y, line) in rows.clone().zip(plane.chunks(columns.len())) {
                            all[class * pixels + y * width + columns.start..][..columns.len()].copy_from_slice(line);
                        }
                    }
                })?;
            }
        }
        Ok(Prediction { labels, probabilities, loss })
    }

    /// The scores of the part of a tile that is kept, `[1, K, H, W]`.
    fn tile_logits(&self, image: &RgbImage, tile: &Tile) -> Tensor<4> {
        let (rows, columns) = (tile.rows.seen.len(), tile.columns.seen.len());
        // Where the frame around the photograph is part of a tile it is zero, as in a whole pass.
        let mut planes = vec![0.0f32; 3 * rows * columns];
        let inside = tile.columns.inside(image.width);
        for y in tile.rows.inside(image.height) {
            let line = (y as usize * image.width + inside.start as usize) * 3;
            let start =
                (y - tile.rows.seen.start) as usize * columns + (inside.start - tile.columns.seen.start) as usize;
            let pixels = &image.rgb_hwc[line..line + (inside.end - inside.start) as usize * 3];
            self.normaliser.write(pixels, &mut planes, rows * columns, start);
        }
        let input = TensorData::new(planes, [1, 3, rows, columns]);
        let logits = self.network.forward(Tensor::from_data(input, &self.network.device()));
        let (y, x) = (tile.rows.offset(), tile.columns.offset());
        let (kept_rows, kept_columns) = (tile.rows.kept.len(), tile.columns.kept.len());
        if (kept_rows, kept_columns) == (rows, columns) {
            return logits;
        }
        logits.narrow(2, y, kept_rows).narrow(3, x, kept_columns)
    }
}

impl SummedLoss {
    /// Adds the loss of other pixels.
    pub fn add(&mut self, other: SummedLoss) {
        self.nats += other.nats;
        self.pixels += other.pixels;
    }

    /// Mean over the pixels; `None` where there are none.
    pub fn mean(&self) -> Option<f64> {
        (self.pixels > 0).then(|| self.nats / self.pixels as f64)
    }
}

fn tile_loss(logits: &Tensor<4>, truth: &LabelMap, tile: &Tile) -> Result<SummedLoss> {
    let columns = tile.columns.kept.clone();
    let ids: Vec<u8> = tile
        .rows
        .kept
        .clone()
        .flat_map(|y| &truth.ids[y * truth.width + columns.start..y * truth.width + columns.end])
        .copied()
        .collect();
    let sum = PixelLoss { reduction: Reduction::Sum }.sum(logits.clone(), &ids)?;
    Ok(SummedLoss { nats: with_values(&sum, |v| f64::from(v[0]))?, pixels: valid_pixels(&ids) })
}

fn room_for_probabilities(classes: usize, pixels: usize) -> Result<Vec<f32>> {
    let bytes = 4 * classes as u64 * pixels as u64;
    if bytes > MAX_PROBABILITY_BYTES {
        return Err(Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "the probabilities of {classes} classes for {pixels} pixels take {}; at most {} are held at once",
                gib(bytes),
                gib(MAX_PROBABILITY_BYTES)
            ),
        )
        .hint("cut the photograph into parts, or ask for the label map alone"));
    }
    Ok(vec![0.0; classes * pixels])
}

/// Softmax over the classes of `[K, pixels]`.
fn softmax(scores: &[f32], classes: usize) -> Vec<f32> {
    let pixels = scores.len() / classes;
    let sums: Vec<(f32, f32)> = (0..pixels)
        .into_par_iter()
        .with_min_len(PIXELS_PER_TASK)
        .map(|i| {
            let of = |class: usize| scores[class * pixels + i];
            let highest = (0..classes).map(of).fold(f32::NEG_INFINITY, f32::max);
            (highest, (0..classes).map(|class| (of(class) - highest).exp()).sum())
        })
        .collect();
    let mut out = vec![0.0; scores.len()];
    out.par_chunks_mut(pixels.max(1)).zip(scores.par_chunks(pixels.max(1))).for_each(|(out, scores)| {
        for ((p, score), (highest, sum)) in out.iter_mut().zip(scores).zip(&sums) {
            *p = (score - highest).exp() / sum;
        }
    });
    out
}

/// One direction of a tile, in pixels of the photograph; what is seen may reach into the frame around it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    seen: Range<isize>,
    kept: Range<usize>,
}

impl Span {
    /// What is seen of a photograph with `side` pixels.
    fn inside(&self, side: usize) -> Range<isize> {
        self.seen.start.max(0)..self.seen.end.min(side as isize)
    }

    /// First kept pixel, counted from the first seen one.
    fn offset(&self) -> usize {
        (self.kept.start as isize - self.seen.start) as usize
    }
}

/// A part of a photograph that goes through the network at once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tile {
    rows: Span,
    columns: Span,
}

/// The tiles of a photograph, row by row: one if it fits the budget.
fn tiles(meta: &ModelMeta, width: usize, height: usize, budget_bytes: u64) -> Vec<Tile> {
    let affordable = budget_bytes / Predictor::activation_bytes_per_pixel(meta);
    if width as u64 * height as u64 <= affordable {
        let whole = |side: usize| Span { seen: 0..side as isize, kept: 0..side };
        return vec![Tile { rows: whole(height), columns: whole(width) }];
    }
    let grid = Grid::new(&meta.graph());
    let side = affordable.isqrt() as usize / grid.stride * grid.stride;
    let step = side.saturating_sub(2 * grid.margin).max(4 * grid.stride);
    let columns = grid.spans(width, step);
    let across = |rows: Span| columns.iter().map(move |columns| Tile { rows: rows.clone(), columns: columns.clone() });
    grid.spans(height, step).into_iter().flat_map(across).collect()
}

/// On what tiles are cut.
#[derive(Clone, Copy, Debug)]
struct Grid {
    /// Tiles start at multiples of it.
    stride: usize,
    /// Pixels that a tile overlaps its neighbours by.
    margin: usize,
    /// The multiple to which the network frames photographs.
    frame: Option<usize>,
}

impl Grid {
    fn new(graph: &Graph) -> Self {
        Grid { stride: graph.coarsest_stride(), margin: graph.margin(), frame: graph.frame() }
    }

    /// Cuts `side` pixels into parts of `step`, a multiple of the stride, and adds the margins.
    fn spans(&self, side: usize, step: usize) -> Vec<Span> {
        // The grid of the coarsest map begins with the frame that the whole photograph would get.
        let (lead, grid) = match self.frame {
            Some(multiple) => {
                let padded = side.next_multiple_of(multiple);
                ((padded - side) / 2, padded)
            }
            None => (0, side),
        };
        let mut spans = Vec::new();
        for start in (0..grid).step_by(step) {
            let seen = start.saturating_sub(self.margin)..(start + step + self.margin).min(grid);
            let kept = start.saturating_sub(lead)..(start + step).saturating_sub(lead).min(side);
            let seen = seen.start as isize - lead as isize..seen.end as isize - lead as isize;
            if !kept.is_empty() {
                spans.push(Span { seen, kept });
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Backbone, Variant};
    use crate::network::{Geometry, NetworkOptions};
    use burn::tensor::Device;
    use segdata::labels::VOID;
    use segdata::rng::{Purpose, Rng};

    fn meta(variant: Variant, geometry: Geometry) -> ModelMeta {
        ModelMeta::narrow(variant, Backbone::Vgg16, geometry, &["a", "b", "c"])
    }

    fn unet() -> ModelMeta {
        ModelMeta::narrow_unet(true, &["a", "b", "c"])
    }

    /// A network whose score layers are drawn too, so that its scores depend on the photograph.
    fn predictor(meta: ModelMeta) -> Predictor {
        let mut fcn = Network::init(meta, &NetworkOptions::default(), 1, &Device::flex());
        for (index, parameter) in fcn.parameters_mut().iter_mut().enumerate() {
            if parameter.name.starts_with("score") {
                let mut rng = Rng::derive(2, Purpose::Bench, &[index as u64]);
                let n: usize = parameter.shape.iter().product();
                let values: Vec<f32> = (0..n).map(|_| rng.normal()).collect();
                parameter.tensor = Tensor::from_data(TensorData::new(values, [n]), &Device::flex());
            }
        }
        Predictor::new(fcn)
    }

    fn photograph(width: usize, height: usize) -> RgbImage {
        let mut rng = Rng::derive(3, Purpose::Bench, &[width as u64, height as u64]);
        let waves: Vec<[f32; 4]> = (0..12).map(|_| std::array::from_fn(|_| rng.between(-0.2, 0.2))).collect();
        let value = |i: usize| {
            let (x, y, c) = ((i / 3 % width) as f32, (i / 3 / width) as f32, i % 3);
            let sum: f32 = (0..4).map(|w| (waves[4 * c + w][0] * x + waves[4 * c + w][1] * y + w as f32).sin()).sum();
            (127.0 + 30.0 * sum) as u8
        };
        RgbImage { width, height, rgb_hwc: (0..width * height * 3).map(value).collect() }
    }

    #[test]
    fn a_photograph_of_any_size_gets_a_map_of_that_size() {
        for meta in [meta(Variant::Fcn8s, Geometry::Same), meta(Variant::Fcn8s, Geometry::Caffe), unet()] {
            let predictor = predictor(meta);
            for (width, height) in [(1, 1), (31, 31), (33, 64), (100, 3), (224, 97)] {
                let labels = predictor.predict(&photograph(width, height)).unwrap();
                assert_eq!((labels.width, labels.height, labels.ids.len()), (width, height, width * height));
                assert!(labels.ids.iter().all(|&id| id < 3));
            }
        }
    }

    #[test]
    fn labels_probabilities_and_loss_agree_with_each_other() {
        let predictor = predictor(meta(Variant::Fcn16s, Geometry::Same));
        let photo = photograph(70, 45);
        let probabilities = Extra { probabilities: true, truth: None };
        let both = predictor.predict_with(&photo, probabilities).unwrap();
        let p = both.probabilities.unwrap();
        let pixels = 70 * 45;
        assert_eq!(p.len(), 3 * pixels);
        let mut truth = LabelMap::filled(Size::new(70, 45), 1);
        truth.ids[..500].fill(VOID);
        let mut expected = 0.0f64;
        for i in 0..pixels {
            let of: Vec<f32> = (0..3).map(|class| p[class * pixels + i]).collect();
            assert!((of.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(of.iter().all(|v| *v <= of[usize::from(both.labels.ids[i])]));
            expected -= if truth.ids[i] == VOID { 0.0 } else { f64::from(of[1]).ln() };
        }
        let against = |truth| Extra { probabilities: false, truth: Some(truth) };
        let Prediction { labels, loss, .. } = predictor.predict_with(&photo, against(&truth)).unwrap();
        assert_eq!(labels, both.labels);
        let all = predictor.predict_with(&photo, Extra { probabilities: true, truth: Some(&truth) }).unwrap();
        assert_eq!((all.labels, all.probabilities, all.loss), (labels, Some(p), loss));
        assert_eq!(loss.pixels, pixels as u64 - 500);
        assert!((loss.nats / expected - 1.0).abs() < 1e-4, "{} and {expected}", loss.nats);
        assert!(predictor.predict_with(&photo, against(&LabelMap::filled(Size::new(45, 70), 0))).is_err());
    }

    #[test]
    fn tiles_cover_every_pixel_once_and_start_on_the_grid() {
        for meta in [meta(Variant::Fcn8s, Geometry::Same), meta(Variant::Fcn8s, Geometry::Caffe), unet()] {
            let grid = Grid::new(&meta.graph());
            for (side, step) in [(1, 128), (1000, 128), (1001, 256), (2047, 512), (20_000, 1536)] {
                let spans = grid.spans(side, step);
                let mut next = 0;
                for span in &spans {
                    assert_eq!(span.kept.start, next, "{meta:?} {side} {step}");
                    assert!(span.seen.start <= span.kept.start as isize && span.seen.end >= span.kept.end as isize);
                    assert!(grid.frame.is_none_or(|multiple| span.seen.len() % multiple == 0));
                    next = span.kept.end;
                }
                assert_eq!(next, side, "{meta:?} {side} {step}");
            }
        }
        assert_eq!(tiles(&meta(Variant::Fcn8s, Geometry::Same), 500, 375, ACTIVATION_BUDGET_BYTES).len(), 1);
    }

    #[test]
    fn tiles_give_the_map_and_the_loss_of_the_whole_photograph() {
        let cases =
            [(meta(Variant::Fcn8s, Geometry::Same), 900), (meta(Variant::Fcn32s, Geometry::Caffe), 900), (unet(), 600)];
        for (meta, side) in cases {
            let whole = predictor(meta.clone());
            let mut tiled = whole.clone();
            tiled.budget_bytes = side * side * Predictor::activation_bytes_per_pixel(whole.meta());
            let photo = photograph(1003, 830);
            assert!(tiles(whole.meta(), 1003, 830, tiled.budget_bytes).len() > 1);
            let truth = LabelMap::filled(Size::new(1003, 830), 2);
            let against = Extra { probabilities: false, truth: Some(&truth) };
            let expected = whole.predict_with(&photo, against).unwrap();
            let found = tiled.predict_with(&photo, against).unwrap();
            let wrong = expected.labels.ids.iter().zip(&found.labels.ids).filter(|(a, b)| a != b).count();
            // Sums may be taken in another order in a pass of another size: ties can fall the other way.
            assert!(wrong <= 5, "{meta:?}: {wrong} pixels differ");
            assert!((found.loss.nats / expected.loss.nats - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn probabilities_beyond_the_limit_are_refused_before_anything_is_computed() {
        let error = room_for_probabilities(255, 20_000 * 20_000).unwrap_err();
        assert_eq!(error.kind, ErrorKind::OutOfMemory);
        assert!(error.message.contains("GiB"), "{error}");
    }
}
