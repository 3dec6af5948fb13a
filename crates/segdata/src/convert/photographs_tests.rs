//! Photographs that are read by options, on their way into records.

use super::tests::options;
use super::*;
use crate::dataset::drawn::{drawn_of_16_bits, png_of_16_bits};
use crate::dataset::{Dataset, OpenOptions};
use crate::image::{ReadOptions, Scale16, decode_rgb_with};

fn opened(reading: ReadOptions) -> OpenOptions {
    OpenOptions { reading, ..OpenOptions::default() }
}

#[test]
fn what_options_change_is_stored_as_it_is_read() {
    let folder = drawn_of_16_bits();
    let out = tempfile::tempdir().unwrap();
    let scaled = |scale| ReadOptions { scale_16bit: Some(scale), ..ReadOptions::default() };
    for (i, scale) in [Scale16::Bits(12), Scale16::Used, Scale16::Full].into_iter().enumerate() {
        let (reading, records) = (scaled(scale), out.path().join(i.to_string()));
        let read = Dataset::open_with(folder.path(), &opened(reading)).unwrap().split("train").unwrap();
        let convert_options = ConvertOptions { open: opened(reading), min_size: 1, ..options(folder.path(), &records) };
        convert(&convert_options, &|_, _| {}).unwrap();
        // The records say no scale, and need none.
        let converted = Dataset::open(&records, None).unwrap().split("train").unwrap();
        for sample in 0..read.len() {
            let (expected, found) = (read.load(sample).unwrap(), converted.load(sample).unwrap());
            let bytes = std::fs::read(folder.path().join(format!("images/{}.png", expected.id))).unwrap();
            assert_eq!(expected.image, decode_rgb_with(&bytes, &reading).unwrap(), "{scale:?}");
            assert_eq!((expected.image, expected.labels), (found.image, found.labels), "{scale:?}");
        }
    }
    let twelve = Dataset::open_with(folder.path(), &opened(scaled(Scale16::Bits(12)))).unwrap();
    let fingerprint = |data: &Dataset| data.split("train").unwrap().fingerprint();
    let plain = Dataset::open(folder.path(), None).unwrap();
    assert_ne!(fingerprint(&twelve), fingerprint(&plain), "a run that is resumed under another scale sees other data");
    assert!(plain.split("train").unwrap().load(0).unwrap_err().message.contains("4095 of 65535"));
}

#[test]
fn photographs_whose_scale_is_not_said_are_not_converted() {
    let folder = drawn_of_16_bits();
    let out = tempfile::tempdir().unwrap();
    let plain = ConvertOptions { min_size: 1, ..options(folder.path(), &out.path().join("records")) };
    let error = convert(&plain, &|_, _| {}).unwrap_err();
    assert!(
        error.message.contains("3 samples cannot be converted") && error.message.contains("nearly black"),
        "{error}"
    );
    // Those that fill their range are stored untouched.
    for i in 0..3 {
        let bytes = png_of_16_bits(&[0, 1, 65535, i]);
        std::fs::write(folder.path().join(format!("images/a{i}.png")), bytes).unwrap();
    }
    convert(&plain, &|_, _| {}).unwrap();
    let train = Dataset::open(&plain.out, None).unwrap().split("train").unwrap();
    assert_eq!(train.encoded(0).unwrap().encoded, png_of_16_bits(&[0, 1, 65535, 0]));
}

/// A TIFF whose bands are read in another order: the records hold the order that was asked for, and are not turned again.
#[test]
fn bands_are_chosen_once() {
    let folder = drawn_of_16_bits();
    let out = tempfile::tempdir().unwrap();
    for i in 0..3 {
        let mut tiff = std::io::Cursor::new(Vec::new());
        let pixels: Vec<u8> = (0..12).map(|v| v * 20 + i).collect();
        let mut encoder = ::tiff::encoder::TiffEncoder::new(&mut tiff).unwrap();
        encoder.write_image::<::tiff::encoder::colortype::RGB8>(4, 1, &pixels).unwrap();
        std::fs::remove_file(folder.path().join(format!("images/a{i}.png"))).unwrap();
        std::fs::write(folder.path().join(format!("images/a{i}.tif")), tiff.into_inner()).unwrap();
    }
    let reading = ReadOptions { bands: Some("3,2,1".parse().unwrap()), ..ReadOptions::default() };
    let records = out.path().join("records");
    let convert_options = ConvertOptions { open: opened(reading), min_size: 1, ..options(folder.path(), &records) };
    convert(&convert_options, &|_, _| {}).unwrap();
    for reading in [reading, ReadOptions::default()] {
        let train = Dataset::open_with(&records, &opened(reading)).unwrap().split("train").unwrap();
        assert_eq!(train.load(1).unwrap().image.rgb_hwc[..6], [41, 21, 1, 101, 81, 61]);
    }
}
