//! Pixel losses with a void mask.
//!
//! `N` images, `K` classes, `H x W` pixels. Logits are `[N, K, H, W]`, labels one class id a pixel or [`VOID`].
//!
//! The loss of a pixel is `ln sum_k exp z_k - z_label`, in nats; void pixels have none, and no gradient. Its gradient
//! with respect to the logits is `softmax(z) - onehot(label)`, known in closed form. Both are computed in one pass over
//! the pixels, and the graph holds that gradient and nothing else, in recycled memory on the CPU: a chain of recorded
//! operations would hold several tensors of the logits' size.

use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;
use conv_kernels::Scratch;
use rayon::prelude::*;

use crate::cpu::tape::{Gradient, listed, record, tensor, values};
use crate::device::values::{is_host, with_values};
use crate::{Error, Result};
use segdata::labels::VOID;

/// Pixels that one task works on; small enough for its row of every class to stay in the cache.
const PIXELS_PER_TASK: usize = 2048;

/// What the summed loss is divided by before it is learnt from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// The number of valid pixels, so that the rate does not depend on the size of the crop.
    Mean,
    /// Nothing: the paper's and the published models' choice, with rates about a million times smaller.
    Sum,
}

/// Cross-entropy over valid pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelLoss {
    /// What the sum is divided by.
    pub reduction: Reduction,
}

impl PixelLoss {
    /// Sum over the valid pixels of `labels_nhw` (`N H W` ids, row-major), in nats, as a tensor of one value that carries
    /// gradients if the logits do. Exactly zero, with zero gradient, where every pixel is void.
    ///
    /// # Errors
    /// Labels that do not fit the logits: another number of pixels, or an id that is neither a class nor void.
    pub fn sum(&self, logits: Tensor<4>, labels_nhw: &[u8]) -> Result<Tensor<1>> {
        let [images, classes, rows, columns] = logits.dims();
        check_labels(labels_nhw, [images, classes, rows, columns])?;
        let (loss, gradient) =
            with_values(&logits, |values| cross_entropy(values, labels_nhw, classes, rows * columns))?;
        let loss = vec![loss as f32];
        if is_host(&logits) {
            let gradient = LossGradient(tensor(gradient, &logits.dims()));
            return Ok(record(logits, listed(loss), gradient));
        }
        let device = logits.device().inner();
        let loss = Tensor::<1>::from_data(TensorData::new(loss, [1]), &device);
        if !logits.is_autodiff() {
            return Ok(loss);
        }
        let gradient = Tensor::<4>::from_data(TensorData::new(gradient.to_vec(), logits.dims()), &device);
        // The value of this product is of no interest, its derivative is the gradient: take the value away again.
        let product = (logits * gradient.autodiff()).sum();
        Ok(product.clone() - product.detach() + loss.autodiff())
    }

    /// What a sum over `valid` pixels is divided by before it is learnt from; at least 1.
    pub fn divisor(&self, valid: u64) -> f64 {
        match self.reduction {
            Reduction::Mean => valid.max(1) as f64,
            Reduction::Sum => 1.0,
        }
    }
}

/// The gradient of the logits where that of the loss is 1.
#[derive(Clone, Debug)]
struct LossGradient(FlexTensor);

impl Gradient for LossGradient {
    fn of_input(&self, of_output: &[f32]) -> FlexTensor {
        let factor = of_output[0];
        if factor == 1.0 {
            return self.0.clone();
        }
        let from = values(&self.0);
        let mut scaled = Scratch::take(from.len());
        let chunks = scaled.par_chunks_mut(PIXELS_PER_TASK).zip(from.par_chunks(PIXELS_PER_TASK));
        chunks.for_each(|(to, from)| to.iter_mut().zip(from).for_each(|(to, from)| *to = from * factor));
        tensor(scaled, &self.0.layout().shape().to_vec())
    }
}

/// How many pixels have a label.
pub fn valid_pixels(labels: &[u8]) -> u64 {
    labels.iter().filter(|&&id| id != VOID).count() as u64
}

