//! The table: for each question the lines that answer it. The first line that fits is taken; the last one always fits.
//!
//! N images, C input and K output channels; a pixel is one of the output; a sum is one output value, of C R S products.
//! Times are minima in milliseconds with two threads of a Zen 4: without the line, and with it.

use super::layer::{Arithmetic, Layer, Pass, Resolved};
use super::line::PlanLine;
use super::options::Algorithm;
use crate::direct::{self, FEW_PIXELS, GROUP};
use crate::shape::Geometry;
use crate::simd::Precision;
use crate::winograd::{self, Filter, RESIDENT_SUMS, SUM_PARTS, SUM_TILES};

/// A line of a table with questions `Q` and answers `M`.
pub(super) struct Row<Q, M> {
    pub line: PlanLine,
    pub method: M,
    pub fits: fn(&Q) -> bool,
}

const fn row<Q, M>(
    method: M,
    name: &'static str,
    when: &'static str,
    why: &'static str,
    fits: fn(&Q) -> bool,
) -> Row<Q, M> {
    Row { line: PlanLine { name, when, why }, method, fits }
}

/// Whether sums are so short that to lay out their operands takes as long as to multiply them.
fn short_sums(g: &Geometry) -> bool {
    g.window() > 1 && g.depth() < 64
}

/// What is multiplied, in every pass. Only channels decide between filters of one kernel wherever that is fast enough, since
/// weights that were prepared at one size of map should serve all.
pub(super) const ARITHMETIC: &[Row<Layer, Arithmetic>] = &[
    row(
        Arithmetic::Definition,
        "definition",
        "3x3, sums of fewer than 64 products",
        "Transforms would outweigh so few products: 3 to 64 channels, 512x512, 7.9 to 6.5.",
        |l| l.is(3) && short_sums(&l.geometry),
    ),
    row(
        Arithmetic::Definition,
        "definition",
        "3x3, at most 32 pixels, or 50 with C K < 65536",
        "To transform the weights is most of the work: 128 to 128 channels, 3x3 pixels, 0.134 to 0.028; 512 to 512, 5x5, 1.34 to 0.69.",
        |l| l.is(3) && l.geometry.pixels() <= if l.channel_pairs() < 256 * 256 { 50 } else { 32 },
    ),
    row(
        Arithmetic::Definition,
        "definition",
        "3x3, weight gradient, at most 48 pixels",
        "Sums at the points take longer to bring back than to sum.",
        |l| l.is(3) && l.pass == Pass::BackwardWeight && l.geometry.pixels() <= 48,
    ),
    row(
        Arithmetic::Winograd(Filter::F63),
        "F(6, 3)",
        "3x3, fast, f32, forward for inference, 64 to 128 input channels and 64 to as many output channels",
        "64 products for 36 pixels, at four times the error of F(4, 3): 64 to 64 channels, 512x512, 34.4 to 32.0; 128 to 128, 28.5 to 26.4. \
         With fewer channels transforms outweigh products, with more the weights at 64 points leave the second-level cache.",
        |l| {
            let (c, k) = (l.geometry.channels, l.geometry.out_channels);
            let few = (64..=128).contains(&c) && (64..=c).contains(&k);
            l.is(3) && l.algorithm == Algorithm::Fast && l.precision == Precision::F32 && l.for_inference() && few
        },
    ),
    row(
        Arithmetic::Winograd(Filter::F33),
        "F(3, 3)",
        "3x3, fast or accurate, f32, a tenth fewer products than F(4, 3)",
        "Tiles of 4x4 would reach far beyond the map: on 5x5 pixels there are four of either size, with 25 products each or 36. \
         16 x 5x5 pixels, 256 to 512 channels, 3.40 to 2.35.",
        |l| {
            let tenth_less = 10 * 25 * l.geometry.tiles(3) <= 9 * 36 * l.geometry.tiles(4);
            l.is(3) && l.may_filter() && l.precision == Precision::F32 && tenth_less
        },
    ),
    row(
        Arithmetic::Winograd(Filter::F43),
        "F(4, 3)",
        "3x3, fast or accurate",
        "36 products for 16 pixels, a quarter of the definition's: 512 to 512 channels, 64x64, 89.1 (PyTorch) to 24.5.",
        |l| l.is(3) && l.may_filter(),
    ),
    row(
        Arithmetic::Definition,
        "definition",
        "7x7, as much work as at most 32 pixels with all taps",
        "To transform the weights is most of the work: 512 to 4096 channels take 21 for 4 pixels, 29 for 16, 50 for 36, and by F(4, 7) 54 \
         for any.",
        |l| l.is(7) && l.geometry.pixels() * l.geometry.busy_taps().len() <= 32 * l.geometry.window(),
    ),
    row(
        Arithmetic::Winograd(Filter::F27),
        "F(2, 7)",
        "7x7, accurate",
        "64 products for 4 pixels, a third of the definition's, at a quarter of the error of F(4, 7).",
        |l| l.is(7) && l.algorithm == Algorithm::Accurate,
    ),
    row(
        Arithmetic::Winograd(Filter::F47),
        "F(4, 7)",
        "7x7, fast",
        "100 products for 16 pixels, an eighth of the definition's: 512 to 4096 channels, 16x16, 249 (PyTorch) to 63.",
        |l| l.is(7) && l.algorithm == Algorithm::Fast,
    ),
    row(
        Arithmetic::Definition,
        "definition",
        "everything else",
        "Asked for, or a kernel that no filter here has; 1x1 has nothing to save.",
        |_| true,
    ),
];

