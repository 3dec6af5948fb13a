//! Pictures of a data set: what the numbers of a check cannot say is seen at a glance.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::count::{ClassCount, SplitReport};
use crate::dataset::augment::AugmentOptions;
use crate::dataset::loader::{BatchPlan, Loader};
use crate::dataset::{Dataset, Split};
use crate::error::{Error, Result};
use crate::files::write::write_bytes_atomically;
use crate::image::RgbImage;
use crate::image::preprocessing::{Channels, Preprocessing};
use crate::labels::{Classes, LabelMap};
use crate::pictures::{Bar, PhotographTile, bar_chart, bar_colour, file_stem, photograph_sheet};

/// Photographs in a sheet at most.
const SHOWN: usize = 16;

/// Which pictures are wanted.
#[derive(Clone, Debug)]
pub struct CheckPictures {
    /// The folder to write to; made where it is missing.
    pub folder: PathBuf,
    /// How training would cut crops.
    pub augment: AugmentOptions,
}

/// Draws the pictures of each split: `SPLIT_masks.png`, photographs under their masks; `SPLIT_classes.png` and
/// `SPLIT_sizes.png`, how often each class and size occurs; of the split `train`, or of the only one, `SPLIT_crops.png`,
/// crops as training would see them. Samples that cannot be read are left out: they are among the problems.
pub(super) fn draw(dataset: &Dataset, reports: &[SplitReport], wanted: &CheckPictures) -> Result<Vec<PathBuf>> {
    let folder = &wanted.folder;
    fs::create_dir_all(folder).map_err(|e| Error::io("create the folder for pictures", folder, &e))?;
    let splits = dataset.all_splits();
    let classes = &dataset.classes;
    let mut written = Vec::new();
    let mut save = |split: &str, what: &str, picture: &RgbImage| -> Result<()> {
        let path = folder.join(format!("{}_{what}.png", file_stem(split)));
        write_bytes_atomically(&path, &picture.to_png()?)?;
        written.push(path);
        Ok(())
    };
    for (split, report) in splits.iter().zip(reports) {
        let name = split.name();
        let (readable, tiles) = photographs(split);
        let title = format!("{name}: {} of {} photographs under their masks", tiles.len(), split.len());
        save(name, "masks", &photograph_sheet(&title, &tiles, classes)?)?;
        save(name, "classes", &bar_chart(&format!("{name}: photographs by class"), &class_bars(report, classes)))?;
        save(name, "sizes", &bar_chart(&format!("{name}: photographs by size"), &size_bars(report)))?;
        if !readable.is_empty() && (name == "train" || splits.len() == 1) {
            let tiles = crops(&split.only(&readable), wanted.augment)?;
            let AugmentOptions { crop, scale_min, scale_max, .. } = wanted.augment;
            let title =
                format!("{name}: crops of {crop} pixels, scaled by {scale_min} to {scale_max}, as training sees them");
            save(name, "crops", &photograph_sheet(&title, &tiles, classes)?)?;
        }
    }
    Ok(written)
}

/// Some samples spread over the split, those that can be read, and their positions.
fn photographs(split: &Split) -> (Vec<usize>, Vec<PhotographTile>) {
    let loaded = split.spread(SHOWN).into_iter().filter_map(|i| Some((i, split.load(i).ok()?)));
    loaded.map(|(i, sample)| (i, PhotographTile { name: sample.id, photo: sample.image, map: sample.labels })).unzip()
}

/// A crop of each sample, cut by the loader of training with the seed 0.
fn crops(split: &Split, augment: AugmentOptions) -> Result<Vec<PhotographTile>> {
    // Whole colours: what lies outside of a photograph is 0 after normalising, which is the mean.
    let preprocessing = Preprocessing { channels: Channels::Rgb, std: [1.0; 3], ..Preprocessing::default() };
    let mean = preprocessing.mean;
    let plan = BatchPlan { seed: 0, batch: split.len(), augment, preprocessing };
    let batch = Loader::start(Arc::new(split.clone()), plan, 0)?.next_batch()?;
    let side = augment.crop;
    let tile = |(i, name): (usize, &String)| {
        let planes = &batch.images_nchw[i * 3 * side * side..][..3 * side * side];
        let value = |at: usize, c: usize| (planes[c * side * side + at] + mean[c]).round().clamp(0.0, 255.0) as u8;
        let rgb_hwc = (0..side * side).flat_map(|at| [value(at, 0), value(at, 1), value(at, 2)]).collect();
        let ids = batch.labels_nhw[i * side * side..][..side * side].to_vec();
        PhotographTile {
            name: name.clone(),
            photo: RgbImage { width: side, height: side, rgb_hwc },
            map: LabelMap { width: side, height: side, ids },
        }
    };
    Ok(batch.ids.iter().enumerate().map(tile).collect())
}

