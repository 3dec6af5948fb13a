//! Closed outlines on the edges of pixels, and the same with fewer corners.
//!
//! Corners are left out by Douglas and Peucker, "Algorithms for the reduction of the number of points required to represent a
//! digitized line or its caricature" (1973). An outline is divided where it begins to run along another neighbour, and
//! each part is thinned alike from both sides, so that neighbours still share their border: no gap, no overlap, but for
//! regions so small that they keep all their corners.

/// The outline of a region or of a hole in it, on the edges of pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    points: Vec<Point>,
}

/// A point of an outline: a corner, or a joint on a straight stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Column and row of the edges that meet here, from the upper left corner of the picture.
    pub at: [u32; 2],
    /// Whether more than two regions meet here, or the picture has its corner: the point stays.
    pub joint: bool,
}

impl Outline {
    /// The outline through `points`, every corner among them.
    pub(super) fn new(points: Vec<Point>) -> Self {
        Outline { points }
    }

    /// Each point with the next, the last with the first: edges along a column or a row.
    pub(super) fn edges(&self) -> impl Iterator<Item = [[u32; 2]; 2]> {
        let next = self.points.iter().skip(1).chain(self.points.first());
        self.points.iter().zip(next).map(|(from, to)| [from.at, to.at])
    }

    /// Every corner: column and row in pixels from the upper left corner of the picture.
    pub fn corners(&self) -> Vec<[u32; 2]> {
        straightened(&self.points.iter().map(|point| point.at).collect::<Vec<_>>())
    }

    /// The outline with fewer corners: none that is left out lies further than `tolerance` pixels from it. With 0 every
    /// corner stays; an outline that would lose its area keeps all of them.
    pub fn simplified(&self, tolerance: f64) -> Vec<[u32; 2]> {
        let exact = self.corners();
        if self.points.is_empty() || tolerance.is_nan() || tolerance <= 0.0 {
            return exact;
        }
        let first = |(i, point): &(usize, &Point)| (!point.joint, if point.joint { [0; 2] } else { point.at }, *i);
        let begin = self.points.iter().enumerate().min_by_key(first).map_or(0, |(i, _)| i);
        let mut ring = self.points.clone();
        ring.rotate_left(begin);
        ring.extend(ring.first().copied());
        let (mut kept, mut from) = (Vec::new(), 0);
        for to in 1..ring.len() {
            if ring[to].joint || to + 1 == ring.len() {
                let arc: Vec<[u32; 2]> = ring[from..=to].iter().map(|point| point.at).collect();
                kept.extend(thinned_arc(&arc, tolerance).into_iter().skip(1));
                from = to;
            }
        }
        let kept = straightened(&kept);
        if kept.len() < 3 || twice_the_area(&kept) == 0 { exact } else { kept }
    }
}

/// Without the corners that lie on the row or column of both their neighbours.
fn straightened(corners: &[[u32; 2]]) -> Vec<[u32; 2]> {
    let n = corners.len();
    let straight = |i: usize| {
        let [before, at, after] = [corners[(i + n - 1) % n], corners[i], corners[(i + 1) % n]];
        (0..2).any(|axis| before[axis] == at[axis] && at[axis] == after[axis])
    };
    (0..n).filter(|&i| !straight(i)).map(|i| corners[i]).collect()
}

/// Twice the area within the corners; negative where they go round the other way.
fn twice_the_area(corners: &[[u32; 2]]) -> i64 {
    let next = corners.iter().skip(1).chain(corners.first());
    let cross = |([x0, y0], [x1, y1]): (&[u32; 2], &[u32; 2])| {
        i64::from(*x0) * i64::from(*y1) - i64::from(*x1) * i64::from(*y0)
    };
    corners.iter().zip(next).map(cross).sum()
}

/// [`thinned`] for an arc that may end where it begins: it is divided at its farthest point.
fn thinned_arc(arc: &[[u32; 2]], tolerance: f64) -> Vec<[u32; 2]> {
    let (Some(&first), Some(&last)) = (arc.first(), arc.last()) else { return Vec::new() };
    if first != last {
        return thinned(arc, tolerance);
    }
    let distance = |[x, y]: [u32; 2]| u64::from(x.abs_diff(first[0])).pow(2) + u64::from(y.abs_diff(first[1])).pow(2);
    let far = (0..arc.len()).max_by_key(|&i| (distance(arc[i]), arc[i])).unwrap_or(0);
    let mut kept = thinned(&arc[..=far], tolerance);
    kept.extend(thinned(&arc[far..], tolerance).into_iter().skip(1));
    kept
}

