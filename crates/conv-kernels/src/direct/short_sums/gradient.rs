//! The weight gradient of short sums.

use rayon::prelude::*;

use super::super::blocks::GRADIENT_TASKS;
use super::lines::Shifted;
use crate::gemm::DotMul;
use crate::memory::Scratch;
use crate::shape::Geometry;
use crate::simd::{Isa, WIDEST};

/// Places whose lines a task lays out together, as far as rows are not longer.
const TASK_PLACES: usize = 1920;

/// dw = sum over images and pixels of dy and the input under the kernel. Parts of the pixels are added up at the end.
pub(crate) fn backward_weight(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (depth, k, [height, width]) = (g.depth(), g.out_channels, g.out_size);
    let plane = height * width;
    let part = (g.batch * height).div_ceil(GRADIENT_TASKS);
    let together = (TASK_PLACES / width).max(1);
    let mut sums = Scratch::zeros((g.batch * height).div_ceil(part) * k * depth);
    sums.par_chunks_mut(k * depth).enumerate().for_each(|(task, sum)| {
        let end = ((task + 1) * part).min(g.batch * height);
        let mut row = task * part;
        while row < end {
            let (image, first) = (row / height, row % height);
            let rows = together.min(end - row).min(height - first);
            let lines = Shifted::new(g, x, image, first..first + rows);
            let mut add = |a: &[f32], a_stride: usize, from: usize, count: usize| {
                let b_rows: Vec<usize> = lines.taps.iter().map(|tap| tap + from).collect();
                isa.run(DotMul {
                    rows: k,
                    columns: depth,
                    depth: count,
                    a,
                    a_stride,
                    b: &lines.values,
                    b_rows: &b_rows,
                    c: sum,
                    c_stride: depth,
                });
            };
            let gradient = &dy[image * k * plane + first * width..];
            let rest = rows * width % WIDEST;
            let whole = rows * width - rest;
            add(gradient, plane, 0, whole);
            if rest > 0 {
                let mut last = Scratch::zeros(k * WIDEST);
                for (to, from) in last.chunks_mut(WIDEST).zip(gradient.chunks(plane)) {
                    to[..rest].copy_from_slice(&from[whole..whole + rest]);
                }
                add(&last, WIDEST, whole, WIDEST);
            }
            row += rows;
        }
    });
    for (i, value) in dw.iter_mut().enumerate() {
        *value = sums.iter().skip(i).step_by(k * depth).sum();
    }
}
