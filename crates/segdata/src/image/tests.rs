//! Case tables over images drawn here.

use std::io::Cursor;

use image::DynamicImage;

use super::*;
use crate::labels::{Classes, LabelMap, VOID, voc_colour};
use crate::rng::Rng;
use crate::size::Size;

/// A smooth picture, so that JPEG keeps its colours.
fn gradient(width: usize, height: usize) -> RgbImage {
    let pixel = |i: usize| [(i % width * 255 / width) as u8, (i / width * 255 / height) as u8, 90];
    RgbImage { width, height, rgb_hwc: (0..width * height).flat_map(pixel).collect() }
}

fn png_of(
    width: u32,
    height: u32,
    colour: png::ColorType,
    depth: png::BitDepth,
    palette: &[u8],
    data: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(palette.to_vec());
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    out
}

fn encoded(image: DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

/// Puts an EXIF segment with `orientation` behind the start marker of a JPEG.
pub(crate) fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let tiff =
        [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], b"\0\0\0\0\0\0"].concat();
    let content = [b"Exif\0\0".as_slice(), &tiff].concat();
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &content, &jpeg[2..]].concat()
}

/// A map of up to 24x24 pixels that holds these ids: noise, rectangles over each other, or both.
pub(crate) fn random_map(rng: &mut Rng, ids: &[u8]) -> LabelMap {
    let size = Size::new(1 + rng.below(24), 1 + rng.below(24));
    let mut map = LabelMap::filled(size, ids[0]);
    for _ in 0..rng.below(12) {
        let id = ids[rng.below(ids.len())];
        let [columns, rows] = [size.width, size.height].map(|n| rng.below(n)..rng.below(n + 1));
        rows.for_each(|y| columns.clone().for_each(|x| map.ids[y * size.width + x] = id));
    }
    let noise = [0, 10, 100][rng.below(3)];
    for id in &mut map.ids {
        if rng.below(100) < noise {
            let most = 1 + rng.below(ids.len());
            *id = ids[rng.below(most)];
        }
    }
    map
}

