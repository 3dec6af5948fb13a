//! Maximum over windows of 2x2 pixels with stride 2, fused with a rectifier, forward and backward.

use rayon::prelude::*;

use crate::epilogue::{Activation, Border};
use crate::shape::{ShapeError, check_len};
use crate::simd::{Isa, Kernel, Simd};

/// Sizes of a max-pool of `planes` (images times channels) planes.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool {
    /// N C.
    pub planes: usize,
    /// H and W of the input.
    pub size: [usize; 2],
    /// What happens at odd borders.
    pub border: Border,
    /// Applied to the maxima, which is the same as applying it before the pool.
    pub activation: Activation,
}

/// In a mask of [`MaxPool::forward`]: the activation stopped the maximum, so that nothing flows back.
const STOPPED: u8 = 4;

impl MaxPool {
    /// H and W of the output.
    pub fn out_size(&self) -> [usize; 2] {
        self.border.out_size(self.size)
    }

    /// `y` = the maxima; `mask` says where each was found, for [`MaxPool::backward`]. The first of equals counts, and NaN
    /// counts as larger than all.
    ///
    /// # Shapes
    /// `x` `[planes, H, W]`, `y` and `mask` `[planes, OH, OW]`.
    ///
    /// # Errors
    /// A slice has another length.
    pub fn forward(&self, x: &[f32], y: &mut [f32], mask: &mut [u8]) -> Result<(), ShapeError> {
        let ([h, w], [oh, ow]) = (self.size, self.out_size());
        check_len("the input", x.len(), &[self.planes, h, w])?;
        check_len("the output", y.len(), &[self.planes, oh, ow])?;
        check_len("the mask", mask.len(), &[self.planes, oh, ow])?;
        if oh * ow == 0 {
            return Ok(());
        }
        let (isa, floor) = (Isa::best(), self.activation.floor());
        let planes = x.par_chunks(h * w).zip(y.par_chunks_mut(oh * ow)).zip(mask.par_chunks_mut(oh * ow));
        planes.for_each(|((x, y), mask)| isa.run(Forward { x, size: [h, w], floor, y, mask, width: ow }));
        Ok(())
    }

    /// `dx` = the gradient of the input, given `dy` and the mask of the forward pass.
    ///
    /// # Shapes
    /// `dy` and `mask` `[planes, OH, OW]`, `dx` `[planes, H, W]`.
    ///
    /// # Errors
    /// A slice has another length.
    pub fn backward(&self, dy: &[f32], mask: &[u8], dx: &mut [f32]) -> Result<(), ShapeError> {
        let ([h, w], [oh, ow]) = (self.size, self.out_size());
        check_len("the output's gradient", dy.len(), &[self.planes, oh, ow])?;
        check_len("the mask", mask.len(), &[self.planes, oh, ow])?;
        check_len("the input's gradient", dx.len(), &[self.planes, h, w])?;
        if oh * ow == 0 {
            dx.fill(0.0);
            return Ok(());
        }
        let isa = Isa::best();
        let planes = dx.par_chunks_mut(h * w).zip(dy.par_chunks(oh * ow)).zip(mask.par_chunks(oh * ow));
        planes.for_each(|((dx, dy), mask)| isa.run(Backward { dy, mask, dx, size: [h, w], width: ow }));
        Ok(())
    }
}

/// One plane.
struct Forward<'a> {
    x: &'a [f32],
    size: [usize; 2],
    floor: f32,
    y: &'a mut [f32],
    mask: &'a mut [u8],
    width: usize,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let [h, w] = self.size;
        let rows = self.y.chunks_mut(self.width).zip(self.mask.chunks_mut(self.width));
        for (i, (y, mask)) in rows.enumerate() {
            let upper = &self.x[2 * i * w..(2 * i + 1) * w];
            // The last row of an odd plane takes the place of its missing neighbour: equal values lose to the first.
            let lower = if 2 * i + 1 < h { &self.x[(2 * i + 1) * w..(2 * i + 2) * w] } else { upper };
            let whole = w / 2;
            let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for ((y, mask), (a, b)) in y[..whole].iter_mut().zip(&mut mask[..whole]).zip(pairs) {
                (*y, *mask) = maximum([a[0], a[1], b[0], b[1]], self.floor);
            }
            if whole < self.width {
                let (a, b) = (upper[w - 1], lower[w - 1]);
                (y[whole], mask[whole]) = maximum([a, a, b, b], self.floor);
            }
        }
    }
}

