//! Features and their place in the lattice: scale, elevate, round, rank, weigh (Adams, Baek & Davis 2010, section 3),
//! sixteen pixels at a time.
//!
//! D = d + 1 is the number of vertices of a simplex: 3 for positions, 5 + 1 for positions and colours. The order of all
//! f32 operations is that of the plain statement in `oracle.rs`, so that weights agree to the bit.

use crate::CrfError;

/// Pixels embedded together.
pub(crate) const GROUP: usize = 16;
/// One value for each pixel of a group.
pub(crate) type Lanes<T> = [T; GROUP];

/// What a kernel measures distance by, with every quotient by a standard deviation tabulated.
pub(crate) struct Features<'a> {
    /// x / sigma for each column, y / sigma for each row.
    columns: Vec<f32>,
    rows: Vec<f32>,
    /// value / sigma for each channel; empty for a kernel on positions.
    colours: Vec<[f32; 256]>,
    rgb: &'a [u8],
}

impl<'a> Features<'a> {
    /// Position features, and colour features for as many channels as `sigma_rgb` has (none or three).
    pub(crate) fn new(width: usize, height: usize, sigma_xy: [f32; 2], sigma_rgb: &[f32], rgb: &'a [u8]) -> Self {
        let table = |n: usize, s: f32| (0..n).map(|v| v as f32 / s).collect();
        let colours = sigma_rgb.iter().map(|s| std::array::from_fn(|v| v as f32 / s)).collect();
        Self { columns: table(width, sigma_xy[0]), rows: table(height, sigma_xy[1]), colours, rgb }
    }

    /// Number of pixels.
    pub(crate) fn pixels(&self) -> usize {
        self.columns.len() * self.rows.len()
    }

    /// Feature vectors of `GROUP` pixels from `start` on; pixels beyond the last have features 0. Entry d is unused.
    #[inline(always)]
    fn group<const D: usize>(&self, start: usize) -> [Lanes<f32>; D] {
        let mut f = [[0.0; GROUP]; D];
        let (mut x, mut y) = (start % self.columns.len(), start / self.columns.len());
        let count = GROUP.min(self.pixels() - start);
        if D == 6 {
            let rgb = &self.rgb[3 * start..3 * (start + count)];
            for (c, table) in self.colours.iter().enumerate() {
                let values = rgb[c..].iter().step_by(3).map(|&v| table[usize::from(v)]);
                f[2 + c].iter_mut().zip(values).for_each(|(f, v)| *f = v);
            }
        }
        let (columns, others) = f.split_at_mut(1);
        for (column, row) in columns[0].iter_mut().zip(&mut others[0]).take(count) {
            (*column, *row) = (self.columns[x], self.rows[y]);
            x += 1;
            if x == self.columns.len() {
                (x, y) = (0, y + 1);
            }
        }
        f
    }

    /// Bounds of the lattice coordinates that can occur, per axis, with room for the neighbours that the blur visits.
    pub(crate) fn bounds<const D: usize>(&self, kernel: &'static str) -> Result<[(i64, i64); D], CrfError> {
        let mut low = [f32::INFINITY; D];
        let mut high = [f32::NEG_INFINITY; D];
        (low[0], high[0]) = (0.0, self.columns[self.columns.len() - 1]);
        (low[1], high[1]) = (0.0, self.rows[self.rows.len() - 1]);
        for (c, table) in self.colours.iter().enumerate() {
            let channel = self.rgb[c..].iter().step_by(3);
            let (least, most) = channel.fold((u8::MAX, 0), |(l, m), &v| (l.min(v), m.max(v)));
            (low[2 + c], high[2 + c]) = (table[usize::from(least)], table[usize::from(most)]);
            // Lanes beyond the last pixel lie at the origin.
            low[2 + c] = if self.pixels().is_multiple_of(4) { low[2 + c] } else { 0.0 };
        }
        // Each coordinate is a sum of features with signed factors: interval arithmetic, plus 3 D for rounding to a
        // vertex, the corners of a simplex, and the neighbours.
        let factors = factors::<D>();
        let mut bounds = [(0, 0); D];
        let (mut sum_low, mut sum_high) = (0.0_f64, 0.0_f64);
        for j in (0..D).rev() {
            let (mut l, mut h) = (sum_low, sum_high);
            if j > 0 {
                let (cl, ch) = (f64::from(low[j - 1] * factors[j - 1]), f64::from(high[j - 1] * factors[j - 1]));
                (l, h) = (l - j as f64 * ch, h - j as f64 * cl);
                (sum_low, sum_high) = (sum_low + cl, sum_high + ch);
            }
            let room = 3.0 * D as f64;
            bounds[j] = ((l - room).floor() as i64, (h + room).ceil() as i64);
        }
        let reach = bounds.iter().map(|b| b.0.unsigned_abs().max(b.1.unsigned_abs())).max().unwrap_or(0);
        let limit = i16::MAX as u64;
        if reach > limit { Err(CrfError::KeyOverflow { kernel, reach, limit }) } else { Ok(bounds) }
    }
}

/// The scale factor of each feature: it makes the blur's variance one, and elevates to the plane sum = 0.
fn factors<const D: usize>() -> [f32; D] {
    let scale = ((2.0_f64 / 3.0).sqrt() * D as f64) as f32;
    std::array::from_fn(|k| ((1.0 / (((k + 1) * (k + 2)) as f64).sqrt()) * f64::from(scale)) as f32)
}

