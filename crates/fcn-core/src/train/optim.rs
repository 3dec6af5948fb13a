//! SGD with momentum, Adam and AdamW over the flat list of parameters, each in one pass over memory.
//!
//! With `g` the gradient (clipped), `w` the weight, `r` the rate and `d` the weight decay:
//! * SGD (Polyak 1964, in PyTorch's form): `g += d w; m = momentum m + g; w -= r m`
//! * Adam (Kingma & Ba 2015): `g += d w; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g²; w -= r m̂ / (sqrt(v̂) + eps)` with
//!   `m̂ = m / (1 - b1^t)`, `v̂ = v / (1 - b2^t)`
//! * AdamW (Loshchilov & Hutter 2019): Adam without `g += d w`, and first `w -= r d w`.
//!
//! Biases and batch-norm parameters do not decay; biases have a rate of their own multiple. On the CPU weights and
//! moments are updated in place; elsewhere the same formulas run as tensor operations.

use burn::tensor::{Device, Tensor, TensorData};
use burn_flex::Flex;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::device::values::with_values;
use crate::network::{Network, ParameterKind};
use crate::{Error, ErrorKind, Result};

/// Which update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam; weight decay is added to the gradient.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW,
}

/// Constants of the update rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerOptions {
    /// The rule.
    pub kind: OptimizerKind,
    /// SGD's momentum.
    pub momentum: f32,
    /// Adam's decay of the first moment.
    pub beta1: f32,
    /// Adam's decay of the second moment.
    pub beta2: f32,
    /// Adam's guard against division by zero.
    pub epsilon: f32,
    /// Weight decay of convolution weights and learnt upsampling kernels.
    pub weight_decay: f32,
    /// Multiplies the rate of biases; the published Caffe models use 2.
    pub bias_rate: f32,
}

/// Values that one task updates or sums; a constant, so that sums do not depend on the number of threads.
const CHUNK: usize = 1 << 16;

/// The rule and its moments: one or two tensors a trainable parameter.
pub struct Optimizer {
    options: OptimizerOptions,
    /// By parameter: first (and for Adam second) moment, flat; empty where nothing is learnt.
    moments: Vec<Vec<Tensor<1>>>,
    /// Updates done; Adam's `t`.
    updates: u64,
}

/// What one value's update needs, the same for all values of a parameter.
#[derive(Clone, Copy)]
struct Rule {
    kind: OptimizerKind,
    momentum: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    decay: f32,
    rate: f32,
    /// Adam: `rate / (1 - beta1^t)`.
    step: f32,
    /// Adam: `1 / sqrt(1 - beta2^t)`.
    root: f32,
    /// Multiplies the gradient: division by the number of pixels, and clipping.
    scale: f32,
}

impl Rule {
    fn sgd(&self, weight: &mut f32, gradient: f32, momentum: &mut f32) {
        let gradient = gradient * self.scale + self.decay * *weight;
        *momentum = self.momentum * *momentum + gradient;
        *weight -= self.rate * *momentum;
    }

    fn adam(&self, weight: &mut f32, gradient: f32, first: &mut f32, second: &mut f32) {
        let mut gradient = gradient * self.scale;
        match self.kind {
            OptimizerKind::AdamW => *weight -= self.rate * self.decay * *weight,
            _ => gradient += self.decay * *weight,
        }
        *first = self.beta1 * *first + (1.0 - self.beta1) * gradient;
        *second = self.beta2 * *second + (1.0 - self.beta2) * gradient * gradient;
        *weight -= self.step * *first / (second.sqrt() * self.root + self.epsilon);
    }
}

impl Optimizer {
    /// A fresh optimiser for `fcn`: all moments zero.
    pub fn new(options: OptimizerOptions, fcn: &Network) -> Self {
        let device = fcn.device();
        let count = if options.kind == OptimizerKind::Sgd { 1 } else { 2 };
        let moments = fcn
            .parameters()
            .iter()
            .map(|parameter| {
                let copies = if fcn.trains(parameter) { count } else { 0 };
                (0..copies).map(|_| Tensor::<1>::zeros([parameter.shape.iter().product::<usize>()], &device)).collect()
            })
            .collect();
        Optimizer { options, moments, updates: 0 }
    }

