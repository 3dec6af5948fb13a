use super::ConvTranspose2d;
use crate::reference::{close, noise};
use crate::simd::Isa;

/// `(output index, input index, weight index)` of every product, by the definition.
fn for_each_product(plan: &ConvTranspose2d, mut visit: impl FnMut(usize, usize, usize)) {
    let &ConvTranspose2d { batch, in_channels, out_channels, kernel: taps, stride, offset, .. } = plan;
    let ([h, w], [oh, ow]) = (plan.size, plan.out_size);
    for n in 0..batch {
        for c in 0..in_channels {
            for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
                for k in 0..out_channels {
                    for (r, s) in (0..taps).flat_map(|r| (0..taps).map(move |s| (r, s))) {
                        let y = (stride * i + r).wrapping_sub(offset[0]);
                        let x = (stride * j + s).wrapping_sub(offset[1]);
                        if y < oh && x < ow {
                            visit(
                                ((n * out_channels + k) * oh + y) * ow + x,
                                ((n * in_channels + c) * h + i) * w + j,
                                ((c * out_channels + k) * taps + r) * taps + s,
                            );
                        }
                    }
                }
            }
        }
    }
}

/// A kernel of twice the stride, for two images.
fn overlapping(
    channels: [usize; 2],
    size: [usize; 2],
    out_size: [usize; 2],
    stride: usize,
    offset: [usize; 2],
) -> ConvTranspose2d {
    let [in_channels, out_channels] = channels;
    ConvTranspose2d { batch: 2, in_channels, out_channels, size, out_size, kernel: 2 * stride, stride, offset }
}

/// A kernel of the stride's side.
fn disjoint(batch: usize, channels: [usize; 2], size: [usize; 2], stride: usize) -> ConvTranspose2d {
    let ([in_channels, out_channels], out_size) = (channels, size.map(|side| stride * side));
    ConvTranspose2d { batch, in_channels, out_channels, size, out_size, kernel: stride, stride, offset: [0, 0] }
}

/// Both kinds, and of the second such as go by blocks of pixels and by runs of output channels.
fn plans() -> Vec<ConvTranspose2d> {
    vec![
        overlapping([1, 1], [1, 1], [2, 2], 1, [0, 0]),
        overlapping([1, 1], [1, 1], [1, 3], 2, [3, 1]),
        overlapping([3, 2], [4, 5], [8, 10], 2, [1, 1]),
        overlapping([2, 5], [3, 7], [8, 16], 2, [0, 0]),
        overlapping([4, 3], [3, 2], [11, 5], 3, [1, 4]),
        overlapping([21, 21], [5, 4], [40, 32], 8, [4, 4]),
        overlapping([2, 2], [3, 3], [17, 3], 8, [9, 20]),
        disjoint(1, [1, 1], [1, 1], 1),
        disjoint(2, [3, 2], [4, 5], 2),
        disjoint(3, [40, 17], [7, 9], 2),
        disjoint(1, [33, 20], [37, 41], 2),
        disjoint(2, [19, 3], [29, 31], 3),
        disjoint(1, [270, 9], [2, 1], 4),
        disjoint(2, [130, 70], [14, 15], 2),
    ]
}

/// Input, weight, bias and the output's gradient.
fn operands(plan: &ConvTranspose2d) -> [Vec<f32>; 4] {
    let &ConvTranspose2d { batch, in_channels: c, out_channels: k, size, out_size, kernel, .. } = plan;
    [batch * c * size[0] * size[1], c * k * kernel * kernel, k, batch * k * out_size[0] * out_size[1]]
        .map(|len| noise(len as u64, len))
}

/// The output and the gradients of input, weight and bias.
fn everything(plan: &ConvTranspose2d, isa: Isa) -> [Vec<f32>; 4] {
    let [x, w, bias, dy] = &operands(plan);
    let [mut dx, mut dw, mut db, mut y] = [x, w, bias, dy].map(|like| vec![f32::NAN; like.len()]);
    plan.forward_on(isa, x, w, Some(bias), &mut y).unwrap();
    plan.backward_data_on(isa, dy, w, &mut dx).unwrap();
    plan.backward_weight_on(isa, x, dy, &mut dw).unwrap();
    plan.backward_bias(dy, &mut db).unwrap();
    [y, dx, dw, db]
}