/// The simplices around a group of feature vectors.
///
/// All coordinates of a vertex leave the same remainder k modulo D, so that its quotients and k name it. Vertex 0 of a
/// simplex has k = 0; vertex k has remainder k, and the quotients of vertex 0, less 1 where the rank is above d - k.
pub(crate) struct Simplices<const D: usize> {
    /// Quotients of vertex 0.
    pub(crate) cell: [Lanes<i32>; D],
    /// Rank of each coordinate, a permutation of 0..D.
    pub(crate) rank: [Lanes<i32>; D],
    /// Barycentric weight of each vertex.
    pub(crate) weight: [Lanes<f32>; D],
}

/// Rounds half to even, for |x| < 2^22, without asking the processor for an instruction that it may not have.
#[inline(always)]
fn round_even(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    let shifted = x.abs() + SHIFT;
    (shifted - SHIFT).copysign(x)
}

/// Finds the simplices of the group of pixels that starts at `start`.
#[inline(always)]
pub(crate) fn embed<const D: usize>(features: &Features<'_>, start: usize) -> Simplices<D> {
    let f = features.group::<D>(start);
    let factors = factors::<D>();
    let mut elevated = [[0.0_f32; GROUP]; D];
    let mut m = [0.0_f32; GROUP];
    for j in (1..D).rev() {
        for l in 0..GROUP {
            let c = f[j - 1][l] * factors[j - 1];
            elevated[j][l] = m[l] - j as f32 * c;
            m[l] += c;
        }
    }
    elevated[0] = m;

    let inverse = 1.0 / D as f32;
    let mut cell = [[0_i32; GROUP]; D];
    let mut corner = [[0.0_f32; GROUP]; D];
    let mut rest = [[0.0_f32; GROUP]; D];
    let mut sum = [0_i32; GROUP];
    for i in 0..D {
        for l in 0..GROUP {
            let nearest = round_even(inverse * elevated[i][l]);
            corner[i][l] = nearest * D as f32;
            rest[i][l] = elevated[i][l] - corner[i][l];
            cell[i][l] = nearest as i32;
            sum[l] += cell[i][l];
        }
    }
    let mut rank = [sum; D];
    for i in 0..D {
        for j in i + 1..D {
            for l in 0..GROUP {
                let less = i32::from(rest[i][l] < rest[j][l]);
                rank[i][l] += less;
                rank[j][l] += 1 - less;
            }
        }
    }
    let mut by_rank = [[0_u32; GROUP]; D];
    for i in 0..D {
        let mut bits = [0_u32; GROUP];
        for l in 0..GROUP {
            let wrap = i32::from(rank[i][l] < 0) - i32::from(rank[i][l] >= D as i32);
            rank[i][l] += wrap * D as i32;
            cell[i][l] += wrap;
            bits[l] = ((elevated[i][l] - (corner[i][l] + (wrap * D as i32) as f32)) * inverse).to_bits();
        }
        // In masks, not in branches: of all ranks exactly one is r.
        for (r, slot) in by_rank.iter_mut().enumerate() {
            for l in 0..GROUP {
                slot[l] |= bits[l] & u32::from(rank[i][l] == r as i32).wrapping_neg();
            }
        }
    }
    let by_rank = by_rank.map(|lanes| lanes.map(f32::from_bits));
    let d = D - 1;
    let mut weight = [[0.0_f32; GROUP]; D];
    for l in 0..GROUP {
        weight[0][l] = by_rank[d][l] + (1.0 - by_rank[0][l]);
    }
    for k in 1..D {
        for l in 0..GROUP {
            weight[k][l] = by_rank[d - k][l] - by_rank[D - k][l];
        }
    }
    Simplices { cell, rank, weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_matches_the_standard_library() {
        for i in -4000..4000 {
            let x = i as f32 * 0.125;
            assert_eq!(round_even(x).to_bits(), x.round_ties_even().to_bits(), "{x}");
        }
    }

    #[test]
    fn weights_sum_to_one_and_ranks_are_permutations() {
        let rgb: Vec<u8> = (0..40 * 30 * 3).map(|i| (i * 7919 % 251) as u8).collect();
        let features = Features::new(40, 30, [5.0, 7.0], &[3.0, 9.0, 13.0], &rgb);
        for start in (0..1200).step_by(GROUP) {
            let s = embed::<6>(&features, start);
            for l in 0..GROUP.min(1200 - start) {
                let sum: f32 = s.weight.iter().map(|w| w[l]).sum();
                assert!((sum - 1.0).abs() < 1e-5, "{sum}");
                assert!(s.weight.iter().all(|w| w[l] >= -1e-5));
                let mut ranks: Vec<i32> = s.rank.iter().map(|r| r[l]).collect();
                ranks.sort_unstable();
                assert_eq!(ranks, [0, 1, 2, 3, 4, 5]);
            }
        }
    }

    #[test]
    fn tiny_deviations_overflow_the_lattice() {
        let rgb = [0, 0, 0, 255, 255, 255];
        let bounds = |sigma: f32| Features::new(2, 1, [1.0; 2], &[sigma; 3], &rgb).bounds::<6>("bilateral");
        assert!(matches!(bounds(0.01), Err(CrfError::KeyOverflow { kernel: "bilateral", .. })), "{:?}", bounds(0.01));
        assert!(bounds(0.1).is_ok());
        assert!(Features::new(40_000, 1, [1e-30; 2], &[], &[]).bounds::<3>("gaussian").is_err());
    }
}