/// The largest value and its place.
#[inline(always)]
fn maximum(values: [f32; 4], floor: f32) -> (f32, u8) {
    let (mut best, mut place) = (values[0], 0);
    for (i, value) in values.into_iter().enumerate().skip(1) {
        // NaN is neither larger nor smaller, hence the second condition.
        let larger = value > best || (value.is_nan() && !best.is_nan());
        (best, place) = if larger { (value, i as u8) } else { (best, place) };
    }
    if best <= floor { (floor, STOPPED) } else { (best, place) }
}

/// One plane.
struct Backward<'a> {
    dy: &'a [f32],
    mask: &'a [u8],
    dx: &'a mut [f32],
    size: [usize; 2],
    width: usize,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let w = self.size[1];
        for (i, dx) in self.dx.chunks_mut(w).enumerate() {
            let at = i / 2 * self.width..(i / 2 + 1) * self.width;
            let (Some(dy), Some(mask)) = (self.dy.get(at.clone()), self.mask.get(at)) else {
                dx.fill(0.0);
                continue;
            };
            let first = (i % 2 * 2) as u8;
            let (pairs, last) = dx.as_chunks_mut::<2>();
            let whole = pairs.len();
            for ((pair, dy), mask) in pairs.iter_mut().zip(dy).zip(mask) {
                *pair = [if *mask == first { *dy } else { 0.0 }, if *mask == first + 1 { *dy } else { 0.0 }];
            }
            if let Some(last) = last.first_mut() {
                let inside = whole < self.width && mask[whole] == first;
                *last = if inside { dy[whole] } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::noise;

    /// The output and the gradient by definition.
    fn slow(pool: &MaxPool, x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let ([h, w], [oh, ow]) = (pool.size, pool.out_size());
        let (mut y, mut dx) = (Vec::new(), vec![0.0; x.len()]);
        for (o, dy) in dy.iter().enumerate() {
            let (plane, i, j) = (o / (oh * ow), o / ow % oh, o % ow);
            let mut best = None;
            for (r, s) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let (i, j) = (2 * i + r, 2 * j + s);
                if i < h && j < w {
                    let at = (plane * h + i) * w + j;
                    if best.is_none_or(|b: usize| x[at] > x[b]) {
                        best = Some(at);
                    }
                }
            }
            let best = best.unwrap();
            let floor = pool.activation.floor();
            y.push(x[best].max(floor));
            if x[best] > floor {
                dx[best] += dy;
            }
        }
        (y, dx)
    }

    #[test]
    fn pools_of_every_size_agree_with_the_definition() {
        for size in [[1, 1], [2, 2], [3, 2], [2, 5], [7, 7], [16, 33], [40, 64]] {
            for border in [Border::Floor, Border::Ceil] {
                for activation in [Activation::Identity, Activation::Relu] {
                    let pool = MaxPool { planes: 3, size, border, activation };
                    let [oh, ow] = pool.out_size();
                    // Few different values, so that there are ties.
                    let x: Vec<f32> = noise(5, 3 * size[0] * size[1]).into_iter().map(|v| (v * 2.0).round()).collect();
                    let dy = noise(6, 3 * oh * ow);
                    let (mut y, mut mask) = (vec![f32::NAN; dy.len()], vec![9; dy.len()]);
                    let mut dx = vec![f32::NAN; x.len()];
                    pool.forward(&x, &mut y, &mut mask).unwrap();
                    pool.backward(&dy, &mask, &mut dx).unwrap();
                    let (want_y, want_dx) = slow(&pool, &x, &dy);
                    assert_eq!((y, dx), (want_y, want_dx), "{pool:?}");
                }
            }
        }
    }

    #[test]
    fn nan_is_not_lost() {
        let pool = MaxPool { planes: 1, size: [2, 2], border: Border::Floor, activation: Activation::Relu };
        for place in 0..4 {
            let mut x = [1.0; 4];
            x[place] = f32::NAN;
            let (mut y, mut mask) = ([0.0], [0]);
            pool.forward(&x, &mut y, &mut mask).unwrap();
            assert!(y[0].is_nan() && mask[0] == place as u8);
        }
    }
}
