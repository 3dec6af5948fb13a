//! Times the passes of one convolution: `layers BATCH C K H W KERNEL PAD ROUNDS [direct]`.
//!
//! Prints the minimum in milliseconds of forward, data gradient and weight gradient, each with the rate in GFLOP/s that
//! the definition of the convolution would need for it.

use std::time::Instant;

use conv_kernels::{Activation, Algorithm, Conv2d, Conv2dShape};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = arguments.iter().map_while(|a| a.parse().ok()).collect();
    let [batch, c, k, h, w, kernel, pad, rounds] = numbers[..] else {
        return Err("expected BATCH C K H W KERNEL PAD ROUNDS".into());
    };
    let algorithm = if arguments.len() > 8 { Algorithm::Direct } else { Algorithm::Fast };
    let shape = Conv2dShape::square(batch, [c, k], [h, w], kernel, pad);
    let conv = Conv2d::new(shape, algorithm)?;
    let values = |len: usize| (0..len).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect::<Vec<_>>();
    let (x, weight, dy) = (values(shape.input_len()), values(shape.weight_len()), values(shape.output_len()));
    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), weight.clone());
    let mut best = [f64::INFINITY; 3];
    for _ in 0..rounds {
        let mut note = |pass: usize, from: Instant| best[pass] = best[pass].min(from.elapsed().as_secs_f64());
        let start = Instant::now();
        conv.forward(&x, &weight, None, Activation::Relu, &mut y)?;
        note(0, start);
        let start = Instant::now();
        conv.backward_data(&dy, &weight, &mut dx)?;
        note(1, start);
        let start = Instant::now();
        conv.backward_weight(&x, &dy, &mut dw)?;
        note(2, start);
    }
    let flop = 2.0 * shape.multiply_adds() as f64;
    for (pass, seconds) in ["forward", "data", "weight"].iter().zip(best) {
        println!("{pass} {:.3} ms {:.0} GFLOP/s", seconds * 1e3, flop / seconds / 1e9);
    }
    Ok(())
}
