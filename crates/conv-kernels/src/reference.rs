//! Convolution by its definition, in f64: slow, obvious, and what every other path is tested against.

use crate::shape::Conv2dShape;

/// `(output index, input index, weight index)` of every product of a convolution, handed to `visit`.
fn for_each_product(shape: &Conv2dShape, mut visit: impl FnMut(usize, usize, usize)) {
    let Conv2dShape { batch, in_channels, out_channels, height, width, kernel: [kr, ks], pad } = *shape;
    let (out_height, out_width) = (shape.out_height(), shape.out_width());
    for n in 0..batch {
        for k in 0..out_channels {
            for y in 0..out_height {
                for x in 0..out_width {
                    let o = ((n * out_channels + k) * out_height + y) * out_width + x;
                    for c in 0..in_channels {
                        for r in 0..kr {
                            for s in 0..ks {
                                let (iy, ix) = ((y + r).wrapping_sub(pad[0]), (x + s).wrapping_sub(pad[1]));
                                if iy < height && ix < width {
                                    let i = ((n * in_channels + c) * height + iy) * width + ix;
                                    visit(o, i, ((k * in_channels + c) * kr + r) * ks + s);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The output `[N, K, OH, OW]` of input `x` and weight `w`.
pub fn forward(shape: &Conv2dShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    let mut out = vec![0.0; shape.output_len()];
    for_each_product(shape, |o, i, j| out[o] += f64::from(x[i]) * f64::from(w[j]));
    out
}

/// The gradient `[N, C, H, W]` of the input, given the gradient `dy` of the output.
pub fn backward_data(shape: &Conv2dShape, dy: &[f32], w: &[f32]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.input_len()];
    for_each_product(shape, |o, i, j| dx[i] += f64::from(dy[o]) * f64::from(w[j]));
    dx
}

/// The gradient `[K, C, R, S]` of the weight, given the gradient `dy` of the output.
pub fn backward_weight(shape: &Conv2dShape, x: &[f32], dy: &[f32]) -> Vec<f64> {
    let mut dw = vec![0.0; shape.weight_len()];
    for_each_product(shape, |o, i, j| dw[j] += f64::from(dy[o]) * f64::from(x[i]));
    dw
}

/// Root mean square of the error over root mean square of the truth.
pub fn relative_rms(got: &[f32], want: &[f64]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let error = square(&mut got.iter().zip(want).map(|(g, w)| f64::from(*g) - w));
    (error / square(&mut want.iter().copied()).max(f64::MIN_POSITIVE)).sqrt()
}

/// A line that names what is wrong, if the relative error is more than `limit` or a length differs.
#[cfg(test)]
pub(crate) fn close(what: &str, got: &[f32], want: &[f64], limit: f64) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{what}: {} values, expected {}", got.len(), want.len()));
    }
    let rms = relative_rms(got, want);
    (rms.is_nan() || rms > limit).then(|| format!("{what}: relative rms error {rms:.2e}, expected at most {limit:.0e}"))
}

/// `len` values of about normal distribution, a function of `seed`.
#[cfg(test)]
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        // xorshift64* (Vigna, 2016).
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    // The sum of three uniform values of variance 1/12, scaled to variance 1.
    (0..len).map(|_| 2.0 * (uniform() + uniform() + uniform())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_small_enough_for_paper() {
        let shape = Conv2dShape::square(1, [1, 1], [2, 3], 2, 0);
        let (x, w) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(forward(&shape, &x, &w), [5421.0, 6532.0]);
        assert_eq!(backward_data(&shape, &[1.0, 2.0], &w), [1.0, 12.0, 20.0, 100.0, 1200.0, 2000.0]);
        assert_eq!(backward_weight(&shape, &x, &[1.0, 2.0]), [5.0, 8.0, 14.0, 17.0]);
    }

    #[test]
    fn padding_is_zeros() {
        let shape = Conv2dShape::square(1, [1, 1], [1, 1], 3, 1);
        let w: Vec<f32> = (1..10).map(|i| i as f32).collect();
        assert_eq!(forward(&shape, &[2.0], &w), [10.0]);
    }
}