#[test]
fn all_passes_agree_with_the_definition_in_f64_on_every_instruction_set() {
    let mut wrong = Vec::new();
    for plan in plans() {
        let [x, w, bias, dy] = operands(&plan);
        let [mut want_dx, mut want_dw, mut want_db, mut want_y] =
            [&x, &w, &bias, &dy].map(|like| vec![0.0; like.len()]);
        let pixels = plan.out_size[0] * plan.out_size[1];
        for (o, (y, dy)) in want_y.iter_mut().zip(&dy).enumerate() {
            let k = o / pixels % plan.out_channels;
            *y = f64::from(bias[k]);
            want_db[k] += f64::from(*dy);
        }
        for_each_product(&plan, |o, i, j| {
            want_y[o] += f64::from(x[i]) * f64::from(w[j]);
            want_dx[i] += f64::from(dy[o]) * f64::from(w[j]);
            want_dw[j] += f64::from(dy[o]) * f64::from(x[i]);
        });
        let want = [want_y, want_dx, want_dw, want_db];
        for isa in Isa::available() {
            for ((name, got), want) in ["y", "dx", "dw", "db"].into_iter().zip(everything(&plan, isa)).zip(&want) {
                wrong.extend(close(&format!("{name} of {plan:?} on {isa:?}"), &got, want, 5e-7));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn without_a_bias_nothing_is_added() {
    for plan in [overlapping([3, 2], [4, 5], [8, 10], 2, [1, 1]), disjoint(2, [3, 2], [4, 5], 2)] {
        let [x, w, bias, mut y] = operands(&plan);
        let mut want = y.clone();
        plan.forward(&x, &w, None, &mut y).unwrap();
        plan.forward(&x, &w, Some(&vec![0.0; bias.len()]), &mut want).unwrap();
        assert_eq!(y, want, "{plan:?}");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for plan in plans() {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| everything(&plan, Isa::best()))
        };
        let one = on(1);
        for threads in [2, 3, 7] {
            assert_eq!(on(threads), one, "{plan:?}, {threads} threads");
        }
    }
}

#[test]
fn a_bias_of_another_length_is_refused() {
    let refused = disjoint(1, [1, 2], [1, 1], 2).forward(&[0.0], &[0.0; 8], Some(&[0.0]), &mut [0.0; 8]);
    assert!(refused.is_err_and(|e| e.to_string().contains("the bias [2] has 1 values")));
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let good = overlapping([1, 1], [2, 2], [4, 4], 2, [1, 1]);
    let tiled = ConvTranspose2d { kernel: 2, offset: [0, 0], ..good };
    let (x, w) = ([0.0; 8], [0.0; 16]);
    let cases = [
        (good, None),
        (ConvTranspose2d { stride: 0, ..good }, Some("the stride is 0")),
        (ConvTranspose2d { out_size: [4, 0], ..good }, Some("the smallest output size is 0")),
        (ConvTranspose2d { in_channels: 0, ..good }, Some("the number of input channels is 0")),
        (ConvTranspose2d { offset: [3, 1], ..good }, Some("pixel 7 of a full result of 6")),
        (ConvTranspose2d { batch: 3, ..good }, Some("the input [3, 1, 2, 2] has 8 values")),
        (ConvTranspose2d { kernel: 3, ..good }, Some("has 3 taps a side, expected its stride, 2, or twice that")),
        (ConvTranspose2d { stride: usize::MAX, kernel: usize::MAX, ..good }, Some("use a smaller batch or image")),
        (tiled, Some("the weight [1, 1, 2, 2] has 16 values")),
        (
            ConvTranspose2d { out_size: [4, 3], ..tiled },
            Some("the output is [4, 3] from [0, 0] on, expected all of [4, 4]"),
        ),
        (ConvTranspose2d { offset: [1, 0], ..tiled }, Some("kernels of the stride's side are not cropped")),
    ];
    for (plan, want) in cases {
        let got = plan.forward(&x, &w, None, &mut [0.0; 32]).err().map(|e| e.to_string());
        match want {
            None => assert_eq!(got, None),
            Some(part) => assert!(got.as_deref().is_some_and(|m| m.contains(part)), "{got:?} lacks {part:?}"),
        }
    }
}
