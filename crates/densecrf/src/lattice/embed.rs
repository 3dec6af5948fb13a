//! Features and their place in the lattice: scale, elevate, round, rank, weigh (Adams, Baek & Davis 2010, section 3),
//! sixteen pixels at a time.
//!
//! D = d + 1 is the number of vertices of a simplex: 3 for positions, 5 + 1 for positions and colours. The order of all
//! f32 operations is that of the plain statement in `oracle.rs`, so that weights agree to the bit.

use crate::error::CrfError;
use crate::simd::{Row, TO_WHOLE};

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

    /// Bounds of the lattice coordinates that can occur, per axis, with a margin for the neighbours that the blur visits.
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
            let margin = 3.0 * D as f64;
            bounds[j] = ((l - margin).floor() as i64, (h + margin).ceil() as i64);
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
/// simplex has k = 0; vertex k has remainder k, and the quotients of vertex k - 1 but for coordinate `order[D - k]`,
/// which has one less.
pub(crate) struct Simplices<const D: usize> {
    /// Quotients of vertex 0, as [`whole`] reads them.
    cell: [Lanes<f32>; D],
    /// The coordinate of each rank, as the bits of a float.
    order: [Lanes<f32>; D],
    /// Barycentric weight of each vertex.
    weight: [Lanes<f32>; D],
}

impl<const D: usize> Simplices<D> {
    /// The simplex of the zero vector in every lane: all coordinates 0, ties ranked downwards. It has no weights.
    pub(crate) fn at_origin() -> Self {
        let order = std::array::from_fn(|i| [f32::from_bits(i as u32); GROUP]);
        Self { cell: [[TO_WHOLE; GROUP]; D], order, weight: [[0.0; GROUP]; D] }
    }

    /// The quotients of vertex 0 of one lane.
    #[inline(always)]
    pub(crate) fn cell(&self, lane: usize) -> [i32; D] {
        std::array::from_fn(|i| whole(self.cell[i][lane]))
    }

    /// The coordinate that has one less in vertex k than in vertex k - 1, for k in 1..D.
    #[inline(always)]
    pub(crate) fn step(&self, k: usize, lane: usize) -> usize {
        self.order[D - k][lane].to_bits() as usize
    }

    /// The barycentric weight of vertex k.
    #[inline(always)]
    pub(crate) fn weight(&self, k: usize, lane: usize) -> f32 {
        self.weight[k][lane]
    }
}

/// The whole number x, |x| < 2^22, of x + [`TO_WHOLE`].
#[inline(always)]
fn whole(shifted: f32) -> i32 {
    shifted.to_bits().wrapping_sub(TO_WHOLE.to_bits()) as i32
}

/// Finds the simplices of the group of pixels that starts at `start`.
#[inline(always)]
pub(crate) fn embed<R: Row, const D: usize>(features: &Features<'_>, start: usize) -> Simplices<D> {
    let f = features.group::<D>(start);
    let zero = [[0.0; GROUP]; D];
    let mut s = Simplices { cell: zero, order: zero, weight: zero };
    for lane in (0..GROUP).step_by(R::LANES) {
        embed_lanes::<R, D>(&f, lane, &mut s);
    }
    s
}

/// [`embed`] for the lanes from `lane` on. Counts and ranks are small whole numbers, which floats hold exactly.
#[inline(always)]
fn embed_lanes<R: Row, const D: usize>(f: &[Lanes<f32>; D], lane: usize, s: &mut Simplices<D>) {
    let factors = factors::<D>();
    let (zero, one, size) = (R::splat(0.0), R::splat(1.0), R::splat(D as f32));
    let mut elevated = [zero; D];
    let mut m = zero;
    for j in (1..D).rev() {
        let c = R::load(&f[j - 1], lane).mul(R::splat(factors[j - 1]));
        elevated[j] = m.sub(R::splat(j as f32).mul(c));
        m = m.add(c);
    }
    elevated[0] = m;

    let inverse = R::splat(1.0 / D as f32);
    let nearest = elevated.map(|e| inverse.mul(e).add(R::splat(TO_WHOLE)).sub(R::splat(TO_WHOLE)));
    let corner = nearest.map(|n| n.mul(size));
    let sum = nearest[1..].iter().fold(nearest[0], |a, &n| a.add(n));
    let mut rest = elevated;
    rest.iter_mut().zip(&corner).for_each(|(rest, &corner)| *rest = rest.sub(corner));
    let mut rank: [R; D] = std::array::from_fn(|i| sum.add(R::splat(i as f32)));
    for i in 0..D {
        for j in i + 1..D {
            let less = rest[i].if_less(rest[j], one, zero);
            rank[i] = rank[i].add(less);
            rank[j] = rank[j].sub(less);
        }
    }
    let (mut by_rank, mut order) = ([zero; D], [zero; D]);
    for i in 0..D {
        let beyond = R::splat(D as f32 - 1.0).if_less(rank[i], R::splat(-1.0), zero);
        let wrap = rank[i].if_less(zero, one, beyond);
        let rank = rank[i].add(wrap.mul(size));
        nearest[i].add(wrap).add(R::splat(TO_WHOLE)).store(&mut s.cell[i], lane);
        let share = elevated[i].sub(corner[i].add(wrap.mul(size))).mul(inverse);
        let name = R::splat(f32::from_bits(i as u32));
        for (r, (share_of, name_of)) in by_rank.iter_mut().zip(&mut order).enumerate() {
            let r = R::splat(r as f32);
            *share_of = rank.if_equal(r, share, *share_of);
            *name_of = rank.if_equal(r, name, *name_of);
        }
    }
    by_rank[D - 1].add(one.sub(by_rank[0])).store(&mut s.weight[0], lane);
    for k in 1..D {
        by_rank[D - 1 - k].sub(by_rank[D - k]).store(&mut s.weight[k], lane);
    }
    order.iter().zip(&mut s.order).for_each(|(order, out)| order.store(out, lane));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, Task, dispatch_lanes};

    struct Embed<'a>(&'a Features<'a>, usize, &'a mut Simplices<6>);

    impl Task for Embed<'_> {
        #[inline(always)]
        fn run<R: Row>(self) {
            *self.2 = embed::<R, 6>(self.0, self.1);
        }
    }

    #[test]
    fn weights_sum_to_one_and_orders_are_permutations() {
        let rgb: Vec<u8> = (0..40 * 30 * 3).map(|i| (i * 7919 % 251) as u8).collect();
        let features = Features::new(40, 30, [5.0, 7.0], &[3.0, 9.0, 13.0], &rgb);
        for (start, level) in (0..1200).step_by(GROUP).flat_map(|s| Level::available().map(move |l| (s, l))) {
            let mut s = Simplices::at_origin();
            dispatch_lanes(level, Embed(&features, start, &mut s));
            for l in 0..GROUP.min(1200 - start) {
                let sum: f32 = (0..6).map(|k| s.weight(k, l)).sum();
                assert!((sum - 1.0).abs() < 1e-5, "{sum}");
                assert!((0..6).all(|k| s.weight(k, l) >= -1e-5));
                let mut order: Vec<_> = s.order.iter().map(|o| o[l].to_bits()).collect();
                order.sort_unstable();
                assert_eq!(order, [0, 1, 2, 3, 4, 5]);
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
