use super::*;
use crate::epilogue::Activation;
use crate::reference::{self, close, noise};
use crate::shape::Conv2dShape;

/// Shapes that reach every border case: pads beyond the kernel, tails in every direction, tiny maps, deep sums.
fn shapes() -> Vec<Conv2dShape> {
    let square = Conv2dShape::square;
    vec![
        square(1, [1, 1], [1, 1], 1, 0),
        square(1, [3, 8], [17, 13], 3, 1),
        square(2, [3, 40], [5, 33], 3, 1),
        square(2, [3, 5], [7, 9], 3, 10),
        square(2, [7, 3], [12, 31], 3, 0),
        square(3, [5, 70], [5, 4], 3, 1),
        square(1, [30, 40], [7, 7], 7, 3),
        square(3, [30, 40], [2, 1], 7, 3),
        square(2, [9, 33], [3, 2], 7, 5),
        square(2, [33, 21], [16, 15], 1, 0),
        square(2, [37, 150], [31, 40], 1, 0),
        square(2, [37, 30], [31, 40], 1, 0),
        square(1, [203, 21], [5, 4], 1, 0),
        square(2, [130, 32], [2, 2], 3, 1),
        square(1, [530, 21], [2, 2], 1, 0),
        square(2, [257, 262], [31, 20], 1, 0),
        square(1, [300, 530], [5, 7], 1, 0),
        Conv2dShape { kernel: [2, 5], pad: [1, 0], ..square(1, [4, 9], [10, 11], 1, 0) },
    ]
}

#[test]
fn forward_and_gradients_agree_with_f64_on_every_instruction_set() {
    let mut wrong = Vec::new();
    for shape in shapes() {
        shape.check().unwrap();
        let (x, w) = (noise(1, shape.input_len()), noise(2, shape.weight_len()));
        let (dy, bias) = (noise(3, shape.output_len()), noise(4, shape.out_channels));
        let plane = shape.out_height() * shape.out_width();
        let mut want = reference::forward(&shape, &x, &w);
        want.iter_mut().enumerate().for_each(|(i, v)| {
            *v = (*v + f64::from(bias[i / plane % shape.out_channels])).max(0.0);
        });
        let (want_dx, want_dw) =
            (reference::backward_data(&shape, &dy, &w), reference::backward_weight(&shape, &x, &dy));
        for isa in Isa::available() {
            let mut hold = |what: String, got: &[f32], want: &[f64], limit| {
                wrong.extend(close(&format!("{isa:?} {what} {shape}"), got, want, limit));
            };
            let (g, t) = (shape.geometry(), shape.geometry().transposed());
            let relu = Epilogue { bias: Some(&bias), activation: Activation::Relu, pool: None };
            let short = |g: &Geometry| g.window() > 1 && g.depth() < 64;
            for precision in [Precision::F32, Precision::Bf16] {
                let packed = DirectWeights::new(isa, RawWeights::new(&g, &w, false), precision);
                let limit = if precision == Precision::F32 { 4e-7 } else { 4e-3 };
                for loops in [ForwardLoops::ShortSums, ForwardLoops::Channels, ForwardLoops::Pixels] {
                    if loops == ForwardLoops::ShortSums && (precision == Precision::Bf16 || !short(&g)) {
                        continue;
                    }
                    let mut out = vec![f32::NAN; shape.output_len()];
                    forward(loops, isa, &g, &x, Source::Packed(&packed), relu, &mut out);
                    hold(format!("{loops:?} {precision:?}"), &out, &want, limit);
                    if precision == Precision::F32 {
                        let raw = |g: &Geometry, turned| Source::Raw(RawWeights::new(g, &w, turned));
                        out.fill(f32::NAN);
                        forward(loops, isa, &g, &x, raw(&g, false), relu, &mut out);
                        hold(format!("{loops:?}, weights as stored"), &out, &want, limit);
                        if loops == ForwardLoops::ShortSums && !short(&t) {
                            continue;
                        }
                        let mut dx = vec![f32::NAN; shape.input_len()];
                        forward(loops, isa, &t, &dy, raw(&t, true), Epilogue::NOTHING, &mut dx);
                        hold(format!("{loops:?}, data gradient"), &dx, &want_dx, limit);
                    }
                }
            }
            let (few, one_group) = (g.pixels() <= FEW_PIXELS, g.out_channels <= GROUP);
            for (loops, fits) in [
                (GradientLoops::ShortSums, short(&g)),
                (GradientLoops::Strips, few && one_group),
                (GradientLoops::Blocks, true),
                (GradientLoops::Parts, true),
            ] {
                if fits {
                    let mut dw = vec![f32::NAN; shape.weight_len()];
                    backward_weight(loops, isa, &g, &x, &dy, &mut dw);
                    hold(format!("weight gradient {loops:?}"), &dw, &want_dw, 4e-7);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pixels_in_blocks_and_channels_in_runs_give_the_same_bits() {
    // Kernels of 1 and of 4 values: sums are cut at the same depths both ways.
    for (kernel, pad) in [(1, 0), (2, 1)] {
        let shape = Conv2dShape::square(2, [70, 130], [31, 40], kernel, pad);
        let (g, x, w) = (shape.geometry(), noise(1, shape.input_len()), noise(2, shape.weight_len()));
        let bias = noise(3, shape.out_channels);
        assert!(g.pixels() > FEW_PIXELS, "more than one block");
        for isa in Isa::available() {
            for precision in [Precision::F32, Precision::Bf16] {
                let packed = DirectWeights::new(isa, RawWeights::new(&g, &w, false), precision);
                let mut results = [0; 2].map(|_| vec![f32::NAN; shape.output_len()]);
                let [pixels, channels] = &mut results;
                by_pixels::forward(isa, &g, &x, &packed, Some(&bias), Store::Channels(Activation::Relu), pixels);
                let source = Source::Packed(&packed);
                by_channels::forward(isa, &g, &x, source, Some(&bias), Activation::Relu, channels);
                assert!(pixels == channels, "{isa:?}, {precision:?}, {shape}");
            }
        }
    }
}
