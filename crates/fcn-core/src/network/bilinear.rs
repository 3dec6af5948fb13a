//! The kernel of a transposed convolution that interpolates linearly (Long, Shelhamer & Darrell 2015, section 3.3;
//! the values are those of the published models' `surgery.py`).

/// Weights `[K, K, k, k]` of a transposed convolution that upsamples each of `classes` score maps on its own: the
/// bilinear kernel on the class diagonal, zero elsewhere. `K` classes, `k` taps a side.
pub fn bilinear_weights(classes: usize, taps: usize) -> Vec<f32> {
    let kernel = bilinear_kernel(taps);
    let area = taps * taps;
    let mut weights = vec![0.0; classes * classes * area];
    for class in 0..classes {
        let start = (class * classes + class) * area;
        weights[start..start + area].copy_from_slice(&kernel);
    }
    weights
}

/// `[k, k]`, row-major: `(1 - |y - c| / f) (1 - |x - c| / f)` with `f = ceil(k / 2)`.
pub fn bilinear_kernel(taps: usize) -> Vec<f32> {
    let line = bilinear_line(taps);
    line.iter().flat_map(|y| line.iter().map(move |x| y * x)).collect()
}

/// The kernel is the outer product of this line of `k` taps with itself.
pub fn bilinear_line(taps: usize) -> Vec<f32> {
    let factor = taps.div_ceil(2) as f32;
    let centre = if taps % 2 == 1 { factor - 1.0 } else { factor - 0.5 };
    (0..taps).map(|tap| 1.0 - (tap as f32 - centre).abs() / factor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_published_models() {
        let cases: [(usize, &[f32]); 3] = [(4, &[0.25, 0.75, 0.75, 0.25]), (3, &[0.5, 1.0, 0.5]), (2, &[0.5, 0.5])];
        for (taps, line) in cases {
            assert_eq!(bilinear_line(taps), line, "{taps} taps");
        }
    }

    #[test]
    fn overlapping_kernels_of_stride_s_sum_to_one() {
        for stride in [2, 8, 16, 32] {
            let line = bilinear_line(2 * stride);
            for phase in 0..stride {
                assert!((line[phase] + line[phase + stride] - 1.0).abs() < 1e-6, "stride {stride}, phase {phase}");
            }
        }
    }

    #[test]
    fn classes_do_not_mix() {
        let (classes, taps) = (3, 4);
        let weights = bilinear_weights(classes, taps);
        for from in 0..classes {
            for to in 0..classes {
                let sum: f32 = weights[(from * classes + to) * taps * taps..][..taps * taps].iter().sum();
                assert_eq!(sum, if from == to { 4.0 } else { 0.0 }, "class {from} to {to}");
            }
        }
    }
}
