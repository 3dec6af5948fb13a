//! From scores to probabilities for one pixel, over rows of registers; `exponential.rs` has the plain statement.

use crate::exponential::{exp_row, exp_scalar};
use crate::simd::{Quad, Row};

/// Softmax in place over `t`, \[stride\]: C labels, then padding at minus infinity, which becomes 0.
#[inline(always)]
pub(crate) fn softmax_row<R: Row, const FAST: bool>(t: &mut [f32], labels: usize) {
    let blocks = t.len() / R::LANES;
    let mut max = R::load(t, 0).quad_max();
    for b in 1..blocks {
        max = max.max(R::load(t, b * R::LANES).quad_max());
    }
    let [a, b, c, d] = max.lanes();
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let max = larger(larger(a, b), larger(c, d));

    // In exact arithmetic the labels beyond the last packet of four go through the scalar exponential.
    let packed = if FAST { labels } else { labels / 4 * 4 };
    let mut tail = [0.0; 3];
    for (out, &v) in tail.iter_mut().zip(&t[packed..labels]) {
        *out = exp_scalar(v - max);
    }
    let max = R::splat(max);
    let mut sum = R::splat(0.0);
    for b in 0..blocks {
        let e = exp_row::<R, FAST>(R::load(t, b * R::LANES).sub(max));
        e.store(t, b * R::LANES);
        sum = sum.add(e);
    }
    t[packed..labels].copy_from_slice(&tail[..labels - packed]);

    if FAST {
        let [a, b, c, d] = sum.quad_sum().lanes();
        let scale = R::splat(1.0 / ((a + b) + (c + d)));
        for b in 0..blocks {
            R::load(t, b * R::LANES).mul(scale).store(t, b * R::LANES);
        }
    } else {
        let sum = R::splat(packet_sum::<R::Quad>(t, labels));
        for b in 0..blocks {
            R::load(t, b * R::LANES).div(sum).store(t, b * R::LANES);
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
    use crate::exponential::softmax;
    use crate::simd::{Level, Task, WIDTHS, dispatch};

    struct Whole<'a, const FAST: bool>(&'a mut [f32], usize);

    impl<const FAST: bool> Task for Whole<'_, FAST> {
        #[inline(always)]
        fn run<R: Row>(self) {
            softmax_row::<R, FAST>(self.0, self.1);
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
                let (mut exact, mut fast) = (scores.clone(), scores.clone());
                dispatch(level, width, Whole::<false>(&mut exact, labels));
                dispatch(level, width, Whole::<true>(&mut fast, labels));
                let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&exact[..labels]), bits(&expected), "{labels} labels, {level:?}, {width} lanes");
                assert!(exact[labels..].iter().chain(&fast[labels..]).all(|v| *v == 0.0));
                let near = fast.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6);
                assert!(near, "{labels} labels, {level:?}, {width} lanes: {fast:?} {expected:?}");
            }
        }
    }
}