/// What factors of forward products are rounded to. Those of gradients never are.
pub(super) const PRODUCTS: &[Row<Resolved, Precision>] = &[
    row(Precision::F32, "f32", "f32 asked for, or a gradient", "Nothing is rounded that need not be.", |r| {
        let forward = matches!(r.layer.pass, Pass::Forward | Pass::ForwardPrepared);
        r.layer.precision == Precision::F32 || !forward
    }),
    row(
        Precision::Bf16,
        "bf16",
        "F(4, 3) with at least 16 input channels",
        "Twice the products a cycle where the processor has them: 128 to 128 channels, 256x256, 28.4 to 18.3.",
        |r| r.filters_by(Filter::F43) && r.layer.geometry.channels >= 16,
    ),
    row(
        Precision::Bf16,
        "bf16",
        "definition, sums of at least 64 products, at least 64 output channels",
        "Half the bytes of the weights to read: 4096 to 4096 channels, 16x16, 42.4 to 20.8.",
        |r| r.as_defined() && r.layer.geometry.depth() >= 64 && r.layer.geometry.out_channels >= 64,
    ),
    row(
        Precision::F32,
        "f32",
        "everything else",
        "Few channels gain nothing, and the points of a 7x7 kernel would amplify the rounding 25 to 100 times.",
        |_| true,
    ),
];

/// Whether a forward pass is faster with prepared weights.
pub(super) const PREPARING: &[Row<Resolved, bool>] = &[
    row(
        true,
        "prepare",
        "definition, more than 9 taps of which three quarters meet only padding",
        "The rest are laid aside: 512 to 4096 channels, 7x7 on 2x2 pixels, 75 of 411 MB; a photograph of 64x64 37 to 19.",
        |r| r.as_defined() && many_taps(r) && 4 * r.layer.geometry.busy_taps().len() <= r.layer.geometry.window(),
    ),
    row(
        false,
        "as stored",
        "definition, more than 9 taps",
        "Packed weights are as long to read as stored ones.",
        |r| r.as_defined() && many_taps(r),
    ),
    row(
        true,
        "prepare",
        "definition asked for, sums of fewer than 64 products, or 1x1",
        "Any size of map goes the same way, so weights are packed once for all.",
        |r| {
            let g = &r.layer.geometry;
            r.as_defined() && (!r.layer.may_filter() || short_sums(g) || g.window() == 1)
        },
    ),
    row(
        false,
        "as stored",
        "definition on a handful of pixels",
        "Prepared weights would serve maps of that size only.",
        |r| r.as_defined(),
    ),
    row(true, "prepare", "F(6, 3)", "Few channels: little memory, and the transform is saved.", |r| {
        r.filters_by(Filter::F63)
    }),
    row(
        false,
        "as stored",
        "F(4, 3), f32, by runs of output channels on at most 64 tiles",
        "Weights at the points are four times as long to read as stored ones, which are transformed in the cache.",
        |r| {
            let streamed = r.weights_outweigh_tiles() && r.layer.geometry.tiles(4) <= 64;
            r.filters_by(Filter::F43) && r.products == Precision::F32 && streamed
        },
    ),
    row(true, "prepare", "F(4, 3)", "The transform is saved.", |r| r.filters_by(Filter::F43)),
    row(
        false,
        "as stored",
        "F(3, 3), F(2, 7), F(4, 7)",
        "Few sizes go that way, or weights are transformed piece by piece while they are used.",
        |_| true,
    ),
];