/// The points of an arc that Douglas and Peucker keep, the same from whichever end it is walked.
fn thinned(arc: &[[u32; 2]], tolerance: f64) -> Vec<[u32; 2]> {
    let backwards = arc.last() < arc.first();
    let mut points = arc.to_vec();
    if backwards {
        points.reverse();
    }
    let mut keep = vec![false; points.len()];
    let mut stretches = vec![(0, points.len().saturating_sub(1))];
    while let Some((from, to)) = stretches.pop() {
        (keep[from], keep[to]) = (true, true);
        let (mut worst, mut at) = (tolerance * tolerance, None);
        for i in from + 1..to {
            let distance = squared_distance(points[i], points[from], points[to]);
            if distance > worst {
                (worst, at) = (distance, Some(i));
            }
        }
        stretches.extend(at.into_iter().flat_map(|at| [(from, at), (at, to)]));
    }
    let mut kept: Vec<[u32; 2]> =
        points.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(point, _)| point).collect();
    if backwards {
        kept.reverse();
    }
    kept
}

/// The squared distance of a point from the stretch between two others.
fn squared_distance(point: [u32; 2], from: [u32; 2], to: [u32; 2]) -> f64 {
    let [p, a, b] = [point, from, to].map(|corner| corner.map(f64::from));
    let (along, off) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length = along[0] * along[0] + along[1] * along[1];
    let share = if length > 0.0 { ((off[0] * along[0] + off[1] * along[1]) / length).clamp(0.0, 1.0) } else { 0.0 };
    let [x, y] = [off[0] - share * along[0], off[1] - share * along[1]];
    x * x + y * y
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(points: &[([u32; 2], bool)]) -> Outline {
        Outline::new(points.iter().map(|&(at, joint)| Point { at, joint }).collect())
    }

    #[test]
    fn corners_are_left_out_within_the_tolerance_only() {
        let stairs: Vec<([u32; 2], bool)> =
            [[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [3, 2], [3, 3], [4, 3], [4, 4], [0, 4]]
                .map(|at| (at, false))
                .into();
        let stairs = outline(&stairs);
        assert_eq!(stairs.simplified(0.0), stairs.corners());
        assert_eq!(stairs.simplified(f64::NAN).len(), 10);
        assert_eq!(stairs.simplified(0.3).len(), 10, "a step of a staircase is 0.71 pixels off");
        assert_eq!(stairs.simplified(0.8), [[4, 4], [0, 4], [0, 0]]);
        let pixel = outline(&[[3, 3], [4, 3], [4, 4], [3, 4]].map(|at| (at, false)));
        assert_eq!(pixel.simplified(50.0).len(), 4, "what would lose its area keeps its corners");
        assert!(Outline::default().simplified(1.0).is_empty() && Outline::default().corners().is_empty());
    }

    #[test]
    fn joints_stay_unless_the_outline_is_straight_there() {
        let ring =
            outline(&[([0, 0], true), ([5, 0], true), ([9, 0], true), ([9, 1], false), ([9, 9], true), ([0, 9], true)]);
        assert_eq!(ring.corners(), [[0, 0], [9, 0], [9, 9], [0, 9]]);
        assert_eq!(ring.simplified(1.0).len(), 4);
        let bumpy = outline(&[
            ([0, 0], true),
            ([4, 0], false),
            ([4, 1], true),
            ([9, 1], false),
            ([9, 9], true),
            ([0, 9], true),
        ]);
        assert!(bumpy.simplified(3.0).contains(&[4, 1]) && !bumpy.simplified(3.0).contains(&[4, 0]));
    }

    #[test]
    fn an_arc_is_thinned_alike_from_both_ends() {
        use crate::rng::{Purpose, Rng};
        for case in 0..50u64 {
            let mut rng = Rng::derive(3, Purpose::Draw, &[case]);
            let mut at = [0u32, 500];
            let mut walk = vec![at];
            for _ in 0..60 {
                at = [at[0] + 1 + rng.below(3) as u32, at[1] + rng.below(9) as u32 - 4];
                walk.push(at);
            }
            let back: Vec<[u32; 2]> = walk.iter().rev().copied().collect();
            for tolerance in [0.5, 1.0, 4.0] {
                let mut kept = thinned(&back, tolerance);
                kept.reverse();
                assert_eq!(thinned(&walk, tolerance), kept, "case {case}, {tolerance}");
            }
        }
    }
}
