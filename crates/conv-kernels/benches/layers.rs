//! The layers of FCN-8s on VGG-16, forward and backward: one 512x512 image, and four of 224x224.
//!
//! `cargo bench -p conv-kernels` measures; under `cargo test` each runs once. `reference/conv_layers.py` puts PyTorch beside.

use std::hint::black_box;

use conv_kernels::{Activation, Algorithm, Conv2d, Conv2dShape, Purpose};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};

/// Name, input channels, output channels, size of the map at 32 pixels a side of the smallest, kernel.
const LAYERS: [(&str, [usize; 2], usize, usize); 9] = [
    ("conv1_2", [64, 64], 32, 3),
    ("conv2_1", [64, 128], 16, 3),
    ("conv2_2", [128, 128], 16, 3),
    ("conv3_1", [128, 256], 8, 3),
    ("conv3_2", [256, 256], 8, 3),
    ("conv4_2", [512, 512], 4, 3),
    ("conv5_1", [512, 512], 2, 3),
    ("fc6", [512, 4096], 1, 7),
    ("fc7", [4096, 4096], 1, 1),
];

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layers");
    group.sample_size(10);
    for (batch, smallest) in [(1, 16), (4, 7)] {
        for (name, channels, scale, kernel) in LAYERS {
            let size = [scale * smallest; 2];
            let shape = Conv2dShape::square(batch, channels, size, kernel, kernel / 2);
            passes(&mut group, &format!("{name}/{batch}x{}", 32 * smallest), shape);
        }
    }
}

/// Forward for inference and the three passes of training; the rate is in multiply-adds of the definition.
fn passes(group: &mut BenchmarkGroup<WallTime>, name: &str, shape: Conv2dShape) {
    let Ok(conv) = Conv2d::new(shape, Algorithm::Fast) else { return };
    let values = |len: usize| (0..len).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect::<Vec<_>>();
    let (x, w, dy) = (values(shape.input_len()), values(shape.weight_len()), values(shape.output_len()));
    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
    group.throughput(Throughput::Elements(shape.multiply_adds() as u64));
    let inference = conv.purpose(Purpose::Inference);
    if let Ok(prepared) = inference.prepare(&w) {
        group.bench_function(format!("{name}/inference"), |b| {
            b.iter(|| inference.forward_prepared(&x, &prepared, None, Activation::Relu, black_box(&mut y)));
        });
    }
    group.bench_function(format!("{name}/forward"), |b| {
        b.iter(|| conv.forward(&x, &w, None, Activation::Relu, black_box(&mut y)));
    });
    group.bench_function(format!("{name}/data"), |b| b.iter(|| conv.backward_data(&dy, &w, black_box(&mut dx))));
    group.bench_function(format!("{name}/weight"), |b| b.iter(|| conv.backward_weight(&x, &dy, black_box(&mut dw))));
}

criterion_group!(benches, layers);
criterion_main!(benches);
