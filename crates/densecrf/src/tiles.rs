//! Fast mode's order of pixels, and its pass over them.
//!
//! Sums may be taken in any order that depends on the image alone, so pixels are visited by tiles, whose few vertices
//! stay in the first-level cache, and the pixels of a tile by simplex: a run of pixels with one simplex reads or writes
//! its vertices' rows once. The image is cut into a few stripes, always the same, that threads splat side by side. A
//! vertex belongs to the first stripe that touches it; later stripes add to extra rows of their own, which are joined
//! afterwards in the order of the stripes.

use std::ops::Range;

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::lattice::PermutohedralLattice;
use crate::pass::{Price, Term, known_stride, padding, prefetch_pixels, subtract_product};
use crate::simd::{Row, Task};
use crate::softmax::{BATCH, softmax_rows};

/// Most stripes of an image.
const STRIPES: usize = 4;
/// Most pixels of a tile: a pixel's place in its tile is a byte.
const LARGEST_TILE: usize = 256;

/// How an image of W x H pixels is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    width: usize,
    height: usize,
    /// Columns and rows of a tile; less at the right and lower edges.
    tile: (usize, usize),
    /// Tiles above each other in a stripe.
    depth: usize,
}

/// A part of the image.
#[derive(Debug, Clone, Copy)]
struct Tile {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Tiling {
    /// Tiles for rows of `stride` lanes: of 8 to 40 KiB.
    pub(crate) fn new(width: usize, height: usize, stride: usize) -> Self {
        let tile = match stride {
            ..=8 => (16, 16),
            9..=32 => (16, 8),
            _ => (8, 8),
        };
        Self { width, height, tile, depth: height.div_ceil(tile.1).div_ceil(STRIPES) }
    }

    /// Number of stripes.
    pub(crate) fn stripes(&self) -> usize {
        self.height.div_ceil(self.depth * self.tile.1)
    }

    /// Pixels of a stripe but the last, in the image's order.
    pub(crate) fn stripe_pixels(&self) -> usize {
        self.depth * self.tile.1 * self.width
    }

    fn tiles(self, stripe: usize) -> impl Iterator<Item = Tile> {
        let Self { width, height, tile: (columns, rows), depth } = self;
        let top = stripe * depth * rows;
        let ys = (top..height.min(top + depth * rows)).step_by(rows);
        ys.flat_map(move |y| {
            let tile = move |x| Tile { x, y, width: columns.min(width - x), height: rows.min(height - y) };
            (0..width).step_by(columns).map(tile)
        })
    }

    /// The rows of a tile as ranges of pixels.
    #[inline(always)]
    fn rows(self, tile: Tile) -> impl Iterator<Item = Range<usize>> {
        let start = move |y: usize| y * self.width + tile.x;
        (tile.y..tile.y + tile.height).map(move |y| start(y)..start(y) + tile.width)
    }
}

/// What a kernel's pass over one stripe needs.
#[derive(Default)]
struct Stripe {
    /// For each tile the number of its runs.
    counts: Vec<u32>,
    /// For each run its number of pixels, D rows within the stripe to splat to, and D rows of all to slice from.
    runs: Vec<u32>,
    /// Places in the tile, run after run.
    places: Vec<u8>,
    /// Vertices that no earlier stripe touches.
    own: Range<usize>,
    /// For each extra row the row that it is added to (while a plan is made, the vertex).
    extras: Vec<u32>,
    /// Number of the stripe's first row: rows of its own vertices, then extra rows.
    row: usize,
}

/// A kernel's pixels in the order of fast mode.
pub(crate) struct Plan {
    stripes: Vec<Stripe>,
    /// [`PermutohedralLattice::neighbours`] as rows.
    pub(crate) neighbours: Vec<[u32; 2]>,
    /// Number of rows; one more is zero.
    pub(crate) rows: usize,
}

impl Plan {
    pub(crate) fn new(lattice: &PermutohedralLattice, tiling: Tiling) -> Self {
        let pixels = tiling.stripe_pixels() * lattice.simplex;
        let mut end = 0;
        let highest = lattice.corners.par_chunks(pixels).map(|c| c.iter().max().map_or(0, |&v| v as usize + 1));
        let mut own: Vec<Range<usize>> = highest
            .collect::<Vec<_>>()
            .into_iter()
            .map(|highest| {
                let start = end;
                end = highest.max(start);
                start..end
            })
            .collect();
        if let Some(last) = own.last_mut() {
            last.end = lattice.vertices;
        }
        let group = |(stripe, own)| match lattice.simplex {
            3 => Stripe::new::<3>(lattice, tiling, stripe, own),
            _ => Stripe::new::<6>(lattice, tiling, stripe, own),
        };
        let mut stripes: Vec<Stripe> = own.into_par_iter().enumerate().map(group).collect();
        let mut rows = 0;
        for stripe in &mut stripes {
            stripe.row = rows;
            rows += stripe.own.len() + stripe.extras.len();
        }
        // The row of each vertex, and behind them the row of none.
        let mut row = vec![rows as u32; lattice.vertices + 1];
        for stripe in &stripes {
            row[stripe.own.clone()].iter_mut().zip(stripe.row as u32..).for_each(|(row, number)| *row = number);
        }
        let row_of = |vertex: u32| row[vertex as usize];
        stripes.par_iter_mut().for_each(|stripe| {
            stripe.extras.iter_mut().for_each(|v| *v = row_of(*v));
            for run in stripe.runs.chunks_exact_mut(1 + 2 * lattice.simplex) {
                run[1 + lattice.simplex..].iter_mut().for_each(|v| *v = row_of(*v));
            }
        });
        let neighbours = lattice.neighbours.par_iter().map(|pair| pair.map(row_of)).collect();
        Self { stripes, neighbours, rows }
    }