    /// Updates done so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The moments by name (`conv1_1.weight.first`), for a checkpoint.
    pub fn tensors<'a>(&'a self, fcn: &'a Network) -> impl Iterator<Item = (String, &'a Tensor<1>)> {
        fcn.parameters().iter().zip(&self.moments).flat_map(|(parameter, moments)| {
            moments.iter().zip(["first", "second"]).map(|(moment, role)| (format!("{}.{role}", parameter.name), moment))
        })
    }

    /// Puts moments back: `values(name, len)` supplies each of those that [`Optimizer::tensors`] lists.
    ///
    /// # Errors
    /// Those of `values`.
    pub fn restore(
        &mut self,
        fcn: &Network,
        updates: u64,
        mut values: impl FnMut(&str, usize) -> Result<Vec<f32>>,
    ) -> Result<()> {
        let device = fcn.device();
        for (parameter, moments) in fcn.parameters().iter().zip(&mut self.moments) {
            for (moment, role) in moments.iter_mut().zip(["first", "second"]) {
                let len = parameter.shape.iter().product();
                let found = values(&format!("{}.{role}", parameter.name), len)?;
                *moment = Tensor::from_data(TensorData::new(found, [len]), &device);
            }
        }
        self.updates = updates;
        Ok(())
    }

    /// One update of all weights with `gradients` (by parameter, of a loss summed over pixels) times `scale`.
    ///
    /// # Errors
    /// A weight that became infinite or NaN, by name. The weights are then spoiled and must not be saved.
    pub fn step(&mut self, fcn: &mut Network, gradients: &[Option<Tensor<1>>], rate: f64, scale: f64) -> Result<()> {
        self.updates += 1;
        let t = self.updates as f64;
        let options = self.options;
        for ((parameter, moments), gradient) in fcn.learnt_mut().iter_mut().zip(&mut self.moments).zip(gradients) {
            let Some(gradient) = gradient else { continue };
            if moments.is_empty() {
                continue;
            }
            let (decay, rate) = match parameter.kind {
                kind if kind.is_kernel() => (options.weight_decay, rate),
                ParameterKind::Bias => (0.0, rate * f64::from(options.bias_rate)),
                _ => (0.0, rate),
            };
            let rule = Rule {
                kind: options.kind,
                momentum: options.momentum,
                beta1: options.beta1,
                beta2: options.beta2,
                epsilon: options.epsilon,
                decay,
                rate: rate as f32,
                step: (rate / (1.0 - f64::from(options.beta1).powf(t))) as f32,
                root: (1.0 / (1.0 - f64::from(options.beta2).powf(t)).sqrt()) as f32,
                scale: scale as f32,
            };
            let mut finite = true;
            let nothing = Tensor::<1>::empty([0], &Device::flex());
            let weight = std::mem::replace(&mut parameter.tensor, nothing).inner();
            parameter.tensor = update(weight, gradient.clone(), moments, rule, &mut finite).autodiff().require_grad();
            if !finite {
                return Err(Error::new(
                    ErrorKind::NonFinite,
                    format!("{} became infinite or NaN in update {} at rate {rate:e}", parameter.name, self.updates),
                )
                .hint("lower `lr`; the last checkpoint is intact"));
            }
        }
        Ok(())
    }
}

/// The new weight. Consumes the only handle on it, so that the CPU can write in place.
fn update(
    weight: Tensor<1>,
    gradient: Tensor<1>,
    moments: &mut [Tensor<1>],
    rule: Rule,
    finite: &mut bool,
) -> Tensor<1> {
    if !crate::device::values::is_host(&weight) {
        return update_on_device(weight, gradient, moments, rule);
    }
    let (Ok(mut weight), Ok(gradient)) = (weight.try_into_primitive::<Flex>(), gradient.try_into_primitive::<Flex>())
    else {
        unreachable!("a host tensor is a Flex tensor");
    };
    let gradient = gradient.to_contiguous();
    let gradients = &gradient.storage::<f32>()[gradient.layout().start_offset()..];
    let mut hosts: Vec<_> = moments
        .iter_mut()
        .filter_map(|moment| {
            let nothing = Tensor::<1>::empty([0], &Device::flex());
            std::mem::replace(moment, nothing).try_into_primitive::<Flex>().ok()
        })
        .collect();
    let weights = weight.storage_mut::<f32>().par_chunks_mut(CHUNK).zip(gradients.par_chunks(CHUNK));
    let all_finite = |weights: &[f32]| weights.iter().all(|w| w.is_finite());
    *finite = match &mut hosts[..] {
        [momentum] => weights
            .zip(momentum.storage_mut::<f32>().par_chunks_mut(CHUNK))
            .map(|((w, g), m)| {
                w.iter_mut().zip(g).zip(m).for_each(|((w, g), m)| rule.sgd(w, *g, m));
                all_finite(w)
            })
            .reduce(|| true, |a, b| a & b),
        [first, second] => weights
            .zip(first.storage_mut::<f32>().par_chunks_mut(CHUNK))
            .zip(second.storage_mut::<f32>().par_chunks_mut(CHUNK))
            .map(|(((w, g), m), v)| {
                w.iter_mut().zip(g).zip(m).zip(v).for_each(|(((w, g), m), v)| rule.adam(w, *g, m, v));
                all_finite(w)
            })
            .reduce(|| true, |a, b| a & b),
        _ => true,
    };
    for (moment, host) in moments.iter_mut().zip(hosts) {
        *moment = Tensor::from_primitive::<Flex>(host);
    }
    Tensor::from_primitive::<Flex>(weight)
}

