//! The permutohedral lattice of an image (Adams, Baek & Davis 2010): where each pixel's simplex stands, which vertices
//! there are, and who their neighbours are. Built once per kernel; inference only reads it.
//!
//! N pixels, D = d + 1 vertices a simplex, M vertices. Vertex numbers carry no meaning: results depend on the set of
//! vertices and on the order in which pixels are splatted, not on how vertices are numbered.

use rayon::prelude::*;

use crate::CrfError;
use crate::embed::{Features, GROUP, Simplices, embed};
use crate::index::{Dense, Hashed, Index, Key};
use crate::simd::{Level, PlainTask, dispatch_plain};

/// One vertex of a pixel's simplex.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Corner {
    /// Number of the vertex.
    pub(crate) vertex: u32,
    /// Barycentric weight.
    pub(crate) weight: f32,
}

/// A lattice over the pixels of an image.
pub(crate) struct PermutohedralLattice {
    /// Vertices of a simplex: 3 or 6.
    pub(crate) simplex: usize,
    /// \[N, D\]
    pub(crate) corners: Vec<Corner>,
    /// \[D, M\]: the two neighbours along each axis; M stands for "none".
    pub(crate) neighbours: Vec<[u32; 2]>,
    /// M.
    pub(crate) vertices: usize,
}

impl PermutohedralLattice {
    /// Embeds every pixel with 2 (positions) or 5 (and colours) features.
    pub(crate) fn new(features: &Features<'_>, bilateral: bool, level: Level) -> Result<Self, CrfError> {
        if bilateral { build::<6>(features, "bilateral", level) } else { build::<3>(features, "gaussian", level) }
    }

    /// The factor that makes slicing after blurring preserve mass: 1 / (1 + 2^-d).
    pub(crate) fn alpha(&self) -> f32 {
        1.0 / (1.0 + 0.5_f32.powi(self.simplex as i32 - 1))
    }

    /// Splat, blur and slice of an image of ones, in the order that pydensecrf uses for one channel.
    pub(crate) fn filter_ones(&self) -> Vec<f32> {
        let mut v = vec![0.0_f32; self.vertices + 1];
        for corner in &self.corners {
            v[corner.vertex as usize] += corner.weight;
        }
        let mut blurred = v.clone();
        for axis in self.neighbours.chunks_exact(self.vertices) {
            for ((out, &old), n) in blurred.iter_mut().zip(&v).zip(axis) {
                *out = old + 0.5 * (v[n[0] as usize] + v[n[1] as usize]);
            }
            std::mem::swap(&mut v, &mut blurred);
        }
        let alpha = self.alpha();
        let slice = |simplex: &[Corner]| {
            let term = |acc: f32, c: &Corner| acc + c.weight * v[c.vertex as usize] * alpha;
            simplex.iter().fold(0.0, term)
        };
        self.corners.par_chunks_exact(self.simplex).with_min_len(4096).map(slice).collect()
    }
}

fn build<const D: usize>(
    features: &Features<'_>,
    kernel: &'static str,
    level: Level,
) -> Result<PermutohedralLattice, CrfError> {
    let bounds = features.bounds::<D>(kernel)?;
    let range: u128 = bounds[..D - 1].iter().map(|b| (b.1 - b.0 + 1) as u128).product();
    let dense = range <= 4 * features.pixels() as u128 + 65_536;
    Ok(if dense {
        assemble::<D, u64, Dense>(features, &bounds, range, level)
    } else if range < 1 << 63 {
        assemble::<D, u64, Hashed<u64>>(features, &bounds, range, level)
    } else {
        assemble::<D, u128, Hashed<u128>>(features, &bounds, range, level)
    })
}

/// How coordinates are packed: key = base + sum of stride * coordinate.
struct Packing<K> {
    strides: [K; 8],
    base: K,
    /// Sum of all strides: the step to the next vertex of a simplex, and minus the step to a neighbour.
    step: K,
    /// For each rank, what a coordinate of that rank subtracts when it wraps: D * stride.
    wraps: [K; 8],
    /// From a vertex to its first neighbour along each axis.
    neighbour: [K; 8],
}

