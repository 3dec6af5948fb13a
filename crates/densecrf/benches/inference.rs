//! Set-up and inference on a drawn 500 x 375 picture: `cargo bench -p densecrf`. Prints the least of several runs.

use std::time::{Duration, Instant};

use densecrf::{DenseCrf, Mode, Preset, Unary};

const WIDTH: usize = 500;
const HEIGHT: usize = 375;

/// A picture of 20 flat patches with noise.
fn picture() -> Vec<u8> {
    let value = |i: usize| {
        let patch = i / 3 % WIDTH / 100 + 5 * (i / 3 / WIDTH / 94);
        (patch * 37 + i % 3 * 61 + i * 7919 % 13) % 251
    };
    (0..WIDTH * HEIGHT * 3).map(|i| value(i) as u8).collect()
}

fn main() {
    let rgb = picture();
    println!("{WIDTH}x{HEIGHT}, (3; 3) + (80, 13; 10), 10 iterations, best of 5");
    for (labels, threads, mode) in [2, 21, 81]
        .into_iter()
        .flat_map(|c| [1, 2].into_iter().flat_map(move |t| [Mode::Exact, Mode::Fast].map(|m| (c, t, m))))
    {
        let energies: Vec<f32> = (0..labels * WIDTH * HEIGHT).map(|i| (i * 7919 % 4001) as f32 / 1000.0).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let run = || -> Result<(Duration, Duration), densecrf::CrfError> {
            let crf = DenseCrf::new(WIDTH, HEIGHT, labels)?.mode(mode).unary(Unary::from_energies(&energies))?;
            let start = Instant::now();
            let crf = crf.add_preset(Preset::paper(), &rgb)?;
            crf.prepare();
            let setup = start.elapsed();
            crf.inference(10)?;
            Ok((setup, start.elapsed()))
        };
        let runs: Vec<_> = (0..5).map(|_| pool.install(run).expect("a valid problem")).collect();
        let least = |f: fn(&(Duration, Duration)) -> Duration| runs.iter().map(f).min().unwrap_or_default();
        let (setup, total) = (least(|r| r.0), least(|r| r.1));
        println!("{labels:3} labels, {threads} threads, {mode:?}: set-up {setup:.1?}, total {total:.1?}");
    }
}
