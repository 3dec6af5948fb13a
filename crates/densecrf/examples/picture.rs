//! Draws a scene, spoils its labels, mends them with the CRF, and writes the three side by side: `picture OUT.png`.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use densecrf::{DenseCrf, Preset, Unary};

const WIDTH: usize = 200;
const HEIGHT: usize = 150;
/// Sky, meadow, sun, house: what the picture shows and the colour of its label.
const SCENE: [[u8; 3]; 4] = [[120, 170, 230], [90, 150, 70], [250, 220, 90], [170, 90, 70]];
const LABEL: [[u8; 3]; 4] = [[70, 130, 180], [60, 120, 60], [255, 200, 0], [160, 60, 60]];

/// Pseudo-random bits of a pixel (the finaliser of splitmix64).
fn draw(seed: u64, i: usize) -> u64 {
    let mut z = (seed << 40).wrapping_add(i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33
}

fn label(x: i64, y: i64) -> usize {
    let roof = (x - 70).abs() < y - 42 && y <= 75;
    let walls = (x - 70).abs() < 26 && (75..120).contains(&y);
    if roof || walls {
        3
    } else if (x - 150).pow(2) + (y - 40).pow(2) < 24 * 24 {
        2
    } else {
        usize::from(y > 95 + (x - 100) / 12)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("usage: picture OUT.png")?;
    let at = |i: usize| label((i % WIDTH) as i64, (i / WIDTH) as i64);
    let pixels = WIDTH * HEIGHT;
    let rgb: Vec<u8> = (0..pixels)
        .flat_map(|i| SCENE[at(i)].map(|v| v.saturating_add_signed(8 * (draw(1, i) % 3) as i8 - 8)))
        .collect();

    // A coarse network's view: labels known on blocks of 8 x 8 only, and every sixth block mistaken.
    let seen = |i: usize| {
        let (bx, by) = (i % WIDTH / 8, i / WIDTH / 8);
        let block = by * WIDTH + bx;
        let truth = label(8 * bx as i64 + 4, 8 * by as i64 + 4);
        if draw(2, block).is_multiple_of(6) { (draw(3, block) % 4) as usize } else { truth }
    };
    let probability = |i: usize| if seen(i % pixels) == i / pixels { 0.55 } else { 0.15 };
    let probabilities: Vec<f32> = (0..4 * pixels).map(probability).collect();

    let preset = Preset::paper();
    let iterations = preset.iterations;
    let map = DenseCrf::new(WIDTH, HEIGHT, 4)?
        .unary(Unary::from_probabilities(&probabilities, 1e-5))?
        .add_preset(preset, &rgb)?
        .inference(iterations)?
        .map();

    let wrong =
        |f: &dyn Fn(usize) -> usize| 100.0 * (0..pixels).filter(|&i| f(i) != at(i)).count() as f64 / pixels as f64;
    println!("wrong before: {:.1} %, after: {:.1} %", wrong(&seen), wrong(&|i| usize::from(map[i])));
    let mut panels = Vec::with_capacity(9 * pixels);
    for y in 0..HEIGHT {
        let row = y * WIDTH..(y + 1) * WIDTH;
        panels.extend_from_slice(&rgb[3 * row.start..3 * row.end]);
        row.clone().for_each(|i| panels.extend(LABEL[seen(i)]));
        row.for_each(|i| panels.extend(LABEL[usize::from(map[i])]));
    }
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(out)?), 3 * WIDTH as u32, HEIGHT as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(&panels)?;
    Ok(())
}