fn check_labels(labels: &[u8], [images, classes, rows, columns]: [usize; 4]) -> Result<()> {
    let expected = images * rows * columns;
    if labels.len() != expected {
        let found = labels.len();
        return Err(Error::internal(format!(
            "{found} labels for {images} images of {rows}x{columns}: expected {expected}"
        )));
    }
    match labels.iter().find(|&&id| id != VOID && usize::from(id) >= classes) {
        Some(id) => Err(Error::data(format!(
            "a label is {id}; the network has {classes} classes (0..{classes}) and void is {VOID}"
        ))
        .hint("check the masks with `check`, or give the list of classes they use")),
        None => Ok(()),
    }
}

/// The summed loss and its gradient `[N, K, H W]`. Sums run in a fixed order, so that they do not depend on threads.
fn cross_entropy(logits: &[f32], labels: &[u8], classes: usize, pixels: usize) -> (f64, Scratch) {
    let mut gradient = Scratch::take(logits.len());
    if gradient.is_empty() {
        return (0.0, gradient);
    }
    let loss = gradient
        .chunks_mut(classes * pixels)
        .zip(logits.chunks(classes * pixels))
        .zip(labels.chunks(pixels))
        .map(|((gradient, logits), labels)| image_cross_entropy(logits, labels, gradient, pixels))
        .sum();
    (loss, gradient)
}

/// One image: `logits` and `gradient` are `[K, H W]`.
fn image_cross_entropy(logits: &[f32], labels: &[u8], gradient: &mut [f32], pixels: usize) -> f64 {
    // Each task owns a strip of pixels in every class: split the gradient accordingly.
    let mut strips: Vec<Vec<&mut [f32]>> = (0..pixels.div_ceil(PIXELS_PER_TASK)).map(|_| Vec::new()).collect();
    for plane in gradient.chunks_mut(pixels) {
        for (strip, piece) in strips.iter_mut().zip(plane.chunks_mut(PIXELS_PER_TASK)) {
            strip.push(piece);
        }
    }
    let losses: Vec<f64> = strips
        .into_par_iter()
        .zip(labels.par_chunks(PIXELS_PER_TASK))
        .enumerate()
        .map(|(task, (mut strip, labels))| {
            let planes: Vec<&[f32]> =
                logits.chunks(pixels).map(|plane| &plane[task * PIXELS_PER_TASK..][..labels.len()]).collect();
            strip_cross_entropy(&planes, labels, &mut strip)
        })
        .collect();
    losses.iter().sum()
}

