use super::*;
use crate::epilogue::Activation;
use crate::reference::{self, close, noise};
use crate::shape::Conv2dShape;

/// Results of all passes of a filter, in every order and on every instruction set, beside f64.
fn compare(filter: Filter, shape: &Conv2dShape, scale: f32, limits: [f64; 3]) -> Vec<String> {
    let scaled = |seed, len| noise(seed, len).into_iter().map(|v| v * scale).collect::<Vec<_>>();
    let (x, w) = (scaled(1, shape.input_len()), noise(2, shape.weight_len()));
    let (dy, bias) = (scaled(3, shape.output_len()), scaled(4, shape.out_channels));
    let plane = shape.out_height() * shape.out_width();
    let mut want = reference::forward(shape, &x, &w);
    want.iter_mut().enumerate().for_each(|(i, v)| {
        *v = (*v + f64::from(bias[i / plane % shape.out_channels])).max(0.0);
    });
    let want_dx = reference::backward_data(shape, &dy, &w);
    let want_dw = reference::backward_weight(shape, &x, &dy);
    let mut wrong = Vec::new();
    let relu = Epilogue { bias: Some(&bias), activation: Activation::Relu, pool: None };
    for isa in Isa::available() {
        let mut hold = |what: &str, got: &[f32], want: &[f64], limit| {
            wrong.extend(close(&format!("{isa:?} {filter:?} {what} {shape}, scale {scale}"), got, want, limit));
        };
        let (g, t) = (shape.geometry(), shape.geometry().transposed());
        let (mut out, mut dx) = (vec![f32::NAN; shape.output_len()], vec![f32::NAN; shape.input_len()]);
        let at_points = weights(filter, isa, &g, &w, false, Precision::F32);
        forward_by_tiles(filter, isa, &g, &x, &at_points, relu, &mut out);
        hold("forward by tiles", &out, &want, limits[0]);
        let at_points = weights(filter, isa, &t, &w, true, Precision::F32);
        forward_by_tiles(filter, isa, &t, &dy, &at_points, Epilogue::NOTHING, &mut dx);
        hold("data gradient by tiles", &dx, &want_dx, limits[1]);

        out.fill(f32::NAN);
        forward_by_channels(filter, isa, &g, &x, &w, false, relu, &mut out);
        hold("forward by channels", &out, &want, limits[0]);
        dx.fill(f32::NAN);
        forward_by_channels(filter, isa, &t, &dy, &w, true, Epilogue::NOTHING, &mut dx);
        hold("data gradient by channels", &dx, &want_dx, limits[1]);

        for loops in [GradientLoops::Tiles, GradientLoops::Points, GradientLoops::Channels] {
            let mut dw = vec![f32::NAN; shape.weight_len()];
            backward_weight(filter, loops, isa, &g, &x, &dy, &mut dw);
            hold(&format!("weight gradient {loops:?}"), &dw, &want_dw, limits[2]);
        }
    }
    wrong
}

#[test]
fn three_by_three_agrees_with_f64_on_every_instruction_set() {
    let square = Conv2dShape::square;
    let mut wrong = Vec::new();
    for shape in [
        square(1, [1, 1], [1, 1], 3, 1),
        square(1, [3, 8], [17, 13], 3, 1),
        square(2, [3, 5], [7, 9], 3, 10),
        square(2, [7, 3], [12, 31], 3, 0),
        square(3, [5, 70], [5, 4], 3, 1),
        square(2, [16, 16], [56, 60], 3, 1),
        square(1, [130, 34], [14, 14], 3, 1),
        square(2, [3, 4], [5, 140], 3, 1),
        square(4, [6, 9], [28, 28], 3, 1),
    ] {
        for scale in [1.0, 1e-4, 1e4] {
            // Most of a single value are eight taps on padding and a bias, which cancel.
            let lone = shape.output_len() == 1;
            wrong.extend(compare(Filter::F33, &shape, scale, [if lone { 1e-5 } else { 1e-6 }, 1e-6, 1e-6]));
            wrong.extend(compare(Filter::F43, &shape, scale, [2e-6; 3]));
            wrong.extend(compare(Filter::F63, &shape, scale, [1.5e-5; 3]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn seven_by_seven_agrees_with_f64_on_every_instruction_set() {
    let square = Conv2dShape::square;
    let mut wrong = Vec::new();
    for shape in [
        square(1, [2, 3], [3, 2], 7, 3),
        square(2, [20, 36], [7, 7], 7, 3),
        square(1, [33, 14], [16, 19], 7, 3),
        square(1, [5, 6], [9, 23], 7, 0),
        square(1, [3, 3], [6, 8], 7, 9),
    ] {
        for scale in [1.0, 1e-4, 1e4] {
            wrong.extend(compare(Filter::F47, &shape, scale, [5e-5, 5e-5, 2e-5]));
            wrong.extend(compare(Filter::F27, &shape, scale, [1e-5; 3]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
