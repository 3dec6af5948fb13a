//! Small data sets drawn for tests.

use std::path::{Path, PathBuf};

use crate::image::{RgbImage, encode_mask_png};
use crate::labels::{Classes, LabelMap, VOID};
use crate::rng::{Purpose, Rng};
use crate::size::Size;

/// A VOC root in a temporary folder.
pub(crate) struct DrawnVoc {
    dir: tempfile::TempDir,
}

impl DrawnVoc {
    /// `train` holds ids `a0, a1, ...`, `val` holds `b0, b1, ...`, all of `width` x `height`.
    pub fn new(train: usize, val: usize, width: usize, height: usize) -> Self {
        let drawn = DrawnVoc { dir: tempfile::tempdir().unwrap() };
        for folder in ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation"] {
            std::fs::create_dir_all(drawn.root().join(folder)).unwrap();
        }
        for (split, prefix, n) in [("train", "a", train), ("val", "b", val)] {
            let ids: Vec<String> = (0..n).map(|i| format!("{prefix}{i}")).collect();
            ids.iter().for_each(|id| drawn.add(id, width, height));
            drawn.list(split, &ids.iter().map(String::as_str).collect::<Vec<_>>());
        }
        drawn
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn image(&self, id: &str) -> PathBuf {
        self.root().join(format!("JPEGImages/{id}.jpg"))
    }

    pub fn mask(&self, id: &str) -> PathBuf {
        self.root().join(format!("SegmentationClass/{id}.png"))
    }

    /// Writes the list of a split.
    pub fn list(&self, split: &str, ids: &[&str]) {
        let path = self.root().join(format!("ImageSets/Segmentation/{split}.txt"));
        std::fs::write(path, ids.iter().map(|id| format!("{id}\n")).collect::<String>()).unwrap();
    }

    /// Draws a pair: noise that depends on the id, and a mask with background, a cat and a void row between.
    pub fn add(&self, id: &str, width: usize, height: usize) {
        let key: Vec<u64> = id.bytes().map(u64::from).collect();
        let mut rng = Rng::derive(1, Purpose::Draw, &key);
        let rgb_hwc = (0..width * height * 3).map(|_| rng.next_u64() as u8).collect();
        std::fs::write(self.image(id), RgbImage { width, height, rgb_hwc }.to_jpeg(90).unwrap()).unwrap();
        std::fs::write(self.mask(id), encode_mask_png(&mask(width, height), &Classes::voc()).unwrap()).unwrap();
    }
}

/// How a program that is not this one writes a mask.
pub(crate) enum Foreign<'a> {
    /// Grey of 8 bits.
    Grey,
    /// Grey of 1 bit.
    OneBit,
    /// A palette of these colours.
    Palette(&'a [[u8; 3]]),
    /// The colours at these indices.
    Rgb(&'a [[u8; 3]]),
}

/// A PNG mask of `width` pixels a row that holds `values`, without a word on what these are.
pub(crate) fn foreign_mask(width: usize, values: &[u8], how: &Foreign<'_>) -> Vec<u8> {
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, width as u32, (values.len() / width) as u32);
    let mut samples = values.to_vec();
    match how {
        Foreign::Grey => encoder.set_color(png::ColorType::Grayscale),
        Foreign::OneBit => {
            encoder.set_color(png::ColorType::Grayscale);
            encoder.set_depth(png::BitDepth::One);
            let pack = |bits: &[u8]| bits.iter().enumerate().map(|(i, bit)| bit << (7 - i)).sum();
            samples = values.chunks(width).flat_map(|row| row.chunks(8).map(pack).collect::<Vec<u8>>()).collect();
        }
        Foreign::Palette(palette) => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(palette.concat());
        }
        Foreign::Rgb(colours) => {
            encoder.set_color(png::ColorType::Rgb);
            samples = values.iter().flat_map(|&value| colours[usize::from(value)]).collect();
        }
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&samples).unwrap();
    writer.finish().unwrap();
    png
}

/// A grey PNG photograph of 16 bits a sample, 4 pixels wide.
pub(crate) fn png_of_16_bits(samples: &[u16]) -> Vec<u8> {
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 4, (samples.len() / 4) as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&samples.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>()).unwrap();
    writer.finish().unwrap();
    png
}

/// Two classes in 4 pixels, three samples, and photographs of 16 bits whose greatest samples are 4095, 1000 and 4095.
pub(crate) fn drawn_of_16_bits() -> tempfile::TempDir {
    let mask = || ([0u8, 1, 1, 0].as_slice(), Foreign::Grey);
    let folder = drawn_folder("0 background\n1 thing\n", &[mask(), mask(), mask()]);
    for (i, greatest) in [4095u16, 1000, 4095].into_iter().enumerate() {
        let png = png_of_16_bits(&[i as u16, greatest / 2, 16, greatest]);
        std::fs::write(folder.path().join(format!("images/a{i}.png")), png).unwrap();
    }
    folder
}

/// A folder of `images/` and `masks/` with a class list, one pair for each mask: `a0`, `a1`, ... of which the last is
/// in val.txt, the others are in train.txt. Masks are 4 pixels wide.
pub(crate) fn drawn_folder(classes: &str, masks: &[(&[u8], Foreign<'_>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: String| folder.path().join(name);
    ["images", "masks"].iter().for_each(|name| std::fs::create_dir(path(name.to_string())).unwrap());
    std::fs::write(path("classes.txt".into()), classes).unwrap();
    for (i, (values, how)) in masks.iter().enumerate() {
        std::fs::write(path(format!("masks/a{i}.png")), foreign_mask(4, values, how)).unwrap();
        let image = RgbImage::filled(Size::new(4, values.len() / 4), [i as u8 + 1; 3]);
        std::fs::write(path(format!("images/a{i}.png")), image.to_png().unwrap()).unwrap();
    }
    let ids = |range: std::ops::Range<usize>| range.map(|i| format!("a{i}\n")).collect::<String>();
    std::fs::write(path("train.txt".into()), ids(0..masks.len() - 1)).unwrap();
    std::fs::write(path("val.txt".into()), ids(masks.len() - 1..masks.len())).unwrap();
    folder
}

/// Background above, one row of void, cat (8) below.
pub(crate) fn mask(width: usize, height: usize) -> LabelMap {
    let id = |row: usize| match row.cmp(&(height / 2)) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => VOID,
        std::cmp::Ordering::Greater => 8,
    };
    LabelMap { width, height, ids: (0..width * height).map(|i| id(i / width)).collect() }
}
