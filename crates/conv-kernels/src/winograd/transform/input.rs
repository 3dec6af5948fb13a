//! The two-dimensional transforms from tensors `[N, C, H, W]` to points; the way back is in [`super::output`].
//!
//! `N` is the number of points, `T` the number of outputs of a tile and `R` that of taps, in each direction.
//!
//! Vectors run along neighbouring tiles of a row: no channel count is special, and no other layout of activations is
//! needed. The vertical transform comes first, on contiguous rows of pixels; only its results are split into the T
//! phases of a tile (x mod T) for the horizontal one. Rows too short to fill a vector share some.
//!
//! A block of values at the points has the layout `[point][channel][tile]`; see [`PointBlock`]. In one of pairs of bf16
//! values, a pair of channels takes the place of a channel; the last one of an odd number is paired with zeros.

use std::ops::Range;

use super::layout::{PointBlock, odd_lines, rows_share_vectors};
use super::points::{input, spread};
use crate::memory::{Cut, Segment};
use crate::simd::{Kernel, PairKernel, Precision, Simd, WIDEST};

/// Values of scratch that [`ToPoints`] needs for a run of `tiles` tiles of images `width` pixels wide: the lines of a
/// channel or a pair, and a row of zeros.
pub(crate) fn lines_len<const N: usize, const T: usize>(precision: Precision, tiles: usize, width: usize) -> usize {
    precision.values() * N * line_len::<N, T>(tiles) + width + 3 * WIDEST
}

/// Values in one line of that scratch.
fn line_len<const N: usize, const T: usize>(tiles: usize) -> usize {
    odd_lines(T * (tiles.max(SLOTS) + WIDEST) + N + WIDEST)
}

/// Places for tiles that rows share, and a little more.
const SLOTS: usize = 8 * WIDEST;

/// Short rows of tiles side by side in the lines, with space between them for the pixels that the last tile of a row reads
/// beyond its own.
struct Packed {
    /// Rows, and where each begins.
    rows: Vec<(Segment, usize)>,
    picks: Vec<Pick>,
}

/// The tiles in a vector of slots.
struct Pick {
    /// The first slot.
    slot: usize,
    /// The first tile; the others follow.
    tile: usize,
    /// Which lanes the tiles are in.
    lanes: [u32; WIDEST],
}

impl Packed {
    /// Packs rows that begin `gap` slots after another's end, for vectors of `lanes`.
    fn all(segments: &[Segment], gap: usize, lanes: usize) -> Vec<Packed> {
        let mut all: Vec<Packed> = Vec::new();
        let mut used = SLOTS;
        for segment in segments {
            if used + segment.count > SLOTS {
                all.push(Packed { rows: Vec::new(), picks: Vec::new() });
                used = 0;
            }
            if let Some(packed) = all.last_mut() {
                packed.rows.push((*segment, used));
            }
            used += segment.count + gap;
        }
        for Packed { rows, picks } in &mut all {
            for (slot, tile) in
                rows.iter().flat_map(|(row, slot)| (0..row.count).map(move |t| (slot + t, row.offset + t)))
            {
                let first = slot / lanes * lanes;
                if picks.last().is_none_or(|pick| pick.slot != first) {
                    picks.push(Pick { slot: first, tile, lanes: [0; WIDEST] });
                }
                if let Some(pick) = picks.last_mut() {
                    pick.lanes[tile - pick.tile] = (slot - first) as u32;
                }
            }
        }
        all
    }
}

/// Takes pixels to the points: B^T d B for an input, A y A^T for the gradient of an output (`GRADIENT`).
pub(crate) struct ToPoints<'a, const N: usize, const T: usize, const GRADIENT: bool> {
    /// The tensor `[images, channels, height, width]`.
    pub x: &'a [f32],
    /// Its channels in all.
    pub channels: usize,
    /// Its height and width.
    pub size: [usize; 2],
    /// Tile (i, j) begins at pixel (T i - offset, T j - offset).
    pub offset: [isize; 2],
    /// Tiles, cut from the convolution's output.
    pub cut: Cut,
    /// The tiles to transform: at most as many as `block` was made for.
    pub tiles: Range<usize>,
    /// The channels to transform.
    pub from_channels: Range<usize>,
    /// The block to fill: `[N * N]` points of the channels above, or of their pairs.
    pub to: &'a mut [f32],
    /// Its layout.
    pub block: PointBlock,
    /// Scratch: [`lines_len`] values.
    pub lines: &'a mut [f32],
}

impl<const N: usize, const T: usize, const GRADIENT: bool> Kernel for ToPoints<'_, N, T, GRADIENT> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.transform_all(s, Precision::F32);
    }
}

impl<const N: usize, const T: usize, const GRADIENT: bool> PairKernel for ToPoints<'_, N, T, GRADIENT> {
    #[inline(always)]
    fn run_pairs<S: Simd>(self, s: S) {
        self.transform_all(s, Precision::Bf16);
    }
}

