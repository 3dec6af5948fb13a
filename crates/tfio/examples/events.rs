//! Writes the event files that `reference/check_tensorboard.py` reads: `cargo run -p tfio --example events -- DIR`.
//!
//! Two files of one run that was stopped after step 4 and resumed at step 3.

use std::error::Error;
use std::path::PathBuf;

use tfio::{EventWriter, Hyperparameter};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: events DIR")?);
    let mut writer = EventWriter::create(&dir, 1_700_000_000.0, "")?;
    for step in 0..5 {
        writer.scalar(step, "train/loss", 1.0 / (step + 1) as f32)?;
    }
    writer.flush()?;

    let mut writer = EventWriter::create(&dir, 1_700_000_100.0, "")?;
    writer.resume_at(3)?;
    for step in 3..6 {
        writer.scalar(step, "train/loss", 10.0 + step as f32)?;
    }
    writer.scalar(1 << 40, "large/step", f32::INFINITY)?;
    writer.image_png(5, "val/prediction", 2, 1, &RED_BLUE_PNG)?;
    writer.text(5, "run/command", "`fcn train`")?;
    writer.hyperparameters([
        ("lr".to_string(), Hyperparameter::Number(0.25)),
        ("flip".to_string(), Hyperparameter::Bool(true)),
        ("variant".to_string(), Hyperparameter::Text("8s".to_string())),
    ])?;
    writer.flush()?;
    Ok(())
}

/// Two pixels, red and blue: header, one stored deflate block, end.
const RED_BLUE_PNG: [u8; 75] = [
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00,
    0x02, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00, 0x00, 0x7b, 0x40, 0xe8, 0xdd, 0x00, 0x00, 0x00, 0x12, 0x49,
    0x44, 0x41, 0x54, 0x78, 0x01, 0x01, 0x07, 0x00, 0xf8, 0xff, 0x00, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0x07, 0x00,
    0x01, 0xff, 0x55, 0x36, 0xba, 0xc7, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];
