use super::*;
use crate::conv2d::Conv2d;
use crate::shape::Conv2dShape;
use crate::simd::{Isa, Precision};

/// The table, and then what it chooses for layers; `BLESS=1` writes it.
const SNAPSHOT: &str = "src/plan/table.txt";

/// Name, channels and kernel of the layers of FCN on VGG-16, and how often their maps were halved.
const VGG: [(&str, [usize; 2], usize, usize); 12] = [
    ("conv1_1", [3, 64], 3, 0),
    ("conv1_2", [64, 64], 3, 0),
    ("conv2_1", [64, 128], 3, 1),
    ("conv2_2", [128, 128], 3, 1),
    ("conv3_1", [128, 256], 3, 2),
    ("conv3_2", [256, 256], 3, 2),
    ("conv4_1", [256, 512], 3, 3),
    ("conv4_2", [512, 512], 3, 3),
    ("conv5_1", [512, 512], 3, 4),
    ("fc6", [512, 4096], 7, 5),
    ("fc7", [4096, 4096], 1, 5),
    ("score", [4096, 21], 1, 5),
];

/// A layer as text: a line for each pass, of the names alone.
fn choices(name: &str, conv: &Conv2d) -> String {
    [Pass::Forward, Pass::ForwardPrepared, Pass::BackwardData, Pass::BackwardWeight]
        .map(|pass| {
            // Sixteen lanes, whatever the processor has.
            let Plan { arithmetic, loops, products } = plan(&Layer { lanes: 16, ..conv.layer(pass) });
            let gains = if pass == Pass::ForwardPrepared && conv.gains_from_preparing() { ", gains" } else { "" };
            format!("{name} {pass:?}: {}, {}, {}{gains}\n", arithmetic.name, loops.name, products.name)
        })
        .concat()
}

fn snapshot() -> String {
    let mut text = table::text();
    let of = |shape, algorithm| Conv2d::new(shape, algorithm).unwrap();
    for (batch, side, width) in
        [(1, 33, 1), (1, 64, 1), (1, 128, 1), (4, 224, 1), (16, 32, 4), (16, 224, 4), (1, 512, 1)]
    {
        for (name, channels, kernel, halved) in VGG {
            let channels = channels.map(|c| if c > 21 { c / width } else { c });
            let size = [usize::div_ceil(side, 1 << halved); 2];
            let shape = Conv2dShape::square(batch, channels, size, kernel, kernel / 2);
            for (what, purpose, precision) in [
                ("training", Purpose::Training, Precision::F32),
                ("inference", Purpose::Inference, Precision::F32),
                ("bf16", Purpose::Inference, Precision::Bf16),
            ] {
                let conv = of(shape, Algorithm::Fast).purpose(purpose).precision(precision);
                let title = format!("{batch} x {side}, 1/{width}, {what}, {name}");
                let all = choices(&title, &conv);
                // Gradients are those of training.
                text += &all
                    .lines()
                    .take(if what == "training" { 4 } else { 2 })
                    .map(|l| format!("{l}\n"))
                    .collect::<String>();
            }
        }
    }
    let fc6 = |algorithm| of(Conv2dShape::square(1, [512, 4096], [16, 16], 7, 3), algorithm);
    let conv3 = |algorithm| of(Conv2dShape::square(1, [256, 256], [64, 64], 3, 1), algorithm);
    for algorithm in [Algorithm::Direct, Algorithm::Accurate] {
        text += &choices(&format!("{algorithm:?} fc6"), &fc6(algorithm));
        text += &choices(&format!("{algorithm:?} conv3_2"), &conv3(algorithm));
    }
    text
}

#[test]
fn the_table_and_its_choices_are_as_written_down() {
    let text = snapshot();
    println!("{text}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(SNAPSHOT, &text).unwrap();
    }
    let want = std::fs::read_to_string(SNAPSHOT).unwrap();
    let differing = text.lines().zip(want.lines()).find(|(got, want)| got != want);
    assert!(differing.is_none(), "{differing:#?} differ; BLESS=1 writes {SNAPSHOT}");
    assert_eq!(text.lines().count(), want.lines().count(), "lines; BLESS=1 writes {SNAPSHOT}");
}

#[test]
fn the_last_line_of_each_list_fits_every_layer() {
    for (channels, size, kernel) in [([1, 1], [1, 1], 1), ([3, 64], [512, 512], 3), ([512, 4096], [16, 16], 7)] {
        let conv = Conv2d::new(Conv2dShape::square(1, channels, size, kernel, kernel / 2), Algorithm::Fast).unwrap();
        let layer = conv.layer(Pass::Forward);
        assert!(table::ARITHMETIC.last().is_some_and(|row| (row.fits)(&layer)));
        let (arithmetic, products) = layer.arithmetic();
        let resolved = layer::Resolved { layer, arithmetic, products };
        for fits in [
            table::PRODUCTS.last().map(|row| row.fits),
            table::PREPARING.last().map(|row| row.fits),
            table::DIRECT_FORWARD.last().map(|row| row.fits),
            table::WINOGRAD_FORWARD.last().map(|row| row.fits),
            table::DIRECT_GRADIENT.last().map(|row| row.fits),
            table::WINOGRAD_GRADIENT.last().map(|row| row.fits),
        ] {
            assert!(fits.is_some_and(|fits| fits(&resolved)));
        }
    }
}

#[test]
fn a_plan_says_what_and_why() {
    let conv =
        Conv2d::new(Conv2dShape::square(1, [3, 64], [512, 512], 3, 1), Algorithm::Fast).unwrap().on(Isa::Portable);
    let text = conv.plan(Pass::Forward).to_string();
    assert!(text.starts_with("definition, by lines of padded images, f32. Transforms would outweigh"), "{text}");
    let line = conv.plan(Pass::Forward).arithmetic.to_string();
    assert!(line.starts_with("definition. Transforms"), "{line}");
}