impl<K: Key> Packing<K> {
    fn new<const D: usize>(bounds: &[(i64, i64); D]) -> Self {
        let mut stride = 1_i128;
        let (mut strides, mut wraps, mut neighbour) = ([0_i128; 8], [0_i128; 8], [0_i128; 8]);
        let (mut base, mut step) = (0, 0);
        for j in 0..D - 1 {
            strides[j] = stride;
            wraps[j] = -(D as i128) * stride;
            base -= i128::from(bounds[j].0) * stride;
            step += stride;
            stride *= i128::from(bounds[j].1 - bounds[j].0 + 1);
        }
        for j in 0..D {
            neighbour[j] = D as i128 * strides[j] - step;
        }
        let pack = |values: [i128; 8]| values.map(K::from_i128);
        Self {
            strides: pack(strides),
            base: K::from_i128(base),
            step: K::from_i128(step),
            wraps: pack(wraps),
            neighbour: pack(neighbour),
        }
    }

    /// Keys of the D vertices of one pixel's simplex.
    #[inline(always)]
    fn keys<const D: usize>(&self, s: &Simplices<D>, lane: usize) -> [K; D] {
        let mut first = self.base;
        let mut wrap_of_rank = [K::default(); 8];
        for j in 0..D - 1 {
            first = first.plus(self.strides[j].times(s.origin[j][lane]));
            wrap_of_rank[(s.rank[j][lane] & 7) as usize] = self.wraps[j];
        }
        let mut keys = [first; D];
        for k in 1..D {
            keys[k] = keys[k - 1].plus(self.step).plus(wrap_of_rank[D - k]);
        }
        keys
    }
}

/// Embeds a run of pixels with an index of its own.
struct Chunk<'a, const D: usize, K, I> {
    features: &'a Features<'a>,
    packing: &'a Packing<K>,
    start: usize,
    corners: &'a mut [Corner],
    index: &'a mut I,
    keys: &'a mut Vec<K>,
}

impl<const D: usize, K: Key, I: Index<K>> PlainTask for Chunk<'_, D, K, I> {
    #[inline(always)]
    fn run(self) {
        let mut left = ([K::default(); D], [u32::MAX; D]);
        for (g, corners) in self.corners.chunks_mut(GROUP * D).enumerate() {
            let simplices = embed::<D>(self.features, self.start + g * GROUP);
            for (lane, corners) in corners.chunks_exact_mut(D).enumerate() {
                let keys = self.packing.keys(&simplices, lane);
                for k in 0..D {
                    // The pixel to the left often shares the vertex.
                    let known = keys[k] == left.0[k] && left.1[k] != u32::MAX;
                    let vertex = if known { left.1[k] } else { self.index.insert(keys[k], self.keys) };
                    left.1[k] = vertex;
                    corners[k] = Corner { vertex, weight: simplices.weight[k][lane] };
                }
                left.0 = keys;
            }
        }
    }
}

fn assemble<const D: usize, K: Key, I: Index<K>>(
    features: &Features<'_>,
    bounds: &[(i64, i64); D],
    range: u128,
    level: Level,
) -> PermutohedralLattice {
    let packing = Packing::<K>::new(bounds);
    let pixels = features.pixels();
    let mut corners = vec![Corner::default(); pixels * D];
    let chunk = pixels.div_ceil(rayon::current_num_threads()).next_multiple_of(GROUP).max(1 << 14);
    let parts: Vec<(I, Vec<K>)> = corners
        .par_chunks_mut(chunk * D)
        .enumerate()
        .map(|(part, corners)| {
            let (mut index, mut keys) = (I::new(range), Vec::new());
            let start = part * chunk;
            let task =
                Chunk::<D, K, I> { features, packing: &packing, start, corners, index: &mut index, keys: &mut keys };
            dispatch_plain(level, task);
            (index, keys)
        })
        .collect();
    let (index, keys) = merge::<D, K, I>(parts, &mut corners, chunk * D, |index, keys| {
        if !pixels.is_multiple_of(4) {
            // pydensecrf embeds four pixels at a time; the lanes beyond the last pixel lie at the origin, and their
            // vertices, though never splatted to, take part in the blur.
            for key in packing.keys(&at_origin::<D>(), 0) {
                index.insert(key, keys);
            }
        }
    });
    let vertices = keys.len();
    let mut neighbours = vec![[vertices as u32; 2]; D * vertices];
    neighbours.par_chunks_exact_mut(vertices).enumerate().for_each(|(axis, pairs)| {
        for (v, &key) in keys.iter().enumerate() {
            if let Some(n) = index.find(key.plus(packing.neighbour[axis])) {
                pairs[v][0] = n;
                pairs[n as usize][1] = v as u32;
            }
        }
    });
    PermutohedralLattice { simplex: D, corners, neighbours, vertices }
}

