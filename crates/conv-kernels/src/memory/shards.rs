//! One output tensor written by many threads.
//!
//! An output `[N, K, H, W]` is cut into shards: a run of cells (a cell is a square of pixels of all images, counted
//! image by image, row by row) times a run of channels. Each shard can be claimed once, and a claimed shard hands out
//! only rows inside it; so no two threads ever hold the same value, and the interface is safe.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// How an output is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// N, K, H and W of the output.
    pub size: [usize; 4],
    /// A cell's height and width in pixels; cells at the right and lower edge may be smaller.
    pub cell: usize,
    /// Cells in a shard (the last may have fewer).
    pub cells: usize,
    /// Channels in a shard (the last may have fewer).
    pub channels: usize,
}

impl Cut {
    /// Cells in a column of an image.
    fn rows(&self) -> usize {
        self.size[2].div_ceil(self.cell)
    }

    /// Cells in a row of an image.
    pub(crate) fn columns(&self) -> usize {
        self.size[3].div_ceil(self.cell)
    }

    /// Cells in the whole output.
    pub(crate) fn cell_count(&self) -> usize {
        self.size[0] * self.rows() * self.columns()
    }

    /// Shards along cells, shards along channels.
    pub(crate) fn shards(&self) -> (usize, usize) {
        (self.cell_count().div_ceil(self.cells), self.size[1].div_ceil(self.channels))
    }

    /// Cells of shard `i`.
    pub(crate) fn cell_range(&self, i: usize) -> Range<usize> {
        i * self.cells..((i + 1) * self.cells).min(self.cell_count())
    }

    /// Channels of shard `j`.
    pub(crate) fn channel_range(&self, j: usize) -> Range<usize> {
        j * self.channels..((j + 1) * self.channels).min(self.size[1])
    }

    /// The pieces of cell rows that make up a run of cells, in order.
    pub(crate) fn segments(&self, cells: Range<usize>) -> impl Iterator<Item = Segment> + Clone {
        let (columns, rows) = (self.columns(), self.rows());
        let mut at = cells.start;
        std::iter::from_fn(move || {
            if at >= cells.end {
                return None;
            }
            let (row, column) = (at / columns, at % columns);
            let count = (columns - column).min(cells.end - at);
            let offset = at - cells.start;
            at += count;
            Some(Segment { image: row / rows, row: row % rows, column, count, offset })
        })
    }
}

/// A run of cells in one row of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The image.
    pub image: usize,
    /// The row of cells.
    pub row: usize,
    /// The first cell in it.
    pub column: usize,
    /// Number of cells.
    pub count: usize,
    /// Cells of the run before this segment.
    pub offset: usize,
}

/// An output tensor cut into shards.
pub(crate) struct Sharded<'a> {
    start: *mut f32,
    cut: Cut,
    claimed: Vec<AtomicBool>,
    values: PhantomData<&'a mut [f32]>,
}

// SAFETY: the tensor is reached only through shards, each claimed once, and shards are disjoint.
unsafe impl Sync for Sharded<'_> {}

impl<'a> Sharded<'a> {
    /// Cuts `out`, whose length must be the product of the sizes.
    pub(crate) fn new(out: &'a mut [f32], cut: Cut) -> Sharded<'a> {
        assert_eq!(out.len(), cut.size.iter().product(), "output of {:?}", cut.size);
        assert!(cut.cells > 0 && cut.channels > 0, "empty shards: {cut:?}");
        let (cells, channels) = cut.shards();
        let claimed = (0..cells * channels).map(|_| AtomicBool::new(false)).collect();
        Sharded { start: out.as_mut_ptr(), cut, claimed, values: PhantomData }
    }

    /// Claims the shard of cell run `i` and channel run `j`. Claiming one twice is a bug and panics.
    pub(crate) fn claim(&self, i: usize, j: usize) -> Shard<'_> {
        let (cells, channels) = self.cut.shards();
        assert!(i < cells && j < channels, "shard ({i}, {j}) of ({cells}, {channels})");
        let taken = self.claimed[i * channels + j].swap(true, Ordering::Relaxed);
        assert!(!taken, "shard ({i}, {j}) was claimed before");
        Shard {
            start: self.start,
            cut: self.cut,
            rows: self.cut.rows(),
            columns: self.cut.columns(),
            cells: self.cut.cell_range(i),
            channels: self.cut.channel_range(j),
            values: PhantomData,
        }
    }
}

/// The part of an output that one task may write.
pub(crate) struct Shard<'a> {
    start: *mut f32,
    cut: Cut,
    /// Rows and columns of cells of an image.
    rows: usize,
    columns: usize,
    /// Its cells.
    pub cells: Range<usize>,
    /// Its channels.
    pub channels: Range<usize>,
    values: PhantomData<&'a mut [f32]>,
}

