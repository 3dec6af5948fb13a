//! Reads a checkpoint whole and prints what it holds, the time and the memory taken:
//! `cargo run --release -p tfio --example checkpoint -- PATH`. See `reference/vgg16_full_size.py`.
//!
//! Tensors of four dimensions are read with the outputs first, as an importer would read them.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use tfio::Checkpoint;

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: checkpoint PATH")?);
    let started = Instant::now();
    let checkpoint = Checkpoint::open(&path)?;
    println!("{:?}, {} tensors, opened in {:?}", checkpoint.version(), checkpoint.tensors().len(), started.elapsed());
    let mut reading = 0.0;
    for tensor in checkpoint.tensors() {
        let started = Instant::now();
        let values = match tensor.shape.len() {
            4 => checkpoint.read_f32_permuted(&tensor.name, &[3, 2, 0, 1]),
            _ => checkpoint.read_f32(&tensor.name),
        };
        let seconds = started.elapsed().as_secs_f64();
        reading += seconds;
        match values {
            Ok(values) => {
                let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
                println!("{sum:16.6} {} {:?} {:.0} ms", tensor.name, tensor.shape, seconds * 1e3);
            }
            Err(error) => println!("{:>16} {} {error}", "-", tensor.name),
        }
    }
    println!("read in {reading:.3} s");
    // Linux keeps the peak of the resident set; elsewhere nothing is printed.
    if let Some(line) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(peak) {
        println!("{line}");
    }
    Ok(())
}

fn peak(status: &str) -> Option<&str> {
    status.lines().find(|line| line.starts_with("VmHWM"))
}