    /// For each stripe its own vertices and the first of its rows.
    pub(crate) fn regions(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        self.stripes.iter().map(|s| (s.own.clone(), s.row))
    }

    /// The rows of each stripe.
    pub(crate) fn split<'a>(&self, mut values: &'a mut [f32], stride: usize) -> Vec<&'a mut [f32]> {
        let part = |s: &Stripe| {
            let (part, rest) = std::mem::take(&mut values).split_at_mut((s.own.len() + s.extras.len()) * stride);
            values = rest;
            part
        };
        self.stripes.iter().map(part).collect()
    }
}

impl Stripe {
    /// Groups the pixels of each tile by simplex. Rows to slice from are vertices for now.
    fn new<const D: usize>(lattice: &PermutohedralLattice, tiling: Tiling, stripe: usize, own: Range<usize>) -> Self {
        const SLOTS: usize = 2 * LARGEST_TILE;
        const NONE: u32 = u32::MAX;
        let corners = lattice.corners.as_chunks::<D>().0;
        let mut extra = vec![NONE; own.start];
        let mut out = Self { own: own.clone(), ..Self::default() };
        let (mut simplices, mut lengths) = ([[0_u32; D]; LARGEST_TILE], [0_usize; LARGEST_TILE]);
        let mut run_of = [0_u8; LARGEST_TILE];
        for tile in tiling.tiles(stripe) {
            let mut slots = [0_u16; SLOTS];
            let mut count = 0;
            for (place, pixel) in tiling.rows(tile).flatten().enumerate() {
                let simplex = &corners[pixel];
                let mix = simplex.iter().fold(0_u32, |h, &v| (h ^ v).wrapping_mul(0x9e37_79b1).rotate_left(15));
                let mut slot = mix as usize % SLOTS;
                while slots[slot] > 0 && simplices[usize::from(slots[slot]) - 1] != *simplex {
                    slot = (slot + 1) % SLOTS;
                }
                if slots[slot] == 0 {
                    (simplices[count], lengths[count]) = (*simplex, 0);
                    count += 1;
                    slots[slot] = count as u16;
                }
                let run = usize::from(slots[slot]) - 1;
                lengths[run] += 1;
                run_of[place] = run as u8;
            }
            // Long runs first: the processor then foresees most of the loops' ends.
            let mut ends = [0_usize; LARGEST_TILE + 2];
            lengths[..count].iter().for_each(|&n| ends[LARGEST_TILE + 1 - n] += 1);
            (1..ends.len()).for_each(|n| ends[n] += ends[n - 1]);
            let mut order = [0_u8; LARGEST_TILE];
            for run in 0..count {
                let place = &mut ends[LARGEST_TILE - lengths[run]];
                order[*place] = run as u8;
                *place += 1;
            }
            out.counts.push(count as u32);
            let mut starts = [0_usize; LARGEST_TILE];
            let first = out.places.len();
            let mut start = first;
            for &run in &order[..count] {
                let run = usize::from(run);
                starts[run] = start;
                start += lengths[run];
                out.runs.push(lengths[run] as u32);
                for &vertex in &simplices[run] {
                    let at = vertex as usize;
                    out.runs.push(if at >= own.start {
                        (at - own.start) as u32
                    } else {
                        if extra[at] == NONE {
                            extra[at] = (own.len() + out.extras.len()) as u32;
                            out.extras.push(vertex);
                        }
                        extra[at]
                    });
                }
                out.runs.extend(simplices[run]);
            }
            out.places.resize(start, 0);
            for (place, &run) in run_of[..start - first].iter().enumerate() {
                let at = &mut starts[usize::from(run)];
                out.places[*at] = place as u8;
                *at += 1;
            }
        }
        out
    }
}