impl<const N: usize, const T: usize, const GRADIENT: bool> ToPoints<'_, N, T, GRADIENT> {
    /// Rows (and columns) of pixels that a tile reads.
    const READS: usize = if GRADIENT { T } else { N };

    /// Tiles to leave out behind a row of tiles, so that the next one does not begin where this one still reads.
    const GAP: usize = (Self::READS - T).div_ceil(T);

    #[inline(always)]
    fn transform_all<S: Simd>(mut self, s: S, precision: Precision) {
        let tiles = self.tiles.len();
        let rows = precision.words(self.from_channels.len());
        let [height, width] = self.size;
        let images = self.cut.size[0];
        assert_eq!(self.x.len(), images * self.channels * height * width, "length of the tensor");
        assert!(self.from_channels.end <= self.channels, "channels");
        assert!(self.tiles.end <= self.cut.cell_count(), "tiles");
        assert!(self.block.holds(rows, tiles, N * N, self.to.len()), "{:?}", self.block);
        assert!(self.lines.len() >= lines_len::<N, T>(precision, tiles, width), "length of the scratch");
        let zeros = precision.values() * N * line_len::<N, T>(tiles);
        self.lines[zeros..zeros + width + 3 * WIDEST].fill(0.0);
        let segments: Vec<Segment> = self.cut.segments(self.tiles.clone()).collect();
        let short = rows_share_vectors::<S>(&self.cut);
        let packed = if short { Packed::all(&segments, Self::GAP, S::LANES) } else { Vec::new() };
        for row in 0..rows {
            let first = self.from_channels.start + precision.values() * row;
            let second = precision == Precision::Bf16 && first + 1 < self.from_channels.end;
            for Packed { rows: segments, picks } in &packed {
                for &(segment, slot) in segments {
                    self.vertical(s, first, segment, 0, slot, zeros);
                    if second {
                        self.vertical(s, first + 1, segment, N, slot, zeros);
                    }
                }
                for Pick { slot, tile, lanes } in picks {
                    self.horizontal(s, precision, row, [*slot, *tile], Some(lanes), second);
                }
            }
            if short {
                continue;
            }
            for &segment in &segments {
                self.vertical(s, first, segment, 0, 0, zeros);
                if second {
                    self.vertical(s, first + 1, segment, N, 0, zeros);
                }
                for t in (0..segment.count).step_by(S::LANES) {
                    self.horizontal(s, precision, row, [t, segment.offset + t], None, second);
                }
            }
        }
    }

    #[inline(always)]
    fn transform<S: Simd>(s: S, d: [S::V; N]) -> [S::V; N] {
        if GRADIENT {
            let mut y = [s.splat(0.0); T];
            y.copy_from_slice(&d[..T]);
            spread::<S, N, T>(s, y)
        } else {
            input::<S, N>(s, d)
        }
    }

    /// Transforms the columns of a segment into N lines, from line `to` on, where its first tile has this slot; the row of
    /// zeros begins at `zeros`.
    ///
    /// Stores are aligned, so that the 16-byte loads of the horizontal transform find their values in the store buffer.
    #[inline(always)]
    fn vertical<S: Simd>(&mut self, s: S, c: usize, segment: Segment, to: usize, slot: usize, zeros: usize) {
        let [height, width] = self.size;
        let line = line_len::<N, T>(self.tiles.len());
        let first = (T * segment.column) as isize - self.offset[1];
        let count = T * segment.count + Self::READS - T;
        // The columns that are not padding.
        let start = (-first).clamp(0, count as isize);
        let end = (width as isize - first).clamp(start, count as isize);

        // Where column 0 of each row is: in the tensor (or before or behind it, at the borders), or in a row of zeros.
        let mut rows = [self.lines.as_ptr().wrapping_add(zeros + WIDEST).wrapping_offset(first); N];
        let (mut lowest, mut highest) = (isize::MAX / 2, 0);
        for (i, row) in rows.iter_mut().enumerate().take(Self::READS) {
            let y = (T * segment.row + i) as isize - self.offset[0];
            if y >= 0 && y < height as isize {
                let plane = (segment.image * self.channels + c) * height;
                let at = ((plane + y as usize) * width) as isize + first;
                *row = self.x.as_ptr().wrapping_offset(at);
                (lowest, highest) = (lowest.min(at), at);
            }
        }
        let mut j = 0;
        while j < count as isize {
            let stop = j + S::LANES as isize;
            let mut d = [s.splat(0.0); N];
            let inside = lowest + j >= 0 && highest + stop <= self.x.len() as isize;
            if inside && stop > start && j < end {
                for (d, row) in d.iter_mut().zip(rows).take(Self::READS) {
                    // SAFETY: the vector lies in the tensor, or in the row of zeros, which begins WIDEST values before
                    // the first column and ends as many after the last.
                    *d = unsafe { s.load(row.wrapping_offset(j)) };
                }
                if j < start || stop > end {
                    let keep = lane_mask(s, start - j, end - j);
                    for d in d.iter_mut().take(Self::READS) {
                        *d = s.and(*d, keep);
                    }
                }
            } else if stop > start && j < end {
                for (d, row) in d.iter_mut().zip(rows).take(Self::READS) {
                    // SAFETY: columns from start to end lie in the tensor or in the row of zeros; the array holds a vector.
                    *d = unsafe {
                        let lanes = part(row.wrapping_offset(j), (start - j).max(0)..(end - j).min(S::LANES as isize));
                        s.load(lanes.as_ptr())
                    };
                }
            }
            if j % 16 == 0 {
                // The next channel's rows: these reads are too short and scattered for the processor to foresee.
                for row in rows.iter().take(Self::READS) {
                    s.prefetch(row.wrapping_offset(j + (height * width) as isize));
                }
            }
            let points = Self::transform(s, d);
            for (i, v) in points.iter().enumerate() {
                // SAFETY: lines hold `count + WIDEST` values from any slot on.
                unsafe { s.store(self.lines.as_mut_ptr().add((to + i) * line + T * slot + j as usize), *v) };
            }
            j = stop;
        }
    }

    /// Transforms a vector of slots of the lines into row `row` of the block, from a tile on; in pairs with zeros unless
    /// there is a `second` channel. `lanes` are those that are tiles, if not all are.
    #[inline(always)]
    fn horizontal<S: Simd>(
        &mut self,
        s: S,
        precision: Precision,
        row: usize,
        [slot, tile]: [usize; 2],
        lanes: Option<&[u32; WIDEST]>,
        second: bool,
    ) {
        let line = line_len::<N, T>(self.tiles.len());
        for i in 0..N {
            // SAFETY: lines i and N + i are long enough for the slots' last vector and N values beyond; the block has rows
            // with space for a vector at the last tile, for all points and channels, as checked at the beginning.
            unsafe {
                let from = self.lines.as_ptr().add(i * line + T * slot);
                let mut points = Self::transform(s, Self::phases(s, from));
                if precision == Precision::Bf16 {
                    let mut odd = [s.splat(0.0); N];
                    if second {
                        odd = Self::transform(s, Self::phases(s, from.add(N * line)));
                    }
                    for (even, odd) in points.iter_mut().zip(odd) {
                        *even = s.pair(*even, odd);
                    }
                }
                let to = self.to.as_mut_ptr().add(row * self.block.row + tile);
                for (j, v) in points.iter().enumerate() {
                    let to = to.add((i * N + j) * self.block.point);
                    s.store(to, if let Some(lanes) = lanes { s.permute(*v, lanes) } else { *v });
                    // The next channel's place.
                    s.prefetch_write(to.wrapping_add(self.block.row));
                }
            }
        }
    }

    /// What `LANES` tiles read of a line: lane t of vector j is value T t + j.
    ///
    /// # Safety
    /// T LANES + N values can be read.
    #[inline(always)]
    unsafe fn phases<S: Simd>(s: S, from: *const f32) -> [S::V; N] {
        let mut d = [s.splat(0.0); N];
        // SAFETY: as the caller vouches.
        unsafe {
            if T == 4 {
                d[..4].copy_from_slice(&s.load4(from));
                for j in 4..Self::READS {
                    d[j] = s.shift_in(d[j - 4], *from.add(4 * (S::LANES - 1) + j));
                }
            } else {
                let mut places = [0; WIDEST];
                for (t, place) in places.iter_mut().enumerate() {
                    *place = T * t;
                }
                let mut j = 0;
                while j < Self::READS {
                    let four = s.load_columns(from.add(j), &places);
                    for (d, v) in d[j..].iter_mut().zip(four) {
                        *d = v;
                    }
                    j += 4;
                }
            }
        }
        d
    }
}

