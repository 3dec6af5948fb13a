//! TIFF files of every make, drawn here tag by tag.

use super::super::{Bands, MaskPixels, RawMask, ReadOptions, Scale16, count_images, decode_rgb, decode_rgb_with};
use super::directory::tag;

/// Tags of the places of pixels, which are of the drawing alone.
const STRIP_OFFSETS: u16 = 273;
const STRIP_BYTES: u16 = 279;
const ROWS_PER_STRIP: u16 = 278;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTES: u16 = 325;

/// A page: its tags with whole numbers, and its strips or tiles.
#[derive(Clone)]
struct Drawn {
    tags: Vec<(u16, Vec<u64>)>,
    chunks: Vec<Vec<u8>>,
    tiled: bool,
}

/// How the file is written.
#[derive(Clone, Copy)]
struct How {
    big_endian: bool,
    big_tiff: bool,
}

const CLASSIC: How = How { big_endian: false, big_tiff: false };

impl Drawn {
    /// One strip of `bits` a sample, grey unless other tags say otherwise.
    fn new(width: u64, height: u64, bits: u64, bands: u64, data: Vec<u8>) -> Drawn {
        let tags = vec![
            (tag::WIDTH, vec![width]),
            (tag::HEIGHT, vec![height]),
            (tag::BITS, vec![bits; bands as usize]),
            (tag::COMPRESSION, vec![1]),
            (tag::PHOTOMETRIC, vec![1]),
            (tag::SAMPLES, vec![bands]),
        ];
        Drawn { tags, chunks: vec![data], tiled: false }
    }

    fn with(mut self, tag: u16, values: &[u64]) -> Drawn {
        self.tags.retain(|(known, _)| *known != tag);
        self.tags.push((tag, values.to_vec()));
        self
    }

    fn chunks(mut self, chunks: Vec<Vec<u8>>) -> Drawn {
        self.chunks = chunks;
        self
    }

    /// The file: header, pixels, and a directory whose values of 16 bits where they fit, else 32, lie behind it.
    fn bytes(&self, how: How) -> Vec<u8> {
        pages(std::slice::from_ref(self), how)
    }
}

fn number(value: u64, width: usize, how: How) -> Vec<u8> {
    if how.big_endian { value.to_be_bytes()[8 - width..].to_vec() } else { value.to_le_bytes()[..width].to_vec() }
}

/// A file of several pages.
fn pages(pages: &[Drawn], how: How) -> Vec<u8> {
    let wide = if how.big_tiff { 8 } else { 4 };
    let mut out: Vec<u8> = if how.big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    out.extend(number(if how.big_tiff { 43 } else { 42 }, 2, how));
    if how.big_tiff {
        out.extend([number(8, 2, how), number(0, 2, how)].concat());
    }
    let mut link = out.len();
    out.extend(number(0, wide, how));
    for page in pages {
        let mut tags = page.tags.clone();
        let places: Vec<u64> = (page.chunks.iter())
            .map(|chunk| {
                out.extend(chunk);
                (out.len() - chunk.len()) as u64
            })
            .collect();
        tags.push((if page.tiled { TILE_OFFSETS } else { STRIP_OFFSETS }, places));
        let sizes = page.chunks.iter().map(|chunk| chunk.len() as u64).collect();
        tags.push((if page.tiled { TILE_BYTES } else { STRIP_BYTES }, sizes));
        tags.sort_by_key(|(tag, _)| *tag);
        let mut entries = number(tags.len() as u64, if how.big_tiff { 8 } else { 2 }, how);
        for (tag, values) in tags {
            let short = values.iter().all(|&v| v < 65536);
            let width = if short { 2 } else { 4 };
            let mut content: Vec<u8> = values.iter().flat_map(|&v| number(v, width, how)).collect();
            if content.len() > wide {
                let at = out.len() as u64;
                out.extend(content);
                content = number(at, wide, how);
            }
            content.resize(wide, 0);
            let kind = if short { 3 } else { 4 };
            entries.extend([number(tag.into(), 2, how), number(kind, 2, how)].concat());
            entries.extend([number(values.len() as u64, wide, how), content].concat());
        }
        let at = number(out.len() as u64, wide, how);
        out[link..link + wide].copy_from_slice(&at);
        out.extend(entries);
        link = out.len();
        out.extend(number(0, wide, how));
    }
    out
}

