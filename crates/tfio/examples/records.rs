//! Writes the records that `reference/tfio_golden.py check` compares with TensorFlow's own:
//! `cargo run -p tfio --example records -- FILE`.

use std::borrow::Cow;
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use tfio::{Example, Feature, RecordWriter};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: records FILE")?;
    let mut writer = RecordWriter::new(BufWriter::new(File::create(path)?));
    let pixels: Vec<u8> = (0..=255).chain(0..=255).collect();
    let picture = Example::new().with_bytes("image", &pixels[..]).with_int64("height", 16).with_int64("width", 32);
    let every_kind = Example::new()
        .with("Z", Feature::Bytes(vec![Cow::Borrowed(b""), Cow::Borrowed(b"two")]))
        .with("a", Feature::Int64(vec![-1, 0, i64::MAX, i64::MIN]))
        .with("b", Feature::Float(vec![0.0, -0.0, 1.5, f32::INFINITY, f32::MAX]))
        .with("empty_bytes", Feature::Bytes(vec![]))
        .with("empty_float", Feature::Float(vec![]))
        .with("empty_int64", Feature::Int64(vec![]))
        .with("unset", Feature::Unset)
        .with_bytes("\u{fc}", "\u{fc}".as_bytes());
    for example in [picture, every_kind, Example::new()] {
        writer.write(&example.encode())?;
    }
    writer.flush()?;
    Ok(())
}
