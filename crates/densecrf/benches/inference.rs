//! Set-up and inference on a drawn 500 x 375 picture: `cargo bench -p densecrf`.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use densecrf::{CrfError, DenseCrf, Mode, Preset, Unary};

const WIDTH: usize = 500;
const HEIGHT: usize = 375;
const ITERATIONS: usize = 10;

/// A picture of 20 flat patches with noise.
fn picture() -> Vec<u8> {
    let value = |i: usize| {
        let patch = i / 3 % WIDTH / 100 + 5 * (i / 3 / WIDTH / 94);
        (patch * 37 + i % 3 * 61 + i * 7919 % 13) % 251
    };
    (0..WIDTH * HEIGHT * 3).map(|i| value(i) as u8).collect()
}

/// (3; 3) + (80, 13; 10) over drawn energies.
fn crf(labels: usize, rgb: &[u8], mode: Mode) -> Result<DenseCrf, CrfError> {
    let energies: Vec<f32> = (0..labels * WIDTH * HEIGHT).map(|i| (i * 7919 % 4001) as f32 / 1000.0).collect();
    let crf = DenseCrf::new(WIDTH, HEIGHT, labels)?.mode(mode).unary(Unary::from_energies(&energies))?;
    let crf = crf.add_preset(Preset::paper(), rgb)?;
    crf.prepare();
    Ok(crf)
}

fn benches(criterion: &mut Criterion) {
    let rgb = picture();
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let mut group = criterion.benchmark_group(format!("{threads} threads"));
        group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
        // One label: next to nothing but the lattices.
        group.bench_function("set-up", |b| b.iter(|| pool.install(|| crf(1, &rgb, Mode::Exact))));
        for (labels, mode) in [2, 21, 81].into_iter().flat_map(|c| [Mode::Exact, Mode::Fast].map(|m| (c, m))) {
            let ready = || pool.install(|| crf(labels, &rgb, mode)).expect("a valid problem");
            let infer = |crf: DenseCrf| pool.install(|| crf.inference(ITERATIONS));
            let id = BenchmarkId::new(format!("{ITERATIONS} iterations, {mode:?}"), labels);
            group.bench_function(id, |b| b.iter_batched(ready, infer, BatchSize::PerIteration));
        }
        group.finish();
    }
}

criterion_group!(inference, benches);
criterion_main!(inference);