/// The simplex of the zero vector: all coordinates 0, ties ranked downwards.
fn at_origin<const D: usize>() -> Simplices<D> {
    let rank = std::array::from_fn(|i| [i as i32; GROUP]);
    Simplices { origin: [[0; GROUP]; D], rank, weight: [[0.0; GROUP]; D] }
}

/// Joins the parts' indices into that of the first and renumbers the other parts' corners.
fn merge<const D: usize, K: Key, I: Index<K>>(
    parts: Vec<(I, Vec<K>)>,
    corners: &mut [Corner],
    chunk: usize,
    last: impl FnOnce(&mut I, &mut Vec<K>),
) -> (I, Vec<K>) {
    let mut parts = parts.into_iter();
    let (mut index, mut keys) = parts.next().unwrap_or_else(|| (I::new(1), Vec::new()));
    let renumbered: Vec<Vec<u32>> =
        parts.map(|(_, own)| own.into_iter().map(|key| index.insert(key, &mut keys)).collect()).collect();
    let first = chunk.min(corners.len());
    corners[first..].par_chunks_mut(chunk).zip(&renumbered).for_each(|(corners, numbers)| {
        corners.iter_mut().for_each(|c| c.vertex = numbers[c.vertex as usize]);
    });
    last(&mut index, &mut keys);
    (index, keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle;

    /// The lattice must hold the same weights, and its filter give the same bits, as the plain statement.
    #[test]
    fn every_table_and_thread_count_builds_the_oracles_lattice() {
        let rgb: Vec<u8> = (0..61 * 53 * 3).map(|i| (i * 7919 % 256) as u8).collect();
        let cases: [(usize, usize, &[f32]); 8] = [
            (61, 53, &[3.0, 2.0]),
            (61, 53, &[0.1, 0.3]),
            (61, 53, &[30.0, 20.0, 13.0, 9.0, 11.0]),
            (61, 53, &[0.6, 0.9, 0.07, 0.08, 0.09]),
            (7, 5, &[8.0, 8.0, 13.0, 13.0, 13.0]),
            (1, 1, &[3.0, 3.0]),
            (3, 1, &[80.0, 80.0, 13.0, 13.0, 13.0]),
            (50, 40, &[80.0, 80.0, 300.0, 300.0, 300.0]),
        ];
        for (width, height, sigmas) in cases {
            let slow = oracle::Lattice::new(&oracle::features(width, height, sigmas, &rgb));
            let ones = slow.filter(&vec![1.0; width * height], 1, false);
            let picture = &rgb[..width * height * 3];
            let features = Features::new(width, height, [sigmas[0], sigmas[1]], &sigmas[2..], picture);
            for level in Level::available() {
                for threads in [1, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                    let fast = pool
                        .install(|| PermutohedralLattice::new(&features, sigmas.len() == 5, level))
                        .expect("within range");
                    let what = format!("{width}x{height} {sigmas:?} {level:?} {threads} threads");
                    let weights = |(a, b): (&Corner, &(usize, f32))| a.weight.to_bits() == b.1.to_bits();
                    assert!(fast.corners.iter().zip(slow.simplices.iter().flatten()).all(weights), "{what}");
                    assert_eq!(fast.vertices, slow.vertices(), "{what}");
                    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&fast.filter_ones()), bits(&ones), "{what}");
                }
            }
        }
    }
}
