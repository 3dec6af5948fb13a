//! Runs the CRF on raw files, so that any other program can be compared with it.
//!
//! `raw W H C ITERATIONS UNARY.f32 PICTURE.u8|- OUT.f32 [--fast] [--threads N] [--repeat N] [KERNEL...]`
//!
//! UNARY holds energies \[C, H, W\], PICTURE RGB \[H, W, 3\]; OUT receives probabilities \[C, H, W\]; `-` writes none.
//! A KERNEL is `g:SX,SY:COMPAT:NORM` or `b:SX,SY,SR,SG,SB:COMPAT:NORM`; COMPAT is `p3.5` (Potts), `dFILE` (diagonal) or
//! `mFILE` (matrix, f32); NORM is `s`, `b`, `a` or `n`. Prints one line a repetition: seconds of set-up and of inference,
//! seconds of processor time of both on all threads, and the peak memory of the process in KiB (the last two on Linux;
//! 0 elsewhere).

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};
use std::time::Instant;

use densecrf::{BilateralKernel, Compatibility, DenseCrf, GaussianKernel, Mode, Normalization, Unary};

/// Without a second copy of the file, which would count as peak memory.
fn read_f32(path: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let file = File::open(path).map_err(|e| format!("{path}: {e}"))?;
    let mut values = Vec::with_capacity(file.metadata()?.len() as usize / 4);
    let (mut reader, mut bytes) = (BufReader::new(file), [0; 4]);
    for _ in 0..values.capacity() {
        reader.read_exact(&mut bytes)?;
        values.push(f32::from_le_bytes(bytes));
    }
    Ok(values)
}

fn compat(text: &str) -> Result<Compatibility, Box<dyn Error>> {
    Ok(match text.split_at(1) {
        ("p", weight) => Compatibility::Potts(weight.parse()?),
        ("d", file) => Compatibility::Diagonal(read_f32(file)?),
        ("m", file) => Compatibility::Matrix(read_f32(file)?),
        _ => return Err(format!("compatibility {text}: expected pWEIGHT, dFILE or mFILE").into()),
    })
}

fn add_kernel(crf: DenseCrf, text: &str, rgb: &[u8]) -> Result<DenseCrf, Box<dyn Error>> {
    let [kind, sigmas, price, norm] = text.split(':').collect::<Vec<_>>()[..] else {
        return Err(format!("kernel {text}: expected four parts divided by colons").into());
    };
    let sigmas = sigmas.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>()?;
    let compat = compat(price)?;
    let normalization = match norm {
        "s" => Normalization::Symmetric,
        "b" => Normalization::Before,
        "a" => Normalization::After,
        "n" => Normalization::None,
        _ => return Err(format!("normalisation {norm}: expected s, b, a or n").into()),
    };
    Ok(match (kind, &sigmas[..]) {
        ("g", &[sigma_x_px, sigma_y_px]) => {
            crf.add_gaussian(GaussianKernel { sigma_x_px, sigma_y_px, compat, normalization })?
        }
        ("b", &[sigma_x_px, sigma_y_px, r, g, b]) => {
            let sigma_rgb = [r, g, b];
            crf.add_bilateral(BilateralKernel { sigma_x_px, sigma_y_px, sigma_rgb, compat, normalization }, rgb)?
        }
        _ => return Err(format!("kernel {text}: expected g with two or b with five deviations").into()),
    })
}

/// Peak resident memory of this process, KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Processor time of all threads of this process, seconds.
fn processor_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = |thread: std::fs::DirEntry| -> Option<f64> {
        std::fs::read_to_string(thread.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    threads.filter_map(nanoseconds).sum::<f64>() / 1e9
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [width, height, labels, iterations, unary, picture, out, rest @ ..] = arguments else {
        return Err(
            "usage: raw W H C ITERATIONS UNARY PICTURE|- OUT|- [--fast] [--threads N] [--repeat N] KERNEL...".into()
        );
    };
    let (width, height, labels): (usize, usize, usize) = (width.parse()?, height.parse()?, labels.parse()?);
    let iterations: usize = iterations.parse()?;
    let unary = read_f32(unary)?;
    let rgb = if picture == "-" { Vec::new() } else { std::fs::read(picture)? };
    let (mut mode, mut repeat, mut kernels) = (Mode::Exact, 1_usize, Vec::new());
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--fast" => mode = Mode::Fast,
            "--threads" => {
                let threads = rest.next().ok_or("--threads needs a number")?.parse()?;
                rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
            }
            "--repeat" => repeat = rest.next().ok_or("--repeat needs a number")?.parse()?,
            kernel => kernels.push(kernel),
        }
    }
    for _ in 0..repeat {
        // The energies' copy into the CRF is timed with neither part, as for other programs.
        let mut crf = DenseCrf::new(width, height, labels)?.unary(Unary::from_energies(&unary))?.mode(mode);
        let (start, before) = (Instant::now(), processor_seconds());
        for kernel in &kernels {
            crf = add_kernel(crf, kernel, &rgb)?;
        }
        crf.prepare();
        let setup = start.elapsed();
        let marginals = crf.inference(iterations)?;
        let total = start.elapsed();
        let (setup, inference, work) =
            (setup.as_secs_f64(), (total - setup).as_secs_f64(), processor_seconds() - before);
        println!("{setup:.6} {inference:.6} {work:.6} {}", peak_kib());
        if out != "-" {
            let bytes: Vec<u8> = marginals.to_chw().into_iter().flat_map(|v| v.to_le_bytes()).collect();
            std::fs::write(out, bytes)?;
        }
    }
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Err(error) = run(&arguments) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
