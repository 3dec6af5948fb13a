//! Scratch memory is recycled: it does not grow from call to call. In a program of its own, since the pool is everyone's.
#![allow(clippy::unwrap_used)]

use conv_kernels::{Activation, Algorithm, Conv2d, Conv2dShape, release_scratch, scratch_bytes};

#[test]
fn a_thousand_calls_hold_what_a_few_held() {
    let shapes = [
        Conv2dShape::square(1, [3, 16], [33, 29], 3, 1),
        Conv2dShape::square(1, [16, 24], [20, 17], 3, 1),
        Conv2dShape::square(2, [130, 140], [6, 7], 3, 1),
        Conv2dShape::square(1, [12, 40], [7, 5], 7, 3),
        Conv2dShape::square(1, [40, 21], [9, 9], 1, 0),
    ];
    let calls = |from: usize, to: usize| {
        for i in from..to {
            let shape = shapes[i % shapes.len()];
            let conv = Conv2d::new(shape, Algorithm::Fast).unwrap();
            let (x, w, dy) =
                (vec![1.0; shape.input_len()], vec![0.5; shape.weight_len()], vec![1.0; shape.output_len()]);
            let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
            conv.forward(&x, &w, None, Activation::Relu, &mut y).unwrap();
            conv.backward_data(&dy, &w, &mut dx).unwrap();
            conv.backward_weight(&x, &dy, &mut dw).unwrap();
        }
        scratch_bytes()
    };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let (few, many) = pool(1).install(|| (calls(0, 10), calls(10, 1000)));
    assert!(few > 0 && many == few, "{few} bytes after 10 calls, {many} after 1000");

    // With several threads it depends on who runs when. Each needs at most what the one needed, but may get it in blocks
    // that are larger, and the pool keeps an eighth more than was once in use: a half more for both, not a thousand times.
    let most = pool(3).install(|| calls(0, 1000));
    assert!(most <= 3 * few * 3 / 2, "{most} bytes with three threads, {few} with one");

    release_scratch();
    assert_eq!(scratch_bytes(), 0);
}