/// Adds extra rows to those that belong to the same vertices, in the order of the stripes.
pub(crate) struct Join<'a> {
    pub(crate) stride: usize,
    pub(crate) plan: &'a Plan,
    pub(crate) values: &'a mut [f32],
}

impl Task for Join<'_> {
    #[inline(always)]
    fn run<R: Row>(self) {
        let stride = known_stride::<R>(self.stride);
        for stripe in &self.plan.stripes {
            let first = stripe.row + stripe.own.len();
            for (extra, &row) in (first..).zip(&stripe.extras) {
                for block in (0..stride).step_by(R::LANES) {
                    let (from, to) = (extra * stride + block, row as usize * stride + block);
                    R::load(self.values, to).add(R::load(self.values, from)).store(self.values, to);
                }
            }
        }
    }
}

/// What becomes of the marginals of a stripe.
pub(crate) enum Output<'a> {
    /// Splat into the stripe's rows of each term.
    Splat(Vec<&'a mut [f32]>),
    /// Write rows of C values for the pixels of the stripe, in the image's order.
    Rows(&'a mut [f32]),
}

/// The pass over a stripe: as [`crate::pass::PixelPass`], in fast mode's order and with fused operations.
pub(crate) struct StripePass<'a> {
    pub(crate) labels: usize,
    pub(crate) stride: usize,
    /// \[N, C\] and at least a row's width more.
    pub(crate) scores: &'a [f32],
    pub(crate) terms: &'a [Term<'a>],
    /// One for each term.
    pub(crate) plans: &'a [&'a Plan],
    pub(crate) tiling: Tiling,
    pub(crate) stripe: usize,
    /// Blurred values of each term, \[rows + 1, stride\]; `None` for the first pass, which knows no messages.
    pub(crate) values: Option<&'a [Aligned<f32>]>,
    pub(crate) output: Output<'a>,
}

/// Runs of one term in one tile.
struct Runs<'a> {
    runs: &'a [u32],
    places: &'a [u8],
    /// Number of each pixel in the image, by place.
    pixels: &'a [u32; LARGEST_TILE],
}

impl Task for StripePass<'_> {
    #[inline(always)]
    fn run<R: Row>(self) {
        let stride = known_stride::<R>(self.stride);
        self.tiles::<R>(stride);
    }
}

impl StripePass<'_> {
    #[inline(always)]
    fn tiles<R: Row>(self, stride: usize) {
        let Self { labels, scores, terms, plans, tiling, stripe, values, mut output, .. } = self;
        let largest = tiling.tile.0 * tiling.tile.1;
        let mut buffer = Aligned::zeroed(largest * stride);
        let matrix = terms.iter().any(|t| matches!(t.price, Price::Matrix(_)));
        let mut messages = Aligned::zeroed(if matrix { largest * stride } else { 0 });
        let padding = padding(labels, stride);
        let mut pixels = [0_u32; LARGEST_TILE];
        let mut at = vec![(0..0, 0..0); terms.len()];
        let first = stripe * tiling.stripe_pixels();
        let mut tiles = tiling.tiles(stripe).enumerate().peekable();
        while let Some((number, tile)) = tiles.next() {
            let next = tiles.peek().map(|n| n.1);
            let count = tile.width * tile.height;
            let t = &mut buffer[..count * stride];
            let batches = count.div_ceil(BATCH);
            let shares = 2 * terms.len() + batches;
            let ask = |share: usize| {
                let Some(tile) = next else { return };
                let (from, to) = (tile.height * share / shares, tile.height * (share + 1) / shares);
                for pixels in tiling.rows(tile).take(to).skip(from) {
                    prefetch_pixels(scores, labels, terms, false, pixels);
                }
            };
            let rows = t.chunks_exact_mut(stride).zip(&mut pixels);
            for ((row, out), pixel) in rows.zip(tiling.rows(tile).flatten()) {
                *out = pixel as u32;
                for block in (0..stride).step_by(R::LANES) {
                    let score = R::load(scores, pixel * labels + block);
                    score.add(R::load(&padding, block)).store(row, block);
                }
            }
            for ((plan, term), at) in plans.iter().zip(terms).zip(&mut at) {
                let Stripe { counts, .. } = &plan.stripes[stripe];
                let end = at.0.end + counts[number] as usize * (1 + 2 * term.lattice.simplex);
                *at = (at.0.end..end, at.1.end..at.1.end + count);
            }
            let runs = |k: usize| {
                let Stripe { runs, places, .. } = &plans[k].stripes[stripe];
                Runs { runs: &runs[at[k].0.clone()], places: &places[at[k].1.clone()], pixels: &pixels }
            };
            for (k, (term, values)) in terms.iter().zip(values.unwrap_or_default()).enumerate() {
                ask(k);
                let runs = runs(k);
                let price = if let Price::Matrix(w) = term.price { Some(w) } else { None };
                let out = if price.is_some() { &mut messages[..count * stride] } else { &mut *t };
                if term.lattice.simplex == 3 {
                    slice::<R, 3>(term, &runs, values, stride, out);
                } else {
                    slice::<R, 6>(term, &runs, values, stride, out);
                }
                if let Some(w) = price {
                    for (t, message) in t.chunks_exact_mut(stride).zip(messages.chunks_exact(stride)) {
                        subtract_product::<R, true>(w, message, t, labels, false);
                    }
                }
            }
            for (batch, share) in t.chunks_mut(BATCH * stride).zip(terms.len()..) {
                ask(share);
                softmax_rows::<R, true>(batch, stride, labels);
            }
            match &mut output {
                Output::Rows(rows) => {
                    (terms.len() + batches..shares).for_each(ask);
                    for (&pixel, row) in pixels.iter().zip(t.chunks_exact(stride)) {
                        rows[(pixel as usize - first) * labels..][..labels].copy_from_slice(&row[..labels]);
                    }
                }
                Output::Splat(targets) => {
                    for (k, (term, target)) in terms.iter().zip(targets).enumerate() {
                        ask(terms.len() + batches + k);
                        let runs = runs(k);
                        if term.lattice.simplex == 3 {
                            splat::<R, 3>(term, &runs, target, stride, t);
                        } else {
                            splat::<R, 6>(term, &runs, target, stride, t);
                        }
                    }
                }
            }
        }
    }
}