fn many_taps(r: &Resolved) -> bool {
    r.layer.geometry.window() > 9
}

/// The order of the definition's products, forward and data gradient.
pub(super) const DIRECT_FORWARD: &[Row<Resolved, direct::ForwardLoops>] = &[
    row(
        direct::ForwardLoops::ShortSums,
        "by lines of padded images",
        "more than one tap, sums of fewer than 64 f32 products",
        "Nothing is unrolled and sums go from registers to the output: 3 to 64 channels, 4 x 224x224, 6.6 to 4.6.",
        |r| short_sums(&r.layer.busy()) && r.products == Precision::F32,
    ),
    row(
        direct::ForwardLoops::Channels,
        "by runs of output channels",
        "longer sums, more than 32 output channels, and at most 1024 pixels or at least 4 M weights",
        "Weights are read once a block of 1024 pixels and packed where they are used: 4096 to 4096 channels, 4 x 20x20, 261 to 259; \
         4 x 7x7 with one thread 59 to 48.",
        |r| {
            let busy = r.layer.busy();
            let in_blocks = busy.pixels() <= FEW_PIXELS || busy.out_channels * busy.depth() >= 4 << 20;
            !short_sums(&busy) && in_blocks && busy.out_channels > GROUP
        },
    ),
    row(
        direct::ForwardLoops::Channels,
        "by runs of output channels",
        "longer sums, pixels that fill at most half a vector",
        "Vectors along pixels would be half empty, so they run along channels: a score layer on 2x2 pixels 0.062 to 0.037.",
        |r| !short_sums(&r.layer.busy()) && 2 * r.layer.geometry.pixels() <= r.layer.lanes,
    ),
    row(
        direct::ForwardLoops::Pixels,
        "by blocks of pixels",
        "everything else",
        "The packed weights stay in the caches while blocks of 96 pixels pass by.",
        |_| true,
    ),
];

/// The order of a filter's products, forward and data gradient.
pub(super) const WINOGRAD_FORWARD: &[Row<Resolved, winograd::ForwardLoops>] = &[
    row(
        winograd::ForwardLoops::Channels,
        "by runs of output channels",
        "weights as stored, 7x7, or C K >= 65536 on few tiles of 4x4 (tiles C <= 80000)",
        "Weights at the points would leave the caches before they are used, the input there does not: 512 to 512 channels, 4 x 14x14, 12.3 \
         to 7.4. 512 to 4096 channels of 7x7 are 839 MB at the points.",
        |r| r.raw() && r.weights_outweigh_tiles(),
    ),
    row(
        winograd::ForwardLoops::Tiles,
        "by runs of tiles",
        "everything else",
        "The input at the points stays in the second-level cache while all output channels pass by: 256 to 256 channels, 128x128, 27.3 to \
         26.1.",
        |_| true,
    ),
];

