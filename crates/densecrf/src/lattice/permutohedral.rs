//! The permutohedral lattice of an image (Adams, Baek & Davis 2010): the simplex of each pixel, which vertices
//! there are, and who their neighbours are. Built once per kernel; inference only reads it.
//!
//! N pixels, D = d + 1 vertices a simplex, M vertices. Vertex numbers carry no meaning: results depend on the set of
//! vertices and on the order in which pixels are splatted, not on how vertices are numbered.

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::error::CrfError;
use crate::lattice::embed::{Features, GROUP, Simplices, embed};
use crate::lattice::index::{Dense, Hashed, Index, Key};
use crate::simd::{Level, Row, Task, dispatch_lanes};

/// A lattice over the pixels of an image.
pub(crate) struct PermutohedralLattice {
    /// Vertices of a simplex: 3 or 6.
    pub(crate) simplex: usize,
    /// The vertices of each pixel's simplex, \[N, D\].
    pub(crate) corners: Aligned<u32>,
    /// Their barycentric weights, \[N, D\].
    pub(crate) weights: Aligned<f32>,
    /// \[D, M\]: the two neighbours along each axis; M means "none".
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
    pub(crate) fn filter_ones(&self, level: Level) -> Aligned<f32> {
        let mut v = vec![0.0_f32; self.vertices + 1];
        for (&corner, weight) in self.corners.iter().zip(self.weights.iter()) {
            v[corner as usize] += weight;
        }
        let mut blurred = v.clone();
        for axis in self.neighbours.chunks_exact(self.vertices) {
            for ((out, &old), n) in blurred.iter_mut().zip(&v).zip(axis) {
                *out = old + 0.5 * (v[n[0] as usize] + v[n[1] as usize]);
            }
            std::mem::swap(&mut v, &mut blurred);
        }
        let mut out = Aligned::zeroed(self.corners.len() / self.simplex);
        let run = 8192 * self.simplex;
        let runs = out.par_chunks_mut(8192).zip(self.corners.par_chunks(run).zip(self.weights.par_chunks(run)));
        runs.for_each(|(out, (corners, weights))| match self.simplex {
            3 => dispatch_lanes(level, SliceOnes::<3> { corners, weights, values: &v, alpha: self.alpha(), out }),
            _ => dispatch_lanes(level, SliceOnes::<6> { corners, weights, values: &v, alpha: self.alpha(), out }),
        });
        out
    }
}

/// Slices a single channel for a run of pixels.
struct SliceOnes<'a, const D: usize> {
    corners: &'a [u32],
    weights: &'a [f32],
    values: &'a [f32],
    alpha: f32,
    out: &'a mut [f32],
}

impl<const D: usize> Task for SliceOnes<'_, D> {
    #[inline(always)]
    fn run<R: Row>(self) {
        let simplices = self.corners.chunks_exact(D).zip(self.weights.chunks_exact(D));
        for (out, (corners, weights)) in self.out.iter_mut().zip(simplices) {
            let term = |acc: f32, k: usize| acc + weights[k] * self.values[corners[k] as usize] * self.alpha;
            *out = (0..D).fold(0.0, term);
        }
    }
}

fn build<const D: usize>(
    features: &Features<'_>,
    kernel: &'static str,
    level: Level,
) -> Result<PermutohedralLattice, CrfError> {
    let bounds = features.bounds::<D>(kernel)?;
    let (packed, range) = Packing::<u128>::ranges(&bounds);
    let dense = range <= 4 * features.pixels() as u128 + 65_536;
    Ok(if dense {
        assemble::<D, u32, Dense>(features, &packed, range, level)
    } else if range < 1 << 32 {
        assemble::<D, u32, Hashed<u32>>(features, &packed, range, level)
    } else if range < 1 << 64 {
        assemble::<D, u64, Hashed<u64>>(features, &packed, range, level)
    } else {
        assemble::<D, u128, Hashed<u128>>(features, &packed, range, level)
    })
}

/// How a vertex is packed: key = remainder * class + sum of stride * (quotient - least quotient), with the remainder
/// and the quotients of [`Simplices`].
struct Packing<K> {
    strides: [K; 8],
    /// The key of remainder and quotients 0.
    base: K,
    /// Product of all quotients' ranges: keys below it have remainder 0.
    class: K,
    /// From one vertex of a simplex to the next, which has one less along an axis.
    steps: [K; 8],
    /// From a vertex to its first neighbour along each axis, for remainder 0 and for others.
    neighbour: [[K; 8]; 2],
}

impl<K: Key> Packing<K> {
    /// The least and the number of quotients along each axis, and the number of keys.
    fn ranges<const D: usize>(bounds: &[(i64, i64); D]) -> ([(i128, i128); D], u128) {
        let quotient = |coordinate: i64| i128::from(coordinate.div_euclid(D as i64));
        let packed = bounds.map(|(low, high)| (quotient(low), quotient(high) - quotient(low) + 1));
        (packed, D as u128 * packed[..D - 1].iter().map(|p| p.1 as u128).product::<u128>())
    }

    fn new<const D: usize>(packed: &[(i128, i128); D]) -> Self {
        let d = D - 1;
        let mut strides = [0_i128; 8];
        let (mut class, mut base) = (1, 0);
        for (stride, (least, count)) in strides.iter_mut().zip(&packed[..d]) {
            *stride = class;
            base -= least * class;
            class *= count;
        }
        // A step of -1 in all coordinates but one, which steps by +d: remainder 0 becomes d, and every quotient but
        // that one decreases; otherwise the remainder decreases, and that one quotient increases.
        let all: i128 = strides.iter().sum();
        let neighbour = [strides.map(|s| d as i128 * class - all + s), strides.map(|s| s - class)];
        let pack = |values: [i128; 8]| values.map(K::from_i128);
        Self {
            strides: pack(strides),
            base: K::from_i128(base),
            class: K::from_i128(class),
            steps: pack(strides.map(|s| class - s)),
            neighbour: neighbour.map(pack),
        }
    }