/// One strip: `logits[k][p]`, `gradient[k][p]`.
fn strip_cross_entropy(logits: &[&[f32]], labels: &[u8], gradient: &mut [&mut [f32]]) -> f64 {
    let mut largest = logits[0].to_vec();
    for plane in &logits[1..] {
        for (largest, &value) in largest.iter_mut().zip(*plane) {
            // Written so that NaN wins and the loss shows it.
            *largest = if value <= *largest { *largest } else { value };
        }
    }
    let mut total = vec![0.0f32; labels.len()];
    for (plane, exponentials) in logits.iter().zip(gradient.iter_mut()) {
        for (((exponential, &value), &largest), total) in
            exponentials.iter_mut().zip(*plane).zip(&largest).zip(&mut total)
        {
            *exponential = (value - largest).exp();
            *total += *exponential;
        }
    }
    let share: Vec<f32> =
        total.iter().zip(labels).map(|(total, &id)| if id == VOID { 0.0 } else { 1.0 / total }).collect();
    for plane in gradient.iter_mut() {
        for (value, (&share, &id)) in plane.iter_mut().zip(share.iter().zip(labels)) {
            // Not a product with zero: an infinite logit under a void pixel must not become a number that is none.
            *value = if id == VOID { 0.0 } else { *value * share };
        }
    }
    let mut loss = 0.0f64;
    for (pixel, &id) in labels.iter().enumerate() {
        if id != VOID {
            let class = usize::from(id);
            loss += f64::from(total[pixel].ln()) + f64::from(largest[pixel]) - f64::from(logits[class][pixel]);
            gradient[class][pixel] -= 1.0;
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use segdata::rng::{Purpose, Rng};

    const LOSS: PixelLoss = PixelLoss { reduction: Reduction::Mean };

    /// The definition, pixel by pixel in double precision.
    fn slow(logits: &[f32], labels: &[u8], classes: usize, pixels: usize) -> (f64, Vec<f64>) {
        let (mut loss, mut gradient) = (0.0, vec![0.0; logits.len()]);
        for (index, &id) in labels.iter().enumerate().filter(|(_, id)| **id != VOID) {
            let at = |class: usize| (index / pixels * classes + class) * pixels + index % pixels;
            let total: f64 = (0..classes).map(|class| f64::from(logits[at(class)]).exp()).sum();
            loss += total.ln() - f64::from(logits[at(usize::from(id))]);
            for class in 0..classes {
                let hit = if class == usize::from(id) { 1.0 } else { 0.0 };
                gradient[at(class)] = f64::from(logits[at(class)]).exp() / total - hit;
            }
        }
        (loss, gradient)
    }

    fn run(values: &[f32], labels: &[u8], shape: [usize; 4], factor: f32) -> (f32, Vec<f32>) {
        let device = Device::flex().autodiff();
        let logits = Tensor::<4>::from_data(TensorData::new(values.to_vec(), shape), &device).require_grad();
        let loss = LOSS.sum(logits.clone(), labels).unwrap() * factor;
        let gradients = loss.backward();
        let gradient = logits.grad(&gradients).unwrap().into_data().as_slice::<f32>().unwrap().to_vec();
        (loss.into_scalar::<f32>(), gradient)
    }

    #[test]
    fn value_and_gradient_are_those_of_the_definition() {
        let mut rng = Rng::derive(5, Purpose::Bench, &[]);
        let cases: [([usize; 4], f32, f32); 5] = [
            ([1, 2, 1, 1], 1.0, 0.0),
            ([2, 3, 4, 5], 5.0, 0.3),
            ([1, 1, 3, 3], 5.0, 0.3),
            ([2, 21, 61, 71], 30.0, 0.1),
            ([1, 255, 3, 2], 80.0, 0.5),
        ];
        for (shape, spread, void) in cases {
            let [images, classes, rows, columns] = shape;
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.between(-spread, spread)).collect();
            let labels: Vec<u8> = (0..images * rows * columns)
                .map(|_| if rng.uniform() < void { VOID } else { rng.below(classes) as u8 })
                .collect();
            let (loss, gradient) = run(&values, &labels, shape, 0.5);
            let (slow_loss, slow_gradient) = slow(&values, &labels, classes, rows * columns);
            let error = (f64::from(loss) - 0.5 * slow_loss).abs() / slow_loss.abs().max(1.0);
            assert!(error < 1e-6, "{shape:?}: loss {loss}, expected {}", 0.5 * slow_loss);
            for (index, (found, expected)) in gradient.iter().zip(&slow_gradient).enumerate() {
                assert!((f64::from(*found) - 0.5 * expected).abs() < 2e-6, "{shape:?}, {index}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn void_pixels_cost_nothing_whatever_their_logits() {
        let values = [f32::INFINITY, 3.0, f32::NAN, -1.0];
        let (loss, gradient) = run(&values[1..2].repeat(4), &[VOID, VOID], [1, 2, 1, 2], 1.0);
        assert_eq!((loss, gradient), (0.0, vec![0.0; 4]));
        let (loss, gradient) = cross_entropy(&values, &[VOID; 2], 2, 2);
        assert_eq!((loss, gradient.to_vec()), (0.0, vec![0.0; 4]));
    }

    #[test]
    fn a_logit_that_is_not_finite_shows_in_the_loss() {
        for bad in [f32::NAN, f32::INFINITY] {
            for position in 0..2 {
                let mut values = [0.5, 0.25];
                values[position] = bad;
                assert!(!cross_entropy(&values, &[0], 2, 1).0.is_finite(), "{bad} at {position}");
            }
        }
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        let logits = || Tensor::<4>::zeros([1, 3, 1, 2], &Device::flex());
        let message = LOSS.sum(logits(), &[0, 7]).unwrap_err().message;
        assert!(message.contains("label is 7") && message.contains("3 classes"), "{message}");
        assert!(LOSS.sum(logits(), &[0]).is_err());
        assert_eq!(valid_pixels(&[0, VOID, 2]), 2);
        assert_eq!((LOSS.divisor(0), LOSS.divisor(6)), (1.0, 6.0));
        assert_eq!(PixelLoss { reduction: Reduction::Sum }.divisor(6), 1.0);
    }
}
