//! Small data sets drawn for tests.

use std::path::{Path, PathBuf};

use crate::image::{RgbImage, encode_mask_png};
use crate::labels::{Classes, LabelMap, VOID};
use crate::rng::{Purpose, Rng};

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

/// Background above, one row of void, cat (8) below.
pub(crate) fn mask(width: usize, height: usize) -> LabelMap {
    let id = |row: usize| match row.cmp(&(height / 2)) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => VOID,
        std::cmp::Ordering::Greater => 8,
    };
    LabelMap { width, height, ids: (0..width * height).map(|i| id(i / width)).collect() }
}
