use super::Conv2d;
use crate::epilogue::{Activation, Border};
use crate::layers::MaxPool;
use crate::plan::{Algorithm, Pass, Purpose};
use crate::reference::{noise, relative_rms};
use crate::shape::Conv2dShape;
use crate::simd::{Isa, Precision};

/// All results of a convolution.
fn everything(conv: &Conv2d) -> [Vec<f32>; 4] {
    let shape = conv.shape();
    let (x, w, dy) = (noise(1, shape.input_len()), noise(2, shape.weight_len()), noise(3, shape.output_len()));
    let bias = noise(4, shape.out_channels);
    let (mut y, mut dx, mut dw, mut db) = (dy.clone(), x.clone(), w.clone(), bias.clone());
    conv.forward(&x, &w, Some(&bias), Activation::Relu, &mut y).unwrap();
    conv.backward_data(&dy, &w, &mut dx).unwrap();
    conv.backward_weight(&x, &dy, &mut dw).unwrap();
    conv.backward_bias(&dy, &mut db).unwrap();
    [y, dx, dw, db]
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let mut wrong = Vec::new();
    for shape in [
        Conv2dShape::square(3, [3, 20], [61, 45], 3, 1),
        Conv2dShape::square(2, [24, 40], [30, 30], 3, 1),
        Conv2dShape::square(1, [70, 130], [9, 9], 3, 1),
        Conv2dShape::square(20, [40, 33], [5, 5], 3, 1),
        Conv2dShape::square(3, [256, 260], [5, 6], 3, 1),
        Conv2dShape::square(2, [20, 36], [7, 7], 7, 3),
        Conv2dShape::square(2, [129, 140], [6, 7], 3, 1),
        Conv2dShape::square(1, [200, 210], [45, 50], 3, 1),
        Conv2dShape::square(2, [33, 20], [19, 8], 1, 0),
        Conv2dShape::square(2, [333, 70], [23, 28], 1, 0),
    ] {
        for (algorithm, precision) in [
            (Algorithm::Direct, Precision::F32),
            (Algorithm::Accurate, Precision::F32),
            (Algorithm::Fast, Precision::F32),
            (Algorithm::Direct, Precision::Bf16),
            (Algorithm::Fast, Precision::Bf16),
        ] {
            let conv = Conv2d::new(shape, algorithm).unwrap().purpose(Purpose::Inference).precision(precision);
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| everything(&conv))
            };
            let one = on(1);
            for threads in [2, 3, 7] {
                if on(threads) != one {
                    wrong.push(format!("{shape}, {algorithm:?} {precision:?}: {threads} threads differ from one"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn maxima_in_passing_are_those_of_a_pool_behind_the_convolution() {
    let mut wrong = Vec::new();
    for (channels, size, kernel, pad) in [
        ([3, 20], [61, 45], 3, 1),
        ([16, 33], [1, 1], 3, 1),
        ([16, 16], [24, 134], 3, 1),
        ([64, 64], [37, 50], 3, 1),
        ([130, 130], [9, 7], 3, 1),
        ([30, 36], [9, 9], 3, 1),
        ([256, 260], [5, 6], 3, 1),
        ([20, 36], [7, 9], 7, 3),
        ([5, 7], [8, 5], 1, 0),
    ] {
        let shape = Conv2dShape::square(2, channels, size, kernel, pad);
        let (mut x, w) = (noise(1, shape.input_len()), noise(2, shape.weight_len()));
        let bias = noise(3, shape.out_channels);
        // NaN must come through, wherever in a window it is.
        let middle = x.len() / 2;
        x[middle] = f32::NAN;
        for algorithm in [Algorithm::Direct, Algorithm::Accurate, Algorithm::Fast] {
            for (isa, border) in Isa::available().into_iter().flat_map(|i| [(i, Border::Floor), (i, Border::Ceil)]) {
                let conv = Conv2d::new(shape, algorithm).unwrap().purpose(Purpose::Inference).on(isa);
                let mut pixels = vec![0.0; shape.output_len()];
                conv.forward(&x, &w, Some(&bias), Activation::Identity, &mut pixels).unwrap();
                let (size, planes) = ([shape.out_height(), shape.out_width()], shape.batch * shape.out_channels);
                let pool = MaxPool { planes, size, border, activation: Activation::Relu };
                let mut want = vec![0.0; planes * pool.out_size().iter().product::<usize>()];
                let mut places = vec![0; want.len()];
                pool.forward(&pixels, &mut want, &mut places).unwrap();
                let (mut raw, mut prepared) = (vec![7.0; want.len()], vec![7.0; want.len()]);
                let conv = conv.pooled(border);
                conv.forward(&x, &w, Some(&bias), Activation::Relu, &mut raw).unwrap();
                let weights = conv.prepare(&w).unwrap();
                conv.forward_prepared(&x, &weights, Some(&bias), Activation::Relu, &mut prepared).unwrap();
                let bits =
                    |v: &[f32]| v.iter().map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() }).collect::<Vec<_>>();
                if bits(&raw) != bits(&want) {
                    wrong.push(format!("{shape}, {algorithm:?}, {isa:?}, {border:?}"));
                }
                // Prepared weights may go another way, with other roundings.
                let pairs = || prepared.iter().zip(&want).filter(|(_, want)| !want.is_nan());
                if pairs().any(|(got, want)| (got - want).abs() > 1e-3) {
                    wrong.push(format!("prepared: {shape}, {algorithm:?}, {isa:?}, {border:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nan_passes_through_the_rectifier() {
    let precisions = [Precision::F32, Precision::Bf16];
    for (algorithm, kernel) in [(Algorithm::Direct, 3), (Algorithm::Fast, 3), (Algorithm::Fast, 7)] {
        for (isa, precision) in Isa::available().into_iter().flat_map(|isa| precisions.map(|p| (isa, p))) {
            let shape = Conv2dShape::square(1, [17, 64], [7, 7], kernel, kernel / 2);
            let conv = Conv2d::new(shape, algorithm).unwrap().precision(precision).on(isa);
            let mut x = noise(1, shape.input_len());
            x[24] = f32::NAN;
            let mut y = vec![0.0; shape.output_len()];
            conv.forward(&x, &noise(2, shape.weight_len()), None, Activation::Relu, &mut y).unwrap();
            assert!(y[24].is_nan(), "{algorithm:?}, {kernel}x{kernel}, {isa:?}, {precision:?}");
        }
    }
}

#[test]
fn prepared_weights_give_the_same_bits_on_maps_of_every_size() {
    let mut wrong = Vec::new();
    let vgg = [[3, 64], [64, 64], [64, 128], [128, 128], [128, 256], [256, 256], [256, 512], [512, 512], [130, 150]];
    for (channels, size) in vgg.into_iter().flat_map(|channels| [[7, 8], [29, 31]].map(|size| (channels, size))) {
        for (kernel, precision) in [(3, Precision::F32), (3, Precision::Bf16), (1, Precision::F32)] {
            let shape = Conv2dShape::square(1, channels, size, kernel, kernel / 2);
            for purpose in [Purpose::Training, Purpose::Inference] {
                let conv = Conv2d::new(shape, Algorithm::Fast).unwrap().purpose(purpose).precision(precision);
                // Prepared at another size of map.
                let large = Conv2dShape { height: 300, width: 300, ..shape };
                let other = Conv2d::new(large, Algorithm::Fast).unwrap().purpose(purpose).precision(precision);
                let weights = other.prepare(&noise(2, shape.weight_len())).unwrap();
                let (x, bias) = (noise(1, shape.input_len()), noise(4, shape.out_channels));
                let mut y = vec![f32::NAN; shape.output_len()];
                conv.forward_prepared(&x, &weights, Some(&bias), Activation::Relu, &mut y).unwrap();
                if y != forward(&conv) {
                    wrong.push(format!("{shape}, {purpose:?}, {precision:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn maps_that_leave_tiles_half_empty_have_smaller_ones() {
    for (size, small) in [(3, true), (4, false), (5, true), (6, true), (7, false), (9, true), (14, false), (17, false)]
    {
        let of = |size| Conv2d::new(Conv2dShape::square(16, [20, 40], [size; 2], 3, 1), Algorithm::Fast).unwrap();
        let (conv, weights) = (of(size), of(300).prepare(&noise(2, 20 * 40 * 9)).unwrap());
        assert_eq!(conv.plan(Pass::Forward).arithmetic.name == "F(3, 3)", small, "{size}x{size}");
        assert_eq!((weights.serve(&conv), conv.gains_from_preparing()), (!small, !small), "{size}x{size}");
    }
}

#[test]
fn weights_of_a_large_kernel_serve_maps_of_the_size_they_were_prepared_for() {
    let (f32, bf16) = (Precision::F32, Precision::Bf16);
    for (algorithm, precision) in [(Algorithm::Direct, f32), (Algorithm::Fast, f32), (Algorithm::Fast, bf16)] {
        let of = |size| {
            let shape = Conv2dShape::square(2, [41, 70], size, 7, 3);
            Conv2d::new(shape, algorithm).unwrap().purpose(Purpose::Inference).precision(precision)
        };
        let small = of([1, 2]);
        assert!(small.gains_from_preparing() && !of([4, 4]).gains_from_preparing());
        let (w, bias) = (noise(2, small.shape().weight_len()), noise(4, 70));
        let weights = small.prepare(&w).unwrap();
        for (size, serve) in [([2, 2], true), ([2, 1], true), ([1, 1], false), ([3, 2], false), ([9, 9], false)] {
            let conv = of(size);
            let mut y = vec![f32::NAN; conv.shape().output_len()];
            let x = noise(1, conv.shape().input_len());
            let done = conv.forward_prepared(&x, &weights, Some(&bias), Activation::Relu, &mut y);
            assert_eq!((weights.serve(&conv), done.is_ok()), (serve, serve), "{size:?}, {algorithm:?}, {precision:?}");
            if serve {
                assert_eq!(y, forward(&conv), "{size:?}, {algorithm:?}, {precision:?}");
                let want: Vec<f64> = forward(&conv.precision(f32)).into_iter().map(f64::from).collect();
                let (error, allowed) = (relative_rms(&y, &want), if precision == bf16 { 4e-3 } else { 0.0 });
                assert!(error <= allowed, "{size:?}, {algorithm:?}, {precision:?}: {error:.2e}");
            }
        }
    }
}

/// The forward pass with rectifier.
fn forward(conv: &Conv2d) -> Vec<f32> {
    let shape = conv.shape();
    let mut y = vec![f32::NAN; shape.output_len()];
    let (x, w, bias) = (noise(1, shape.input_len()), noise(2, shape.weight_len()), noise(4, shape.out_channels));
    conv.forward(&x, &w, Some(&bias), Activation::Relu, &mut y).unwrap();
    y
}

#[test]
fn bf16_is_the_same_on_every_instruction_set_but_for_the_order_of_sums() {
    let mut wrong = Vec::new();
    for shape in [
        Conv2dShape::square(2, [16, 9], [13, 70], 3, 1),
        Conv2dShape::square(1, [131, 70], [14, 9], 3, 1),
        Conv2dShape::square(1, [515, 66], [5, 7], 1, 0),
        Conv2dShape::square(1, [77, 66], [50, 40], 1, 0),
    ] {
        let conv = Conv2d::new(shape, Algorithm::Fast).unwrap().precision(Precision::Bf16);
        let want: Vec<f64> = forward(&conv.on(Isa::Portable)).into_iter().map(f64::from).collect();
        let f32 = forward(&conv.precision(Precision::F32));
        let rounding = relative_rms(&f32, &want);
        if !(1e-3..1.5e-2).contains(&rounding) {
            wrong.push(format!("{shape}: bf16 differs from f32 by {rounding:.2e}, expected 1e-3 to 1.5e-2"));
        }
        for isa in Isa::available() {
            // Values at the points differ in the last bit of f32, and then rarely in that of bf16.
            let error = relative_rms(&forward(&conv.on(isa)), &want);
            if error.is_nan() || error > 5e-4 {
                wrong.push(format!("{shape}, {isa:?}: {error:.2e} from the portable one, expected at most 5e-4"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn prepared_weights_keep_their_precision_whatever_the_layer_asks_for() {
    for shape in [
        // Only 3x3 of the taps meet pixels: sums that are short enough to go another way in f32.
        Conv2dShape::square(1, [3, 70], [2, 2], 5, 2),
        Conv2dShape::square(1, [70, 70], [9, 9], 1, 0),
    ] {
        let of = |precision| Conv2d::new(shape, Algorithm::Direct).unwrap().precision(precision);
        let (x, w, bias) = (noise(1, shape.input_len()), noise(2, shape.weight_len()), noise(4, shape.out_channels));
        for [prepared, asked] in [[Precision::Bf16, Precision::F32], [Precision::F32, Precision::Bf16]] {
            let weights = of(prepared).prepare(&w).unwrap();
            let mut y = vec![f32::NAN; shape.output_len()];
            of(asked).forward_prepared(&x, &weights, Some(&bias), Activation::Relu, &mut y).unwrap();
            assert_eq!(y, forward(&of(prepared)), "{shape}: prepared as {prepared:?}, asked for {asked:?}");
        }
    }
}

#[test]
fn layers_of_few_channels_and_winograd_7x7_stay_f32() {
    for (channels, kernel, bf16) in [
        ([3, 64], 3, false),
        ([16, 16], 3, true),
        ([64, 64], 7, false),
        ([512, 21], 1, false),
        ([64, 64], 1, true),
        ([63, 64], 1, false),
    ] {
        let shape = Conv2dShape::square(1, channels, [9, 9], kernel, kernel / 2);
        let conv = Conv2d::new(shape, Algorithm::Fast).unwrap();
        let differ = forward(&conv.precision(Precision::Bf16)) != forward(&conv);
        assert_eq!(differ, bf16, "{shape}");
    }
}

#[test]
fn wrong_lengths_are_refused_by_name() {
    let conv = Conv2d::new(Conv2dShape::square(1, [2, 3], [4, 4], 3, 1), Algorithm::Fast).unwrap();
    let (x, w, mut y) = (vec![0.0; 32], vec![0.0; 54], vec![0.0; 48]);
    let cases = [
        (
            conv.forward(&x[1..], &w, None, Activation::Relu, &mut y),
            "the input [1, 2, 4, 4] has 31 values, expected 32",
        ),
        (conv.forward(&x, &w[1..], None, Activation::Relu, &mut y), "the weight [3, 2, 3, 3] has 53 values"),
        (conv.forward(&x, &w, Some(&x), Activation::Relu, &mut y), "the bias [3] has 32 values"),
        (conv.forward(&x, &w, None, Activation::Relu, &mut y[1..]), "the output [1, 3, 4, 4] has 47 values"),
    ];
    for (got, want) in cases {
        let message = got.expect_err(want).to_string();
        assert!(message.contains(want), "{message:?} lacks {want:?}");
    }
}

#[test]
fn weights_prepared_for_another_convolution_are_refused() {
    let of = |channels| Conv2d::new(Conv2dShape::square(1, channels, [4, 4], 3, 1), Algorithm::Direct).unwrap();
    let prepared = of([3, 2]).prepare(&[0.0; 54]).unwrap();
    let refused = of([2, 3]).forward_prepared(&[0.0; 32], &prepared, None, Activation::Relu, &mut [0.0; 48]);
    assert!(refused.is_err(), "the number of weights is the same, the shape is not");
}