/// The same rules as tensor operations.
fn update_on_device(weight: Tensor<1>, gradient: Tensor<1>, moments: &mut [Tensor<1>], rule: Rule) -> Tensor<1> {
    let gradient = gradient * rule.scale;
    match moments {
        [momentum] => {
            *momentum = momentum.clone() * rule.momentum + gradient + weight.clone() * rule.decay;
            weight - momentum.clone() * rule.rate
        }
        [first, second] => {
            let (weight, gradient) = match rule.kind {
                OptimizerKind::AdamW => (weight * (1.0 - rule.rate * rule.decay), gradient),
                _ => (weight.clone(), gradient + weight * rule.decay),
            };
            *first = first.clone() * rule.beta1 + gradient.clone() * (1.0 - rule.beta1);
            *second = second.clone() * rule.beta2 + gradient.clone() * gradient * (1.0 - rule.beta2);
            weight - first.clone() * rule.step / (second.clone().sqrt() * rule.root + rule.epsilon)
        }
        _ => weight,
    }
}

/// Adds the gradients of `loss` to `sums` (by parameter, or `None` where there is none yet). What the backward pass holds is
/// freed on the way.
pub fn add_gradients(fcn: &Network, loss: &Tensor<1>, sums: &mut [Option<Tensor<1>>]) {
    let mut found = loss.backward();
    for (parameter, sum) in fcn.parameters().iter().zip(sums) {
        let Some(gradient) = parameter.tensor.grad_remove(&mut found) else { continue };
        *sum = Some(match sum.take() {
            Some(sum) => sum + gradient,
            None => gradient,
        });
    }
}

/// Euclidean norm of all gradients together, summed in a fixed order; not finite if any of them is not.
///
/// # Errors
/// A device that fails to deliver.
pub fn gradient_norm(gradients: &[Option<Tensor<1>>]) -> Result<f64> {
    let mut total = 0.0f64;
    for gradient in gradients.iter().flatten() {
        total += if crate::device::values::is_host(gradient) {
            with_values(gradient, |values| {
                let sums: Vec<f64> = values.par_chunks(CHUNK).map(sum_of_squares).collect();
                sums.iter().sum::<f64>()
            })?
        } else {
            with_values(&(gradient.clone() * gradient.clone()).sum(), |values| f64::from(values[0]))?
        };
    }
    Ok(total.sqrt())
}

/// In eight lanes, in double precision.
fn sum_of_squares(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0f64; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: OptimizerKind) -> Rule {
        Rule {
            kind,
            momentum: 0.9,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: 0.01,
            rate: 0.1,
            step: 0.1 / (1.0 - 0.9),
            root: 1.0 / (1.0f32 - 0.999).sqrt(),
            scale: 0.5,
        }
    }

    fn tensor(values: &[f32]) -> Tensor<1> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::flex())
    }

    #[test]
    fn the_pass_in_place_agrees_with_the_tensor_operations() {
        let n = CHUNK + 3;
        let weights: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
        let gradients: Vec<f32> = (0..n).map(|i| (i as f32 * 0.11).cos()).collect();
        for (kind, count) in [(OptimizerKind::Sgd, 1), (OptimizerKind::Adam, 2), (OptimizerKind::AdamW, 2)] {
            let fresh = || (0..count).map(|_| tensor(&vec![0.25; n])).collect::<Vec<_>>();
            let (mut fast, mut slow, mut finite) = (fresh(), fresh(), false);
            let a = update(tensor(&weights), tensor(&gradients), &mut fast, rule(kind), &mut finite);
            let b = update_on_device(tensor(&weights), tensor(&gradients), &mut slow, rule(kind));
            assert!(finite);
            for (what, a, b) in
                std::iter::once(("weight", a, b)).chain(fast.into_iter().zip(slow).map(|(a, b)| ("moment", a, b)))
            {
                let worst: f32 = (a - b).abs().max().into_scalar();
                assert!(worst < 1e-6, "{kind:?} {what}: {worst}");
            }
        }
    }

    #[test]
    fn an_update_that_overflows_is_reported() {
        let mut finite = true;
        let mut moments = vec![tensor(&[0.0, 0.0])];
        let rule = Rule { rate: f32::MAX, ..rule(OptimizerKind::Sgd) };
        update(tensor(&[1.0, 1.0]), tensor(&[1.0, 1e5]), &mut moments, rule, &mut finite);
        assert!(!finite);
    }

    #[test]
    fn the_norm_is_that_of_all_gradients_together() {
        let gradients = [Some(tensor(&[3.0; 100])), None, Some(tensor(&[4.0; 100]))];
        assert!((gradient_norm(&gradients).unwrap() - 50.0).abs() < 1e-9);
        assert!(!gradient_norm(&[Some(tensor(&[f32::NAN]))]).unwrap().is_finite());
    }
}
