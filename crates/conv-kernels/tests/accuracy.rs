//! The errors the documentation promises, on data like a network's activations: rectified, correlated between neighbours and
//! of very different size from channel to channel. Also scaled by 1e-4 and 1e4.
#![allow(clippy::unwrap_used)]

use conv_kernels::reference::{self, relative_rms};
use conv_kernels::{Activation, Algorithm, Conv2d, Conv2dShape, Isa, Precision, Purpose};

/// Uniform values from -1 to 1 (xorshift64*, Vigna 2016).
fn uniform(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Noise smoothed over 5x5 pixels, scaled by 0.1 to 10 by channel, shifted, rectified.
fn activations(seed: u64, planes: usize, [h, w]: [usize; 2], scale: f32) -> Vec<f32> {
    let noise = uniform(seed, planes * h * w);
    let sizes = uniform(seed + 1, planes);
    (0..planes * h * w)
        .map(|i| {
            let (plane, y, x) = (i / (h * w), i / w % h, i % w);
            let (rows, columns) = (y.saturating_sub(2)..(y + 3).min(h), x.saturating_sub(2)..(x + 3).min(w));
            let window = rows.flat_map(|y| columns.clone().map(move |x| (plane * h + y) * w + x));
            let sum: f32 = window.map(|at| noise[at]).sum();
            scale * 10f32.powf(sizes[plane]) * (sum / 5.0 + 0.2).max(0.0)
        })
        .collect()
}

#[test]
fn errors_on_activations_are_within_the_promised_limits() {
    use Algorithm::{Accurate, Direct, Fast};
    use Precision::{Bf16, F32};
    use Purpose::{Inference, Training};
    let deep = Conv2dShape::square(1, [384, 24], [26, 30], 3, 1);
    let wide = Conv2dShape::square(1, [32, 32], [53, 49], 3, 1);
    let small = Conv2dShape::square(2, [384, 40], [9, 5], 3, 1);
    let narrow = Conv2dShape::square(1, [72, 64], [26, 25], 3, 1);
    let fc6 = Conv2dShape::square(1, [96, 24], [16, 12], 7, 3);
    let fc7 = Conv2dShape::square(1, [700, 80], [9, 12], 1, 0);
    let cases = [
        (deep, Direct, Training, F32, [5e-7; 3]),
        (deep, Fast, Training, F32, [5e-6; 3]),
        (deep, Fast, Inference, Bf16, [1.5e-2, 5e-6, 5e-6]),
        (wide, Direct, Training, F32, [5e-7; 3]),
        (wide, Accurate, Inference, F32, [5e-6; 3]),
        (small, Fast, Training, F32, [5e-6; 3]),
        (narrow, Fast, Inference, F32, [1.5e-5, 5e-6, 5e-6]),
        (wide, Fast, Inference, Bf16, [1.5e-2, 5e-6, 5e-6]),
        (fc6, Direct, Training, F32, [5e-7; 3]),
        (fc6, Accurate, Training, F32, [1e-5; 3]),
        (fc6, Fast, Training, F32, [5e-5; 3]),
        (fc6, Fast, Inference, Bf16, [5e-5; 3]),
        (fc7, Fast, Inference, Bf16, [4e-3, 5e-7, 5e-7]),
    ];
    let mut wrong = Vec::new();
    for (shape, algorithm, purpose, precision, limits) in cases {
        let w = uniform(5, shape.weight_len());
        let (out_size, images) = ([shape.out_height(), shape.out_width()], shape.batch);
        for scale in [1.0, 1e-4, 1e4] {
            let x = activations(7, images * shape.in_channels, [shape.height, shape.width], scale);
            let dy = activations(9, images * shape.out_channels, out_size, scale);
            let want = [
                reference::forward(&shape, &x, &w),
                reference::backward_data(&shape, &dy, &w),
                reference::backward_weight(&shape, &x, &dy),
            ];
            for isa in Isa::available() {
                let conv = Conv2d::new(shape, algorithm).unwrap().purpose(purpose).precision(precision).on(isa);
                let mut got = [dy.clone(), x.clone(), w.clone()];
                conv.forward(&x, &w, None, Activation::Identity, &mut got[0]).unwrap();
                conv.backward_data(&dy, &w, &mut got[1]).unwrap();
                conv.backward_weight(&x, &dy, &mut got[2]).unwrap();
                for (pass, limit) in limits.into_iter().enumerate() {
                    let error = relative_rms(&got[pass], &want[pass]);
                    // Not `error > limit`, so that NaN fails too.
                    let good = error <= limit;
                    if !good {
                        let name = ["forward", "data", "weight"][pass];
                        wrong.push(format!(
                            "{isa:?} {name}, {shape}, {algorithm:?} {purpose:?} {precision:?}, x {scale}: {error:.2e}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