fn class_bars(report: &SplitReport, classes: &Classes) -> Vec<Bar> {
    let pixels = report.per_class.iter().map(|c| c.pixels).sum::<u64>().max(1);
    let bar = |class: &ClassCount| Bar {
        name: class.name.clone(),
        amount: class.images,
        label: format!("{}   {:.2} % of the pixels", class.images, 100.0 * class.pixels as f64 / pixels as f64),
        colour: bar_colour(class.id, classes),
    };
    report.per_class.iter().map(bar).collect()
}

/// The commonest sizes, by size; all others in one.
fn size_bars(report: &SplitReport) -> Vec<Bar> {
    const BLUE: [u8; 3] = [0, 114, 178];
    let bar =
        |name: String, images: usize| Bar { name, amount: images as u64, label: images.to_string(), colour: BLUE };
    let mut sizes: Vec<_> = report.sizes.iter().collect();
    sizes.sort_by_key(|one| (one.size.pixels(), one.size));
    let listed: usize = sizes.iter().map(|one| one.images).sum();
    let mut bars: Vec<Bar> = sizes.into_iter().map(|one| bar(one.size.to_string(), one.images)).collect();
    if report.different_sizes > report.sizes.len() {
        let others = report.different_sizes - report.sizes.len();
        bars.push(bar(format!("{others} others"), report.usable.saturating_sub(listed)));
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::super::{CheckOptions, check};
    use super::*;
    use crate::synthetic::{DrawOptions, draw_dataset};

    #[test]
    fn every_split_is_shown_and_damaged_files_are_left_out() {
        let data = tempfile::tempdir().unwrap();
        draw_dataset(data.path(), &DrawOptions { seed: 0, train: 5, val: 2 }).unwrap();
        let photographs: Vec<PathBuf> =
            fs::read_dir(data.path().join("JPEGImages")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let first = photographs.iter().find(|path| path.ends_with("drawn_00000.jpg")).unwrap();
        fs::write(first, "no picture").unwrap();
        let folder = data.path().join("shown/here");
        let augment = AugmentOptions { crop: 48, scale_min: 1.0, scale_max: 1.0, flip: true };
        let options = |pictures| CheckOptions {
            data: data.path().to_path_buf(),
            open: Default::default(),
            split: None,
            min_size: 1,
            pictures,
        };
        let report = check(&options(Some(CheckPictures { folder: folder.clone(), augment })), &|_, _| {}).unwrap();
        assert!(!report.ok, "one photograph is damaged");
        let names: Vec<String> =
            report.pictures.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        let expected =
            ["train_masks", "train_classes", "train_sizes", "train_crops", "val_masks", "val_classes", "val_sizes"];
        assert_eq!(names, expected.map(|name| format!("{name}.png")));
        assert!(report.pictures.iter().all(|path| path.is_file()));
        assert!(check(&options(None), &|_, _| {}).unwrap().pictures.is_empty());
    }

    #[test]
    fn crops_have_the_colours_of_the_photograph_and_void_outside() {
        let data = tempfile::tempdir().unwrap();
        draw_dataset(data.path(), &DrawOptions { seed: 0, train: 2, val: 1 }).unwrap();
        let split = Dataset::open(data.path(), None).unwrap().split("train").unwrap();
        let sample = split.load(0).unwrap();
        let side = sample.image.width.max(sample.image.height) + 40;
        let augment = AugmentOptions { crop: side, scale_min: 1.0, scale_max: 1.0, flip: false };
        let tiles = crops(&split, augment).unwrap();
        let tile = tiles.iter().find(|tile| tile.name == sample.id).unwrap();
        let inside: Vec<usize> =
            (0..side * side).filter(|&i| tile.photo.pixel(i % side, i / side) != [124, 117, 104]).collect();
        let colours = |image: &RgbImage| image.rgb_hwc.iter().map(|v| u64::from(*v)).sum::<u64>();
        let outside = (side * side - sample.image.size().pixels()) as u64;
        assert_eq!(colours(&tile.photo), colours(&sample.image) + outside * (124 + 117 + 104));
        assert!(inside.len() > sample.image.size().pixels() * 9 / 10);
        assert!(tile.map.ids.contains(&crate::labels::VOID));
    }

    #[test]
    fn sizes_that_are_not_listed_are_in_one_bar() {
        let size = |width, images| super::super::SizeCount { size: crate::size::Size::new(width, 10), images };
        let report = SplitReport {
            name: "train".into(),
            images: 9,
            usable: 9,
            per_class: Vec::new(),
            void_pixels: 0,
            unknown_pixels: 0,
            void_share: 0.0,
            sizes: vec![size(30, 4), size(20, 3)],
            different_sizes: 4,
            smallest: None,
            largest: None,
            of_16bit: None,
        };
        let bars: Vec<_> = size_bars(&report).into_iter().map(|bar| (bar.name, bar.amount)).collect();
        assert_eq!(bars, [("20x10".to_string(), 3), ("30x10".to_string(), 4), ("2 others".to_string(), 2)]);
    }
}