    /// Keys of the D vertices of one lane's simplex.
    #[inline(always)]
    fn keys<const D: usize>(&self, s: &Simplices<D>, lane: usize) -> [K; D] {
        let cells = s.cell(lane).into_iter().zip(self.strides).take(D - 1);
        let mut key = cells.fold(self.base, |key, (cell, stride)| key.plus(stride.times(cell)));
        std::array::from_fn(|k| {
            if k > 0 {
                key = key.plus(self.steps[s.step(k, lane) % 8]);
            }
            key
        })
    }

    /// The key of the first neighbour along an axis.
    #[inline(always)]
    fn first_neighbour(&self, key: K, axis: usize) -> K {
        key.plus(self.neighbour[usize::from(key >= self.class)][axis])
    }
}

/// Embeds a run of pixels with an index of its own.
struct Chunk<'a, const D: usize, K, I> {
    features: &'a Features<'a>,
    packing: &'a Packing<K>,
    start: usize,
    corners: &'a mut [u32],
    weights: &'a mut [f32],
    index: &'a mut I,
    keys: &'a mut Vec<K>,
}

impl<const D: usize, K: Key, I: Index<K>> Task for Chunk<'_, D, K, I> {
    #[inline(always)]
    fn run<R: Row>(self) {
        let groups = self.corners.chunks_mut(GROUP * D).zip(self.weights.chunks_mut(GROUP * D));
        for (g, (corners, weights)) in groups.enumerate() {
            let simplices = embed::<R, D>(self.features, self.start + g * GROUP);
            let pixels = corners.chunks_exact_mut(D).zip(weights.chunks_exact_mut(D));
            for (lane, (corners, weights)) in pixels.enumerate() {
                for (k, key) in self.packing.keys(&simplices, lane).into_iter().enumerate() {
                    corners[k] = self.index.insert(key, self.keys);
                    weights[k] = simplices.weight(k, lane);
                }
            }
        }
    }
}

fn assemble<const D: usize, K: Key, I: Index<K>>(
    features: &Features<'_>,
    packed: &[(i128, i128); D],
    range: u128,
    level: Level,
) -> PermutohedralLattice {
    let packing = Packing::<K>::new(packed);
    let pixels = features.pixels();
    let (mut corners, mut weights) = (Aligned::zeroed(pixels * D), Aligned::zeroed(pixels * D));
    let chunk = pixels.div_ceil(rayon::current_num_threads()).next_multiple_of(GROUP).max(1 << 14);
    let parts: Vec<(I, Vec<K>)> = corners
        .par_chunks_mut(chunk * D)
        .zip(weights.par_chunks_mut(chunk * D))
        .enumerate()
        .map(|(part, (corners, weights))| {
            let (mut index, mut keys) = (I::new(range), Vec::new());
            let (start, packing, out) = (part * chunk, &packing, (&mut index, &mut keys));
            let task = Chunk::<D, K, I> { features, packing, start, corners, weights, index: out.0, keys: out.1 };
            dispatch_lanes(level, task);
            (index, keys)
        })
        .collect();
    let (index, keys) = merge::<D, K, I>(parts, &mut corners, chunk * D, |index, keys| {
        if !pixels.is_multiple_of(4) {
            // pydensecrf embeds four pixels at a time; the lanes beyond the last pixel lie at the origin, and their
            // vertices, though never splatted to, take part in the blur.
            for key in packing.keys(&Simplices::<D>::at_origin(), 0) {
                index.insert(key, keys);
            }
        }
    });
    let vertices = keys.len();
    let mut neighbours = vec![[vertices as u32; 2]; D * vertices];
    neighbours.par_chunks_exact_mut(vertices).enumerate().for_each(|(axis, pairs)| {
        for (v, &key) in keys.iter().enumerate() {
            if let Some(n) = index.find(packing.first_neighbour(key, axis)) {
                pairs[v][0] = n;
                pairs[n as usize][1] = v as u32;
            }
        }
    });
    PermutohedralLattice { simplex: D, corners, weights, neighbours, vertices }
}

/// Joins the parts' indices into that of the first and renumbers the other parts' corners.
fn merge<const D: usize, K: Key, I: Index<K>>(
    parts: Vec<(I, Vec<K>)>,
    corners: &mut [u32],
    chunk: usize,
    last: impl FnOnce(&mut I, &mut Vec<K>),
) -> (I, Vec<K>) {
    let mut parts = parts.into_iter();
    let (mut index, mut keys) = parts.next().unwrap_or_else(|| (I::new(1), Vec::new()));
    let renumbered: Vec<Vec<u32>> =
        parts.map(|(_, own)| own.into_iter().map(|key| index.insert(key, &mut keys)).collect()).collect();
    let first = chunk.min(corners.len());
    corners[first..].par_chunks_mut(chunk).zip(&renumbered).for_each(|(corners, numbers)| {
        corners.par_iter_mut().with_min_len(1 << 14).for_each(|c| *c = numbers[*c as usize]);
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
                    let weights = |(a, b): (&f32, &(usize, f32))| a.to_bits() == b.1.to_bits();
                    assert!(fast.weights.iter().zip(slow.simplices.iter().flatten()).all(weights), "{what}");
                    assert_eq!(fast.vertices, slow.vertices(), "{what}");
                    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&fast.filter_ones(level)), bits(&ones), "{what}");
                }
            }
        }
    }
}
