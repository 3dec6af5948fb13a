//! From scores to probabilities for a few pixels, over rows of registers; `exponential.rs` has the plain statement.

use crate::mean_field::exponential::{LANES, exp_row, exp_scalars};
use crate::simd::{Quad, Row};

/// Most rows that [`softmax_rows`] takes at a time.
pub(crate) const BATCH: usize = 32;

/// Softmax in place over the rows of `t`, \[n, stride\]: C labels, then padding at minus infinity, which becomes 0.
///
/// Each step runs over all rows before the next: the steps of one row depend on each other, those of different rows do
/// not, and the processor can only overlap what is close together.
#[inline(always)]
pub(crate) fn softmax_rows<R: Row, const FAST: bool>(t: &mut [f32], stride: usize, labels: usize) {
    let mut scale = [0.0_f32; BATCH];
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    for (row, scale) in t.chunks_exact(stride).zip(&mut scale) {
        let mut max = R::load(row, 0).quad_max();
        for block in (R::LANES..stride).step_by(R::LANES) {
            max = max.max(R::load(row, block).quad_max());
        }
        let [a, b, c, d] = max.lanes();
        *scale = larger(larger(a, b), larger(c, d));
    }
    // In exact arithmetic the labels beyond the last packet of four go through the scalar exponential.
    let packed = if FAST { labels } else { labels / 4 * 4 };
    let left = labels - packed;
    let mut tails = [0.0; 3 * BATCH];
    if left > 0 {
        for (row, (tail, max)) in t.chunks_exact(stride).zip(tails.chunks_exact_mut(left).zip(&scale)) {
            tail.iter_mut().zip(&row[packed..labels]).for_each(|(out, &v)| *out = v - max);
        }
        exp_scalars(&mut tails[..(t.len() / stride * left).next_multiple_of(LANES)]);
    }
    for (i, (row, scale)) in t.chunks_exact_mut(stride).zip(&mut scale).enumerate() {
        let max = *scale;
        let mut sum = R::splat(0.0);
        for block in (0..stride).step_by(R::LANES) {
            let e = exp_row::<R, FAST>(R::load(row, block).sub(R::splat(max)));
            e.store(row, block);
            sum = sum.add(e);
        }
        row[packed..labels].copy_from_slice(&tails[i * left..(i + 1) * left]);
        if FAST {
            let [a, b, c, d] = sum.quad_sum().lanes();
            *scale = 1.0 / ((a + b) + (c + d));
        }
    }
    if !FAST {
        for (row, scale) in t.chunks_exact(stride).zip(&mut scale) {
            *scale = packet_sum::<R::Quad>(row, labels);
        }
    }
    for (row, &scale) in t.chunks_exact_mut(stride).zip(&scale) {
        let scale = R::splat(scale);
        for block in (0..stride).step_by(R::LANES) {
            let e = R::load(row, block);
            let q = if FAST { e.mul(scale) } else { e.div(scale) };
            q.store(row, block);
        }
    }
}

/// Sum in the order of Eigen's vectorised reduction: two accumulators of four lanes, then (0 + 2) + (1 + 3), then the
/// labels left over.
#[inline(always)]
fn packet_sum<Q: Quad>(t: &[f32], labels: usize) -> f32 {
    if labels < 4 {
        return t[1..labels].iter().fold(t[0], |a, b| a + b);
    }
    let packets = labels / 4;
    let mut even = Q::load(t, 0);
    if packets > 1 {
        let mut odd = Q::load(t, 4);
        for p in (2..packets / 2 * 2).step_by(2) {
            even = even.add(Q::load(t, 4 * p));
            odd = odd.add(Q::load(t, 4 * p + 4));
        }
        even = even.add(odd);
        if packets % 2 == 1 {
            even = even.add(Q::load(t, 4 * (packets - 1)));
        }
    }
    let [a, b, c, d] = even.lanes();
    t[4 * packets..labels].iter().fold((a + c) + (b + d), |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mean_field::exponential::softmax;
    use crate::simd::{Level, Task, WIDTHS, dispatch};

    struct Whole<'a, const FAST: bool>(&'a mut [f32], usize);

    impl<const FAST: bool> Task for Whole<'_, FAST> {
        #[inline(always)]
        fn run<R: Row>(self) {
            let stride = self.0.len() / 2;
            softmax_rows::<R, FAST>(self.0, stride, self.1);
        }
    }

    #[test]
    fn rows_match_the_plain_softmax() {
        for labels in (1..70_usize).chain([81, 150, 256]) {
            let mut expected: Vec<f32> = (0..labels).map(|i| ((i * 7919 % 641) as f32 - 320.0) * 0.3).collect();
            if labels > 2 {
                expected[1] = f32::NEG_INFINITY;
            }
            let mut scores = expected.clone();
            softmax(&mut expected);
            for (level, width) in Level::available().flat_map(|l| WIDTHS.map(|w| (l, w))) {
                let stride = labels.next_multiple_of(width);
                scores.resize(labels, f32::NEG_INFINITY);
                scores.resize(stride, f32::NEG_INFINITY);
                let (mut exact, mut fast) = (scores.repeat(2), scores.repeat(2));
                dispatch(level, width, Whole::<false>(&mut exact, labels));
                dispatch(level, width, Whole::<true>(&mut fast, labels));
                let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                let second = exact.split_off(stride);
                assert_eq!(bits(&exact), bits(&second), "{labels} labels, {level:?}, {width} lanes");
                fast.truncate(stride);
                assert_eq!(bits(&exact[..labels]), bits(&expected), "{labels} labels, {level:?}, {width} lanes");
                assert!(exact[labels..].iter().chain(&fast[labels..]).all(|v| *v == 0.0));
                let near = fast.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6);
                assert!(near, "{labels} labels, {level:?}, {width} lanes: {fast:?} {expected:?}");
            }
        }
    }
}