/// The order of the definition's products in a weight gradient.
pub(super) const DIRECT_GRADIENT: &[Row<Resolved, direct::GradientLoops>] = &[
    row(
        direct::GradientLoops::ShortSums,
        "by lines of padded images",
        "more than one tap, fewer than 64 weights of an output channel",
        "Nothing is unrolled and the gradient is read where it is: 3 to 64 channels, 4 x 224x224, 5.9 to 4.7.",
        |r| short_sums(&r.layer.geometry),
    ),
    row(
        direct::GradientLoops::Strips,
        "by strips of weights",
        "at most 32 output channels and 1024 pixels",
        "By runs of output channels there would be one task: 4096 to 21 channels, 4 x 7x7 pixels, 0.475 to 0.294.",
        |r| few_pixels(r) && r.layer.geometry.out_channels <= GROUP,
    ),
    row(
        direct::GradientLoops::Blocks,
        "by blocks of 1024 pixels and runs of output channels",
        "at most 1024 pixels, or at least 256 output channels of at least 256 weights",
        "The unrolled input is laid out once and used by many channels: 4096 to 4096 channels, 4 x 20x20, 385 to 254.",
        |r| few_pixels(r) || r.layer.geometry.out_channels.min(r.layer.geometry.depth()) >= 256,
    ),
    row(
        direct::GradientLoops::Parts,
        "by parts of the pixels",
        "everything else",
        "Few weights and many pixels: only along pixels there is work enough to share.",
        |_| true,
    ),
];

fn few_pixels(r: &Resolved) -> bool {
    r.layer.geometry.pixels() <= FEW_PIXELS
}

/// The order of a filter's products in a weight gradient.
pub(super) const WINOGRAD_GRADIENT: &[Row<Resolved, winograd::GradientLoops>] = &[
    row(
        winograd::GradientLoops::Channels,
        "by runs of output channels",
        "7x7, or C K >= 16384 on few tiles of 4x4 (tiles (C + K) <= 110000)",
        "Operands at the points stay in the caches, and the many weights are written once: 128 to 128 channels, 4 x 28x28, 2.4 to 1.5.",
        |r| {
            let g = &r.layer.geometry;
            let few_tiles = g.tiles(4) * (g.channels + g.out_channels) <= 110_000;
            r.layer.is(7) || (r.layer.channel_pairs() >= 128 * 128 && few_tiles)
        },
    ),
    row(
        winograd::GradientLoops::Tiles,
        "by parts of the tiles",
        "sums at the points of at most 600 K values, more than 384 tiles",
        "Each task has sums of its own in the second-level cache, and only tiles are many.",
        |r| {
            let Arithmetic::Winograd(filter) = r.arithmetic else { return false };
            let resident = filter.points() * r.layer.channel_pairs() <= RESIDENT_SUMS;
            resident && r.layer.geometry.tiles(filter.tile()) > SUM_PARTS * SUM_TILES
        },
    ),
    row(
        winograd::GradientLoops::Points,
        "by points",
        "everything else",
        "Sums of all points would leave the cache, those of one do not; with few tiles, eight sums would take longer to add up than to sum: \
         64 to 64 channels, 28x28, 0.30 to 0.14.",
        |_| true,
    ),
];

/// Every list with what it answers, as text: a line for each method.
#[cfg(test)]
pub(super) fn text() -> String {
    fn lines<Q, M>(question: &str, rows: &[Row<Q, M>]) -> String {
        let line = |row: &Row<Q, M>| format!("{} | {} | {}\n", row.line.when, row.line.name, row.line.why);
        format!("# {question}\n{}\n", rows.iter().map(line).collect::<String>())
    }
    [
        lines("What is multiplied", ARITHMETIC),
        lines("Precision of forward products", PRODUCTS),
        lines("Forward and data gradient by the definition", DIRECT_FORWARD),
        lines("Forward and data gradient by a filter", WINOGRAD_FORWARD),
        lines("Weight gradient by the definition", DIRECT_GRADIENT),
        lines("Weight gradient by a filter", WINOGRAD_GRADIENT),
        lines("Whether to prepare weights", PREPARING),
    ]
    .concat()
}