/// The values `lanes` of those at `from`, in their place, and zeros; only those are read.
///
/// # Safety
/// They can be read.
#[cold]
#[inline(never)]
unsafe fn part(from: *const f32, lanes: Range<isize>) -> [f32; WIDEST] {
    let mut values = [0.0; WIDEST];
    for i in lanes {
        // SAFETY: lane i is one of those that can be read.
        values[i as usize] = unsafe { *from.offset(i) };
    }
    values
}

/// All bits set in lanes `start..end`, none in the others.
#[inline(always)]
fn lane_mask<S: Simd>(s: S, start: isize, end: isize) -> S::V {
    const WIDE: isize = WIDEST as isize;
    /// Zeros, ones, zeros: a window of it that begins at WIDEST - n has n zeros, one at 2 WIDEST - n has n ones.
    static BITS: [u32; 3 * WIDEST] = {
        let mut bits = [0; 3 * WIDEST];
        let mut i = WIDEST;
        while i < 2 * WIDEST {
            bits[i] = u32::MAX;
            i += 1;
        }
        bits
    };
    let from = |at: isize| BITS.as_ptr().wrapping_offset(at).cast::<f32>();
    // SAFETY: the windows begin at 0 to 2 WIDEST and are at most WIDEST long.
    unsafe {
        let after = s.load(from(WIDE - start.clamp(0, WIDE)));
        let before = s.load(from(2 * WIDE - end.clamp(0, WIDE)));
        s.and(after, before)
    }
}