impl<'a> Runs<'a> {
    /// Each run: its places, the rows to splat to, the rows to slice from.
    #[inline(always)]
    fn iter<const D: usize>(&self) -> impl Iterator<Item = (&'a [u8], &'a [u32], &'a [u32])> {
        let mut places = self.places;
        self.runs.chunks_exact(1 + 2 * D).map(move |run| {
            let (now, rest) = places.split_at(run[0] as usize);
            places = rest;
            (now, &run[1..1 + D], &run[1 + D..])
        })
    }
}

/// A block of each of D rows. A loop, because `std::array::from_fn` is not inlined.
#[inline(always)]
fn load_rows<R: Row, const D: usize>(values: &[f32], rows: &[u32], stride: usize, block: usize) -> [R; D] {
    let mut out = [R::splat(0.0); D];
    for (out, &row) in out.iter_mut().zip(rows) {
        *out = R::load(values, row as usize * stride + block);
    }
    out
}

/// Adds the messages of one term to the scores `t` of a tile, or, for a matrix price, writes them to `t`.
#[inline(always)]
fn slice<R: Row, const D: usize>(term: &Term<'_>, runs: &Runs<'_>, values: &[f32], stride: usize, t: &mut [f32]) {
    let alpha = term.lattice.alpha();
    let weights = term.lattice.weights.as_chunks::<D>().0;
    for (places, _, from) in runs.iter::<D>() {
        for block in (0..stride).step_by(R::LANES) {
            let rows = load_rows::<R, D>(values, from, stride, block);
            for &place in places {
                let (at, pixel) = (usize::from(place) * stride + block, runs.pixels[usize::from(place)] as usize);
                let mut message = rows[0].mul(R::splat(weights[pixel][0]));
                for k in 1..D {
                    message = rows[k].fused(R::splat(weights[pixel][k]), message);
                }
                let scale = if term.after.is_empty() { alpha } else { term.after[pixel] * alpha };
                let new = match term.price {
                    Price::Potts(w) => message.fused(R::splat(w * scale), R::load(t, at)),
                    Price::Diagonal(v) => message.mul(R::load(v, block)).fused(R::splat(-scale), R::load(t, at)),
                    Price::Matrix(_) => message.mul(R::splat(scale)),
                };
                new.store(t, at);
            }
        }
    }
}

/// Adds the marginals `q` of a tile to the values of their vertices.
#[inline(always)]
fn splat<R: Row, const D: usize>(term: &Term<'_>, runs: &Runs<'_>, values: &mut [f32], stride: usize, q: &[f32]) {
    let weights = term.lattice.weights.as_chunks::<D>().0;
    for (places, to, _) in runs.iter::<D>() {
        for block in (0..stride).step_by(R::LANES) {
            let mut rows = load_rows::<R, D>(values, to, stride, block);
            for &place in places {
                let (at, pixel) = (usize::from(place) * stride + block, runs.pixels[usize::from(place)] as usize);
                let before = if term.before.is_empty() { 1.0 } else { term.before[pixel] };
                let x = R::load(q, at).mul(R::splat(before));
                for k in 0..D {
                    rows[k] = x.fused(R::splat(weights[pixel][k]), rows[k]);
                }
            }
            for k in 0..D {
                rows[k].store(values, to[k] as usize * stride + block);
            }
        }
    }
}