#[test]
fn every_kind_of_photograph_is_read_as_rgb() {
    use image::ImageFormat as F;
    use png::{BitDepth as D, ColorType as C};
    let picture = gradient(16, 8);
    let rgb = image::RgbImage::from_raw(16, 8, picture.rgb_hwc.clone()).unwrap();
    let grey = |v: u8| RgbImage::filled(Size::new(2, 1), [v; 3]);
    let two = |a: [u8; 3], b: [u8; 3]| RgbImage { width: 2, height: 1, rgb_hwc: [a, b].concat() };
    let cases: Vec<(&str, Vec<u8>, Format, RgbImage)> = vec![
        ("png rgb", encoded(rgb.clone().into(), F::Png), Format::Png, picture.clone()),
        ("bmp", encoded(rgb.clone().into(), F::Bmp), Format::Bmp, picture.clone()),
        ("ppm", encoded(rgb.clone().into(), F::Pnm), Format::Pnm, picture.clone()),
        ("ppm of 12 bits", b"P3 2 1 4095 4095 0 0 0 4095 2048".to_vec(), Format::Pnm, two([255, 0, 0], [0, 255, 128])),
        ("pbm", b"P1\n2 1\n1 0".to_vec(), Format::Pnm, two([0; 3], [255; 3])),
        ("webp", encoded(rgb.clone().into(), F::WebP), Format::Webp, picture.clone()),
        ("png rgb 16", encoded(DynamicImage::ImageRgb8(rgb).into_rgb16().into(), F::Png), Format::Png, picture),
        ("grey 8", png_of(2, 1, C::Grayscale, D::Eight, &[], &[77, 77]), Format::Png, grey(77)),
        ("grey 1", png_of(2, 1, C::Grayscale, D::One, &[], &[0b0100_0000]), Format::Png, two([0; 3], [255; 3])),
        ("grey 16", png_of(2, 1, C::Grayscale, D::Sixteen, &[], &[100, 100, 100, 100]), Format::Png, grey(100)),
        ("grey alpha", png_of(2, 1, C::GrayscaleAlpha, D::Eight, &[], &[9, 0, 9, 255]), Format::Png, grey(9)),
        (
            "rgba",
            png_of(2, 1, C::Rgba, D::Eight, &[], &[1, 2, 3, 0, 4, 5, 6, 128]),
            Format::Png,
            two([1, 2, 3], [4, 5, 6]),
        ),
        (
            "palette 8",
            png_of(2, 1, C::Indexed, D::Eight, &[9, 8, 7, 1, 2, 3], &[1, 0]),
            Format::Png,
            two([1, 2, 3], [9, 8, 7]),
        ),
        (
            "palette 2",
            png_of(2, 1, C::Indexed, D::Two, &[9, 8, 7, 1, 2, 3], &[0b0100_0000]),
            Format::Png,
            two([1, 2, 3], [9, 8, 7]),
        ),
        (
            "interlaced",
            INTERLACED_GREY_5X3.to_vec(),
            Format::Png,
            RgbImage { width: 5, height: 3, rgb_hwc: (0..15u8).flat_map(|v| [v * 17; 3]).collect() },
        ),
    ];
    let mut failures = Vec::new();
    for (name, bytes, format, expected) in cases {
        match (decode_rgb(&bytes), read_header(&bytes)) {
            (Ok(found), Ok(header)) => {
                if found != expected {
                    failures.push(format!("{name}: {:?}", &found.rgb_hwc[..6.min(found.rgb_hwc.len())]));
                }
                if (header.format, header.size) != (format, expected.size()) {
                    failures.push(format!("{name}: {header:?}"));
                }
            }
            (found, header) => failures.push(format!("{name}: {:?} {header:?}", found.err())),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// 5x3, 4-bit grey, Adam7: pixel i holds i. Written by hand: the encoder at hand does not interlace. The seven passes
/// are 1x1, 1x1, 2x1 (absent: no row 4), 2x1, 3x1, 2x2 and 5x1 pixels.
const INTERLACED_GREY_5X3: &[u8] = include_bytes!("../../../../testdata/image/interlaced-grey4-5x3.png");

#[test]
fn jpegs_keep_their_colours() {
    let picture = gradient(48, 32);
    let close = |a: &RgbImage, b: &RgbImage| {
        (a.width, a.height) == (b.width, b.height)
            && a.rgb_hwc.iter().zip(&b.rgb_hwc).all(|(x, y)| x.abs_diff(*y) <= 12)
    };
    let decoded = decode_rgb(&picture.to_jpeg(95).unwrap()).unwrap();
    assert!(close(&decoded, &picture));
    let grey = image::GrayImage::from_fn(20, 10, |x, _| image::Luma([x as u8 * 10]));
    let found = decode_rgb(&encoded(grey.clone().into(), image::ImageFormat::Jpeg)).unwrap();
    let expected = RgbImage { width: 20, height: 10, rgb_hwc: DynamicImage::ImageLuma8(grey).into_rgb8().into_raw() };
    assert!(close(&found, &expected));
}

/// Four patches of 16x16 in CMYK: files and expected colours come from `reference/make_images.py`.
#[test]
fn cmyk_jpegs_become_the_rgb_that_pillow_shows() {
    let cases: [(&str, &[u8]); 3] = [
        ("adobe", include_bytes!("../../../../testdata/image/cmyk-adobe.jpg")),
        ("plain", include_bytes!("../../../../testdata/image/cmyk-plain.jpg")),
        ("ycck", include_bytes!("../../../../testdata/image/ycck-adobe.jpg")),
    ];
    let mut failures = Vec::new();
    for (name, bytes) in cases {
        let decoded = decode_rgb(bytes).unwrap();
        for (patch, expected) in [[200u8, 40, 40], [40, 160, 60], [30, 60, 200], [90, 90, 90]].iter().enumerate() {
            assert!(verify_with(bytes, &ReadOptions::default()).is_ok(), "{name}");
            let found = decoded.pixel(8 + 16 * patch, 8);
            if found.iter().zip(expected).any(|(a, b)| a.abs_diff(*b) > 10) {
                failures.push(format!("{name}, patch {patch}: {found:?}, expected {expected:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn what_cannot_be_read_right_is_refused_with_the_cause() {
    let jpeg = gradient(64, 64).to_jpeg(90).unwrap();
    let png = gradient(64, 64).to_png().unwrap();
    let mut bomb = png.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xdc, 0, 0, 0xff, 0xdc]);
    let crc = crc32(&bomb[12..29]).to_be_bytes();
    bomb[29..33].copy_from_slice(&crc);
    let mut jpeg_bomb = jpeg.clone();
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg_bomb[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    // The marker of the frame header as `process`, and its bits a sample.
    let coded = |process: u8, bits: u8| {
        let mut coded = jpeg.clone();
        (coded[frame + 1], coded[frame + 4]) = (process, bits);
        coded
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "empty (0 bytes)"),
        ("html", b"<!DOCTYPE html><html>".to_vec(), "a web page, as a server sends it instead of a file: 21 bytes"),
        ("noise", b"\xfe\x01noise".to_vec(), "not an image: 7 bytes that start with"),
        ("zeros", vec![0; 4000], "nothing but zeros"),
        ("no bitmap", b"BMW is the name of a car, and of no picture".to_vec(), "not an image, but text"),
        ("gif", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), "damaged GIF"),
        ("heic", b"\0\0\0\x18ftypheic\0\0\0\0".to_vec(), "this is a HEIC photograph, which is not read"),
        ("jpeg header only", jpeg[..40].to_vec(), "before any image data"),
        ("jpeg cut", jpeg[..jpeg.len() / 2].to_vec(), "cut off"),
        ("jpeg without its end", jpeg[..jpeg.len() - 2].to_vec(), "cut off"),
        ("png cut", png[..png.len() / 2].to_vec(), "damaged PNG"),
        ("png bomb", bomb, "65500x65500, 4291 Mpx, above the limit of 256 Mpx"),
        ("jpeg bomb", jpeg_bomb, "65500x65500, 4291 Mpx, above the limit of 256 Mpx"),
        ("lossless jpeg", coded(0xc3, 8), "this is a lossless JPEG"),
        ("hierarchical jpeg", coded(0xc5, 8), "this is a hierarchical JPEG"),
        ("arithmetic jpeg", coded(0xc9, 8), "this is a JPEG with arithmetic coding"),
        ("arithmetic progressive jpeg", coded(0xca, 8), "this is a JPEG with arithmetic coding"),
        ("jpeg-ls", coded(0xf7, 8), "this is a JPEG-LS image"),
        ("12-bit jpeg", coded(0xc1, 12), "this is a JPEG of 12 bits a sample"),
        ("pnm cut", b"P6 4 4 255\nabc".to_vec(), "damaged PNM"),
    ];
    let mut failures = Vec::new();
    for (name, bytes, expected) in cases {
        match decode_rgb(&bytes) {
            Err(e) if e.message.contains(expected) && e.hint.is_some() => {}
            other => {
                failures.push(format!("{name}: expected {expected:?}, got {:?}", other.map(|i| (i.width, i.height))))
            }
        }
        if verify_with(&bytes, &ReadOptions::default()).is_ok() {
            failures.push(format!("{name}: passes the verification"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// CRC-32 of PNG (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

#[test]
fn no_cut_and_no_flipped_byte_of_a_header_panics() {
    use image::ImageFormat as F;
    let picture = gradient(24, 16);
    let rgb = image::RgbImage::from_raw(24, 16, picture.rgb_hwc.clone()).unwrap();
    let others = [F::Bmp, F::WebP, F::Gif, F::Pnm].map(|format| encoded(rgb.clone().into(), format));
    let originals = [picture.to_jpeg(80).unwrap(), picture.to_png().unwrap(), b"P2 3 1 300 255 1 0".to_vec()];
    for original in originals.into_iter().chain(others) {
        for n in 0..original.len() {
            let _ = decode_rgb(&original[..n]);
            let _ = RawMask::decode(&original[..n]);
            let _ = count_images(&original[..n]);
            let mut flipped = original.clone();
            flipped[n] ^= 0x55;
            let _ = decode_rgb_with(&flipped, &ReadOptions { max_pixels: 1 << 20, ..ReadOptions::default() });
        }
    }
}

#[test]
fn orientation_is_read_and_applied_on_request() {
    let picture = gradient(8, 4);
    let jpeg = picture.to_jpeg(90).unwrap();
    let mut failures = Vec::new();
    // orientation, where the stored top left pixel (0, 0) goes in the upright picture
    let corners =
        [(1, (0, 0)), (2, (7, 0)), (3, (7, 3)), (4, (0, 3)), (5, (0, 0)), (6, (3, 0)), (7, (3, 7)), (8, (0, 7))];
    for (orientation, corner) in corners {
        let header = read_header(&with_orientation(&jpeg, orientation)).unwrap();
        let upright = picture.clone().upright(orientation);
        if header.orientation != orientation || header.upright_size() != upright.size() {
            failures.push(format!("{header:?}"));
        }
        if upright.pixel(corner.0, corner.1) != picture.pixel(0, 0) {
            failures.push(format!("{orientation}: not at {corner:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn masks_of_every_depth_are_read_by_value() {
    use png::{BitDepth as D, ColorType as C};
    let classes = Classes::named(["background", "a", "b", "c"]);
    let (a, b) = (classes.palette[1], classes.palette[2]);
    let v = VOID;
    let cases: Vec<(&str, Vec<u8>, [u8; 3])> = vec![
        ("palette", png_of(3, 1, C::Indexed, D::Eight, &[9; 768], &[0, 3, v]), [0, 3, v]),
        ("palette 4", png_of(3, 1, C::Indexed, D::Four, &[9; 48], &[0x03, 0x20]), [0, 3, 2]),
        ("palette 2", png_of(3, 1, C::Indexed, D::Two, &[9; 12], &[0b0011_1000]), [0, 3, 2]),
        ("grey 1", png_of(3, 1, C::Grayscale, D::One, &[], &[0b0110_0000]), [0, 1, 1]),
        ("grey 8", png_of(3, 1, C::Grayscale, D::Eight, &[], &[v, 1, 0]), [v, 1, 0]),
        ("grey 16", png_of(3, 1, C::Grayscale, D::Sixteen, &[], &[0, 2, 0, 255, 0, 0]), [2, v, 0]),
        ("grey alpha", png_of(3, 1, C::GrayscaleAlpha, D::Eight, &[], &[1, 255, 2, 255, 0, 255]), [1, 2, 0]),
        ("pgm of few values", b"P2 3 1 3 3 1 0".to_vec(), [3, 1, 0]),
        ("pgm of 16 bits", b"P2 3 1 1000 255 1 0".to_vec(), [v, 1, 0]),
        ("pbm", b"P1 3 1 0 1 1".to_vec(), [1, 0, 0]),
        ("rgb", png_of(3, 1, C::Rgb, D::Eight, &[], &[a, b, voc_colour(v)].concat()), [1, 2, v]),
        (
            "rgba",
            png_of(1, 3, C::Rgba, D::Eight, &[], &[&a[..], &[255], &b, &[255], &[0, 0, 0, 255]].concat()),
            [1, 2, 0],
        ),
    ];
    let mut failures = Vec::new();
    for (name, bytes, expected) in cases {
        match decode_mask(&bytes, &classes) {
            Ok(labels) if labels.ids == expected => {}
            other => failures.push(format!("{name}: {other:?}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn wrong_masks_are_refused_with_counts() {
    use png::{BitDepth as D, ColorType as C};
    let classes = Classes::named(["background", "a"]);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "value",
            png_of(4, 1, C::Grayscale, D::Eight, &[], &[0, 128, 128, 7]),
            "2 values without a class in 75.0 % of its pixels (128: 2 px, 7: 1 px)",
        ),
        ("16 bit", png_of(2, 1, C::Grayscale, D::Sixteen, &[], &[1, 0, 0, 0]), "(256: 1 px)"),
        (
            "colour",
            png_of(2, 1, C::Rgb, D::Eight, &[], &[0, 0, 0, 1, 2, 3]),
            "1 colours without a class in 50.0 % of its pixels ((1, 2, 3): 1 px)",
        ),
        ("transparent", png_of(1, 1, C::Rgba, D::Eight, &[], &[0, 0, 0, 0]), "1 transparent pixels"),
        ("jpeg", gradient(8, 8).to_jpeg(90).unwrap(), "the mask is a JPEG"),
    ];
    let mut failures = Vec::new();
    for (name, bytes, expected) in cases {
        match decode_mask(&bytes, &classes) {
            Err(e) if e.message.contains(expected) => {}
            other => failures.push(format!("{name}: expected {expected:?}, got {other:?}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_written_mask_reads_back_with_its_palette() {
    let classes = Classes::voc();
    let labels = LabelMap { width: 3, height: 2, ids: vec![0, 20, VOID, 7, 7, 1] };
    let bytes = encode_mask_png(&labels, &classes).unwrap();
    assert_eq!(decode_mask(&bytes, &classes).unwrap(), labels);
    let raw = RawMask::decode(&bytes).unwrap();
    let palette = raw.palette.clone().unwrap();
    assert_eq!((palette[20], palette[255]), (voc_colour(20), voc_colour(VOID)));
    // The same mask with its colours written out means the same.
    let shown = decode_rgb(&bytes).unwrap();
    assert_eq!(decode_mask(&shown.to_png().unwrap(), &classes).unwrap(), labels);
    let counts: Vec<u64> = raw.histogram().into_values().collect();
    assert_eq!(counts, [1, 1, 2, 1, 1]);
}

#[test]
fn photographs_of_16_bits_are_scaled_as_the_options_say() {
    let of = |samples: [u16; 2]| {
        let bytes: Vec<u8> = samples.iter().flat_map(|v| v.to_be_bytes()).collect();
        png_of(2, 1, png::ColorType::Grayscale, png::BitDepth::Sixteen, &[], &bytes)
    };
    let cases = [
        ([0, 65535], None, Some([0, 255])),
        ([0, 0], None, Some([0, 0])),
        ([128, 129], Some(Scale16::Full), Some([0, 1])), // 129 / 257 is above one half
        ([0, 4095], None, None),
        ([2048, 4095], Some(Scale16::Used), Some([128, 255])),
        ([2048, 4095], Some(Scale16::Bits(12)), Some([128, 255])),
        ([2048, 4095], Some(Scale16::Full), Some([8, 16])),
        ([2048, 4096], Some(Scale16::Bits(12)), None),
    ];
    for (samples, scale_16bit, expected) in cases {
        let (bytes, options) = (of(samples), ReadOptions { scale_16bit, ..ReadOptions::default() });
        let found = decode_rgb_with(&bytes, &options).ok().map(|i| [i.rgb_hwc[0], i.rgb_hwc[3]]);
        assert_eq!(found, expected, "{samples:?} {scale_16bit:?}");
        let verified = verify_with(&bytes, &options).unwrap();
        assert_eq!(verified.greatest_of_16bit, Some(samples[1]));
        assert_eq!(verified.is_changed_by(&options), scale_16bit.is_some());
    }
}

#[test]
fn images_of_a_file_are_counted_without_decoding_them() {
    let frame = || image::Frame::new(image::RgbaImage::from_pixel(3, 2, image::Rgba([9, 9, 9, 255])));
    let gif = |frames: usize| {
        let mut bytes = Vec::new();
        image::codecs::gif::GifEncoder::new(&mut bytes).encode_frames((0..frames).map(|_| frame())).unwrap();
        bytes
    };
    let mut animated = Vec::new();
    let mut encoder = png::Encoder::new(&mut animated, 1, 1);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    (0..2).for_each(|_| writer.write_image_data(&[1]).unwrap());
    writer.finish().unwrap();
    let chunk = |name: &[u8], size: u32| [name, &size.to_le_bytes(), &vec![0; size as usize]].concat();
    let webp = [b"RIFF\0\0\0\0WEBP".to_vec(), chunk(b"VP8X", 10), chunk(b"ANMF", 4), chunk(b"ANMF", 6)].concat();
    let cases = [
        ("gif", gif(1), 1),
        ("gif of 3", gif(3), 3),
        ("png of 2", animated, 2),
        ("webp of 2", webp, 2),
        ("none", vec![], 1),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(count_images(&bytes), expected, "{name}");
        (0..bytes.len()).for_each(|n| assert!(count_images(&bytes[..n]) <= expected, "{name}, {n} bytes"));
    }
}