impl Shard<'_> {
    /// Distance of a pixel and the same one in the next channel.
    #[inline]
    pub(crate) fn plane(&self) -> usize {
        self.cut.size[2] * self.cut.size[3]
    }

    /// The pixels of a segment in channel `k`; they must be in the shard, and cells single pixels.
    #[inline]
    pub(crate) fn pixels(&mut self, k: usize, segment: Segment) -> &mut [f32] {
        let (first, _, [high, wide]) = self.block(k, segment);
        assert!(high == 1 && wide == segment.count, "cells of one pixel");
        // SAFETY: `block` allows that many values in a row; no other shard has them, and `&mut self` keeps two segments from
        // being held at once.
        unsafe { std::slice::from_raw_parts_mut(first, wide) }
    }

    /// A line of the pixels of a segment's cells in channel `k`; they must be in the shard.
    #[inline]
    pub(crate) fn line(&mut self, k: usize, segment: Segment, line: usize) -> &mut [f32] {
        let (first, stride, [high, wide]) = self.block(k, segment);
        assert!(line < high, "line {line} of cells that have {high}");
        // SAFETY: `block` allows that many values in each of `high` rows; no other shard has them, and `&mut self` keeps two
        // lines from being held at once.
        unsafe { std::slice::from_raw_parts_mut(first.add(line * stride), wide) }
    }

    /// Where a segment's pixels begin in the first of some channels, [`plane`](Self::plane) values apart: `count` in each may
    /// be written. They must be in the shard, and cells single pixels.
    #[inline]
    pub(crate) fn planes(&mut self, channels: Range<usize>, segment: Segment) -> *mut f32 {
        assert!(!channels.is_empty(), "no channels");
        // What is in the shard in the first channel and in the last is so in those between.
        self.pixels(channels.end - 1, segment);
        self.pixels(channels.start, segment).as_mut_ptr()
    }

    /// The first pixel of a segment in channel `k`, the distance of two rows, and the rows and columns of pixels that
    /// may be written from there.
    #[inline]
    pub(crate) fn block(&mut self, k: usize, segment: Segment) -> (*mut f32, usize, [usize; 2]) {
        let [images, channels, height, width] = self.cut.size;
        let cell = self.cut.cell;
        let Segment { image, row, column, count, .. } = segment;
        let first = (image * self.rows + row) * self.columns + column;
        let inside = image < images && row < self.rows && count > 0 && column + count <= self.columns;
        assert!(inside, "segment outside the output");
        assert!(first >= self.cells.start && first + count <= self.cells.end, "segment outside the shard's cells");
        assert!(self.channels.contains(&k), "segment outside the shard's channels");
        let (y, x) = (row * cell, column * cell);
        let (high, wide) = ((height - y).min(cell), (width - x).min(count * cell));
        // SAFETY: the segment's cells and the channel are inside the output, as checked just now.
        let first = unsafe { self.start.add(((image * channels + k) * height + y) * width + x) };
        (first, width, [high, wide])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_cover_every_value_once() {
        for (size, cell, cells, channels) in
            [([2, 5, 7, 9], 4, 3, 2), ([1, 1, 1, 1], 4, 1, 1), ([3, 4, 8, 8], 1, 50, 4), ([2, 3, 15, 14], 6, 100, 9)]
        {
            let cut = Cut { size, cell, cells, channels };
            let mut out = vec![0.0; size.iter().product()];
            let sharded = Sharded::new(&mut out, cut);
            let (a, b) = cut.shards();
            for (i, j) in (0..a).flat_map(|i| (0..b).map(move |j| (i, j))) {
                let mut shard = sharded.claim(i, j);
                let mut seen = 0;
                for s in cut.segments(shard.cells.clone()) {
                    assert_eq!(s.offset, seen);
                    seen += s.count;
                    for k in shard.channels.clone() {
                        let (first, stride, [high, wide]) = shard.block(k, s);
                        for (y, x) in (0..high).flat_map(|y| (0..wide).map(move |x| (y, x))) {
                            // SAFETY: `high` rows of `wide` values may be written.
                            unsafe { *first.add(y * stride + x) += 1.0 };
                        }
                        for line in 0..high {
                            shard.line(k, s, line).iter_mut().for_each(|v| *v += 1.0);
                        }
                        if cell == 1 {
                            shard.pixels(k, s).iter_mut().for_each(|v| *v += 1.0);
                        }
                    }
                }
                assert_eq!(seen, shard.cells.len());
            }
            let times = if cell == 1 { 3.0 } else { 2.0 };
            assert!(out.iter().all(|v| *v == times), "{cut:?}");
        }
    }

    #[test]
    #[should_panic(expected = "claimed before")]
    fn a_shard_is_claimed_once() {
        let mut out = vec![0.0; 16];
        let sharded = Sharded::new(&mut out, Cut { size: [1, 1, 4, 4], cell: 1, cells: 8, channels: 1 });
        sharded.claim(1, 0);
        sharded.claim(1, 0);
    }

    #[test]
    #[should_panic(expected = "outside the shard's cells")]
    fn a_segment_outside_the_shard_is_refused() {
        let mut out = vec![0.0; 16];
        let sharded = Sharded::new(&mut out, Cut { size: [1, 1, 4, 4], cell: 1, cells: 8, channels: 1 });
        sharded.claim(1, 0).pixels(0, Segment { image: 0, row: 1, column: 0, count: 4, offset: 0 });
    }
}
