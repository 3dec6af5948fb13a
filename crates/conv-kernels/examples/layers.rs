//! Times passes of convolutions that are asked for on standard input, so that another program can alternate its own runs
//! with these (`reference/conv_layers.py` does, with PyTorch's).
//!
//! A request is a line `BATCH C K H W KERNEL PAD PASS ALGORITHM THREADS ROUNDS CLOCK`, where PASS is `forward` (with bias and
//! rectifier), `prepared` (the same for inference, with weights transformed before), `bf16` (that with products of bf16),
//! `data` or `weight`, and ALGORITHM `direct`, `accurate` or `fast`. CLOCK is `wall`, or `cpu` for the process's CPU time,
//! which other programs disturb less. The answer is a line with the milliseconds of each round, after one round to warm up.

use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

use conv_kernels::{Activation, Algorithm, Conv2d, Conv2dShape, Precision, Purpose, Scratch, ShapeError};

fn main() -> Result<(), Box<dyn Error>> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let times = answer(&words).map_err(|e| format!("{line:?}: {e}"))?;
        println!("{}", times.iter().map(|ms| format!("{ms:.4}")).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

/// The milliseconds of each round.
fn answer(words: &[&str]) -> Result<Vec<f64>, Box<dyn Error>> {
    let [batch, c, k, h, w, kernel, pad, pass, algorithm, threads, rounds, clock] = words[..] else {
        return Err("expected BATCH C K H W KERNEL PAD PASS ALGORITHM THREADS ROUNDS CLOCK".into());
    };
    let algorithm = match algorithm {
        "direct" => Algorithm::Direct,
        "accurate" => Algorithm::Accurate,
        "fast" => Algorithm::Fast,
        _ => return Err("ALGORITHM is direct, accurate or fast".into()),
    };
    let shape = Conv2dShape::square(
        batch.parse()?,
        [c.parse()?, k.parse()?],
        [h.parse()?, w.parse()?],
        kernel.parse()?,
        pad.parse()?,
    );
    let (purpose, precision) = match pass {
        "prepared" => (Purpose::Inference, Precision::F32),
        "bf16" => (Purpose::Inference, Precision::Bf16),
        _ => (Purpose::Training, Precision::F32),
    };
    let conv = Conv2d::new(shape, algorithm)?.purpose(purpose).precision(precision);
    // In memory of large pages, as a network keeps its tensors.
    let values = |len: usize| {
        let mut values = Scratch::take(len);
        values.iter_mut().enumerate().for_each(|(i, value)| *value = (i * 7919 % 1000) as f32 / 500.0 - 1.0);
        values
    };
    let (x, weight, dy) = (values(shape.input_len()), values(shape.weight_len()), values(shape.output_len()));
    let bias = values(shape.out_channels);
    let prepared = if purpose == Purpose::Inference { Some(conv.prepare(&weight)?) } else { None };
    let mut out = Scratch::zeros(x.len().max(weight.len()).max(dy.len()));
    let mut round = || match (pass, &prepared) {
        (_, Some(prepared)) => conv.forward_prepared(&x, prepared, Some(&bias), Activation::Relu, &mut out[..dy.len()]),
        ("forward", _) => conv.forward(&x, &weight, Some(&bias), Activation::Relu, &mut out[..dy.len()]),
        ("data", _) => conv.backward_data(&dy, &weight, &mut out[..x.len()]),
        _ => conv.backward_weight(&x, &dy, &mut out[..weight.len()]),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build()?;
    let rounds: usize = rounds.parse()?;
    let begin = Instant::now();
    if clock == "cpu" && !cfg!(unix) {
        return Err("CLOCK cpu is there on Unix only; use wall".into());
    }
    let now = || if clock == "cpu" { cpu_time() } else { begin.elapsed().as_secs_f64() * 1e3 };
    let times = pool.install(|| {
        let mut times = Vec::with_capacity(rounds);
        for i in 0..=rounds {
            let start = now();
            round()?;
            if i > 0 {
                times.push(now() - start);
            }
        }
        Ok::<_, ShapeError>(times)
    });
    Ok(times?)
}

/// CPU time of this process, all threads together, in milliseconds.
#[cfg(unix)]
fn cpu_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Unix, and the result is written to a live variable.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// There is no such clock here.
#[cfg(not(unix))]
fn cpu_time() -> f64 {
    f64::NAN
}