/// 16-bit samples in the order of bytes of `how`.
fn words(values: &[u16], how: How) -> Vec<u8> {
    values.iter().flat_map(|&v| number(v.into(), 2, how)).collect()
}

fn rgb(bytes: &[u8], options: &ReadOptions) -> Result<Vec<u8>, String> {
    decode_rgb_with(bytes, options)
        .map(|image| image.rgb_hwc)
        .map_err(|e| format!("{e}; {}", e.hint.clone().unwrap_or_default()))
}

#[test]
fn photographs_are_read_whatever_lies_where() {
    let six = vec![1, 2, 3, 4, 5, 6];
    let rgb_tag = |drawn: Drawn| drawn.with(tag::PHOTOMETRIC, &[2]);
    let white = [65535u16, 0, 257, 514, 771, 65535];
    let mut failures = Vec::new();
    for how in [CLASSIC, How { big_endian: true, ..CLASSIC }, How { big_tiff: true, ..CLASSIC }] {
        let cases: Vec<(&str, Drawn, Vec<u8>)> = vec![
            ("rgb", rgb_tag(Drawn::new(2, 1, 8, 3, six.clone())), six.clone()),
            (
                "rgb by plane",
                rgb_tag(Drawn::new(2, 1, 8, 3, vec![])).with(tag::PLANAR, &[2]).chunks(vec![
                    vec![1, 4],
                    vec![2, 5],
                    vec![3, 6],
                ]),
                six.clone(),
            ),
            (
                "rgba",
                rgb_tag(Drawn::new(2, 1, 8, 4, vec![1, 2, 3, 255, 4, 5, 6, 0])).with(tag::EXTRA_SAMPLES, &[2]),
                six.clone(),
            ),
            ("rgb of 16 bits", rgb_tag(Drawn::new(2, 1, 16, 3, words(&white, how))), vec![255, 0, 1, 2, 3, 255]),
            ("grey", Drawn::new(2, 1, 8, 1, vec![7, 9]), vec![7, 7, 7, 9, 9, 9]),
            ("grey of 1 bit", Drawn::new(2, 1, 1, 1, vec![0b0100_0000]), vec![0, 0, 0, 255, 255, 255]),
            (
                "0 is white",
                Drawn::new(2, 1, 4, 1, vec![0x0f]).with(tag::PHOTOMETRIC, &[0]),
                vec![255, 255, 255, 0, 0, 0],
            ),
            (
                "palette",
                Drawn::new(2, 1, 1, 1, vec![0b0100_0000])
                    .with(tag::PHOTOMETRIC, &[3])
                    .with(tag::COLOUR_MAP, &[0x0101, 0x0404, 0x0202, 0x0505, 0x0303, 0x0606]),
                six.clone(),
            ),
            ("cmyk", Drawn::new(1, 1, 8, 4, vec![0, 255, 0, 0]).with(tag::PHOTOMETRIC, &[5]), vec![255, 0, 255]),
        ];
        for (name, drawn, expected) in cases {
            match rgb(&drawn.bytes(how), &ReadOptions::default()) {
                Ok(found) if found == expected => {}
                other => failures.push(format!("{name}: {other:?}, expected {expected:?}")),
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Tiles of 16 x 16 over an image that no side of them divides, with every band by itself and all together.
#[test]
fn tiles_that_reach_over_the_edge_give_the_pixels_inside() {
    let (width, height, side) = (21u64, 19u64, 16u64);
    let value = |x: u64, y: u64, band: u64| (x * 7 + y * 11 + band * 50) as u8;
    let expected: Vec<u8> =
        (0..width * height).flat_map(|i| (0..3).map(move |band| value(i % width, i / width, band))).collect();
    let tile = |bands: std::ops::Range<u64>, x0: u64, y0: u64| -> Vec<u8> {
        let pixel = |i: u64| {
            let (x, y) = (x0 + i % side, y0 + i / side);
            bands.clone().map(move |band| if x < width && y < height { value(x, y, band) } else { 0xee })
        };
        (0..side * side).flat_map(pixel).collect()
    };
    let corners = [(0, 0), (side, 0), (0, side), (side, side)];
    let drawn = |planar: u64, chunks: Vec<Vec<u8>>| Drawn {
        tiled: true,
        ..Drawn::new(width, height, 8, 3, vec![])
            .with(tag::PHOTOMETRIC, &[2])
            .with(tag::PLANAR, &[planar])
            .with(TILE_WIDTH, &[side])
            .with(TILE_HEIGHT, &[side])
            .chunks(chunks)
    };
    let together = drawn(1, corners.iter().map(|&(x, y)| tile(0..3, x, y)).collect());
    let apart = (0..3).flat_map(|band| corners.map(|(x, y)| tile(band..band + 1, x, y))).collect();
    for drawn in [together, drawn(2, apart)] {
        assert!(decode_rgb(&drawn.bytes(CLASSIC)).unwrap().rgb_hwc == expected);
    }
}

#[test]
fn bands_are_chosen_or_asked_for() {
    let of = |bands: &str| ReadOptions { bands: Some(bands.parse::<Bands>().unwrap()), ..ReadOptions::default() };
    let six = Drawn::new(1, 1, 8, 6, vec![10, 20, 30, 40, 50, 60]).with(tag::EXTRA_SAMPLES, &[0; 5]);
    let infrared = Drawn::new(1, 1, 8, 4, vec![1, 2, 3, 4]).with(tag::PHOTOMETRIC, &[2]).with(tag::EXTRA_SAMPLES, &[0]);
    let planes =
        Drawn::new(1, 1, 8, 4, vec![]).with(tag::PLANAR, &[2]).chunks(vec![vec![9], vec![8], vec![7], vec![6]]);
    let rgb_file = Drawn::new(1, 1, 8, 3, vec![1, 2, 3]).with(tag::PHOTOMETRIC, &[2]);
    let cases = vec![
        ("many", &six, ReadOptions::default(), Err("a multispectral TIFF has 6 bands")),
        ("many, chosen", &six, of("3,2,1"), Ok([30, 20, 10])),
        ("one chosen", &six, of("6"), Ok([60; 3])),
        ("too far", &six, of("7"), Err("has 6 bands, and band 7 was asked for")),
        ("infrared", &infrared, ReadOptions::default(), Err("has 4 bands: red, green, blue, and others")),
        ("infrared, chosen", &infrared, of("4,1,2"), Ok([4, 1, 2])),
        ("by plane", &planes, of("4,4,1"), Ok([6, 6, 9])),
        ("plain", &rgb_file, of("3,2,1"), Ok([3, 2, 1])),
    ];
    let mut failures = Vec::new();
    for (name, drawn, options, expected) in cases {
        match (rgb(&drawn.bytes(CLASSIC), &options), expected) {
            (Ok(found), Ok(expected)) if found == expected => {}
            (Err(e), Err(expected)) if e.contains(expected) && e.contains("`bands") => {}
            (found, _) => failures.push(format!("{name}: {found:?}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let deep = Drawn::new(1, 1, 16, 5, words(&[4095, 100, 0, 9, 60000], CLASSIC)).with(tag::EXTRA_SAMPLES, &[0; 4]);
    let options = ReadOptions { scale_16bit: Some(Scale16::Bits(12)), ..of("1,2,3") };
    // Only the bands that are read count.
    assert_eq!(rgb(&deep.bytes(CLASSIC), &options).unwrap(), [255, 6, 0]);
}

#[test]
fn masks_hold_whole_numbers_of_any_type() {
    let two =
        |bits: u64, format: u64, data: Vec<u8>| Drawn::new(2, 1, bits, 1, data).with(tag::SAMPLE_FORMAT, &[format]);
    let float = |a: f32, b: f32| [a.to_le_bytes(), b.to_le_bytes()].concat();
    let (eight, sixteen) = (|a, b| Ok(MaskPixels::Index8(vec![a, b])), |a, b| Ok(MaskPixels::Index16(vec![a, b])));
    let map: Vec<u64> = (0..768).map(|i| (i % 256) * 257).collect();
    let cases: Vec<(&str, Drawn, Result<MaskPixels, &str>)> = vec![
        ("8 bits", two(8, 1, vec![1, 255]), eight(1, 255)),
        ("1 bit", two(1, 1, vec![0b0100_0000]), eight(0, 1)),
        ("1 bit, 0 is white", two(1, 1, vec![0b0100_0000]).with(tag::PHOTOMETRIC, &[0]), Err("0 is white")),
        ("palette", two(8, 1, vec![3, 20]).with(tag::PHOTOMETRIC, &[3]).with(tag::COLOUR_MAP, &map), eight(3, 20)),
        ("signed 8", two(8, 2, vec![1, 127]), eight(1, 127)),
        ("negative 8", two(8, 2, vec![1, 255]), Err("the value -1 (8-bit signed integers)")),
        ("16 bits", two(16, 1, vec![1, 0, 0, 1]), sixteen(1, 256)),
        ("signed 16", two(16, 2, vec![1, 0, 255, 255]), Err("the value -1 (16-bit signed integers)")),
        ("32 bits", two(32, 1, vec![1, 0, 0, 0, 255, 0, 0, 0]), sixteen(1, 255)),
        ("signed 32", two(32, 2, [5i32.to_le_bytes(), (-7i32).to_le_bytes()].concat()), Err("the value -7")),
        ("64 bits", two(64, 1, [1u64.to_le_bytes(), 65536u64.to_le_bytes()].concat()), Err("the value 65536")),
        ("floats", two(32, 3, float(2.0, 255.0)), sixteen(2, 255)),
        ("fractions", two(32, 3, float(2.0, 0.5)), Err("the value 0.5 (32-bit floats)")),
        ("not a number", two(32, 3, float(f32::NAN, 0.0)), Err("the value NaN")),
        ("rgb", Drawn::new(1, 1, 8, 3, vec![1, 2, 3]).with(tag::PHOTOMETRIC, &[2]), Ok(MaskPixels::Rgb(vec![1, 2, 3]))),
        ("six bands", Drawn::new(1, 1, 8, 6, vec![0; 6]), Err("a TIFF mask of 6 bands")),
    ];
    let mut failures = Vec::new();
    for (name, drawn, expected) in cases {
        match (RawMask::decode(&drawn.bytes(CLASSIC)), expected) {
            (Ok(found), Ok(expected)) if found.pixels == expected && found.palette.is_some() == (name == "palette") => {
            }
            (Err(e), Err(expected)) if e.message.contains(expected) && e.hint.is_some() => {}
            (found, _) => failures.push(format!("{name}: {found:?}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let palette = two(8, 1, vec![3, 20]).with(tag::PHOTOMETRIC, &[3]).with(tag::COLOUR_MAP, &map).bytes(CLASSIC);
    assert_eq!(RawMask::decode(&palette).unwrap().palette.unwrap()[20], [20; 3]);
}

#[test]
fn what_is_not_read_is_named_and_what_is_cut_is_damaged() {
    let grey = || Drawn::new(4, 4, 8, 1, (0..16).collect());
    let float = Drawn::new(1, 1, 32, 1, 0.5f32.to_le_bytes().to_vec()).with(tag::SAMPLE_FORMAT, &[3]);
    let mut twice = grey();
    twice.tags.push((tag::WIDTH, vec![2]));
    let mut cr2 = grey().bytes(CLASSIC);
    cr2[8..10].copy_from_slice(b"CR");
    let whole = grey().bytes(CLASSIC);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("zstd", grey().with(tag::COMPRESSION, &[50000]).bytes(CLASSIC), "a TIFF with Zstandard compression"),
        ("old jpeg", grey().with(tag::COMPRESSION, &[6]).bytes(CLASSIC), "JPEG compression of the old kind"),
        ("lab", grey().with(tag::PHOTOMETRIC, &[8]).bytes(CLASSIC), "a TIFF of Lab colours"),
        ("12 bits", Drawn::new(2, 1, 12, 1, vec![0; 3]).bytes(CLASSIC), "a TIFF of 1 x 12 bits a pixel"),
        ("floats", float.bytes(CLASSIC), "32-bit floats have no agreed range"),
        ("cr2", cr2, "a camera's raw file (CR2 of Canon)"),
        ("dng", grey().with(tag::DNG_VERSION, &[1]).bytes(CLASSIC), "a camera's raw file (DNG)"),
        ("sensor", grey().with(tag::PHOTOMETRIC, &[32803]).bytes(CLASSIC), "a camera's raw file"),
        (
            "preview of a raw file",
            grey().with(tag::NEW_SUBFILE_TYPE, &[1]).with(tag::SUB_DIRECTORIES, &[8]).bytes(CLASSIC),
            "a camera's raw file",
        ),
        ("two widths", twice.bytes(CLASSIC), "two sizes"),
        ("cut", whole[..whole.len() - 20].to_vec(), "damaged TIFF file: it is cut off"),
        ("strip behind the end", grey().with(tag::HEIGHT, &[900]).bytes(CLASSIC), "damaged TIFF file"),
        (
            "palette of 3",
            grey().with(tag::PHOTOMETRIC, &[3]).with(tag::COLOUR_MAP, &[1, 2, 3]).bytes(CLASSIC),
            "palette has 3",
        ),
        ("bomb", grey().with(tag::WIDTH, &[60000]).with(tag::HEIGHT, &[60000]).bytes(CLASSIC), "above the limit"),
    ];
    let mut failures = Vec::new();
    for (name, bytes, expected) in cases {
        match decode_rgb(&bytes) {
            Err(e) if e.message.contains(expected) && e.hint.is_some() => {}
            other => failures.push(format!("{name}: {:?}", other.map(|image| image.size()))),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn pages_are_counted_without_overviews() {
    let page = || Drawn::new(1, 1, 8, 1, vec![7]);
    let overview = || page().with(tag::NEW_SUBFILE_TYPE, &[1]);
    for (drawn, expected) in [(vec![page()], 1), (vec![page(), page()], 2), (vec![page(), overview(), page()], 2)] {
        let bytes = pages(&drawn, CLASSIC);
        assert_eq!(count_images(&bytes), expected);
        assert_eq!(decode_rgb(&bytes).unwrap().rgb_hwc, [7; 3]);
    }
}

#[test]
fn no_cut_and_no_flipped_byte_panics() {
    let map: Vec<u64> = (0..768).collect();
    let strips =
        || Drawn::new(6, 5, 8, 1, vec![]).with(ROWS_PER_STRIP, &[2]).chunks(vec![vec![1; 12], vec![2; 12], vec![3; 6]]);
    let tiles = Drawn {
        tiled: true,
        ..Drawn::new(17, 5, 8, 2, vec![])
            .with(tag::PLANAR, &[2])
            .with(TILE_WIDTH, &[16])
            .with(TILE_HEIGHT, &[16])
            .chunks(vec![vec![1; 256]; 4])
    };
    let drawn = [
        strips(),
        strips().with(tag::PHOTOMETRIC, &[3]).with(tag::COLOUR_MAP, &map),
        tiles,
        Drawn::new(3, 2, 32, 1, vec![0; 24]),
        Drawn::new(3, 2, 1, 1, vec![0; 2]),
    ];
    let options =
        ReadOptions { max_pixels: 1 << 16, bands: Some("1".parse().unwrap()), scale_16bit: Some(Scale16::Full) };
    for bytes in drawn.iter().flat_map(|page| [page.bytes(CLASSIC), page.bytes(How { big_tiff: true, ..CLASSIC })]) {
        for n in 0..bytes.len() {
            let _ = decode_rgb_with(&bytes[..n], &options);
            let _ = RawMask::decode(&bytes[..n]);
            let _ = count_images(&bytes[..n]);
            for flip in [0x01, 0x55, 0xff] {
                let mut flipped = bytes.clone();
                flipped[n] ^= flip;
                let _ = decode_rgb_with(&flipped, &options);
                let _ = count_images(&flipped);
            }
        }
    }
}
