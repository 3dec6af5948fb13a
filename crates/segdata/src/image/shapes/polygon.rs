//! Polygons, drawn to the pixel as COCO's tools draw them.
//!
//! The boundary is walked on a grid five times as fine as the pixels, and a pixel belongs to the object where its centre
//! lies between an entry and an exit of its column: `rleFrPoly` of pycocotools (`maskApi.c`; Lin et al., "Microsoft COCO:
//! Common objects in context", ECCV 2014). The even-odd rule decides where an outline crosses itself.

use super::run_length::RunLength;
use crate::error::{Error, Result};
use crate::size::Size;

/// Steps of the walk in one pixel, as in `rleFrPoly`.
const STEPS: i32 = 5;

/// Coordinates beyond this many pixels are refused: no picture is as wide, and steps stay far from the end of an `i32`.
const MAX_COORDINATE: f64 = 1e6;

/// The longest boundary, in pixels of the longer side of each edge: a walk of a fraction of a second.
const MAX_BOUNDARY: u64 = 1 << 24;

/// A closed outline; the last corner is joined to the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polygon {
    /// Column and row of each corner, in steps.
    corners: Box<[[i32; 2]]>,
}

impl Polygon {
    /// The outline through `points`, each column and row in pixels from the upper left corner of the picture, which it
    /// may leave.
    ///
    /// # Errors
    /// Fewer than three points; a coordinate that is NaN, infinite or beyond a million pixels; a boundary longer than 16
    /// million pixels.
    pub fn new(points: impl IntoIterator<Item = [f64; 2]>) -> Result<Self> {
        let mut corners = Vec::new();
        for point in points {
            if let Some(wrong) = point.into_iter().find(|v| v.is_nan() || v.abs() > MAX_COORDINATE) {
                let number = corners.len() + 1;
                return Err(Error::data(format!("point {number} of the polygon has the coordinate {wrong}")).hint(
                    format!("coordinates are pixels from the upper left corner, at most {MAX_COORDINATE} away"),
                ));
            }
            corners.push(point.map(|v| (f64::from(STEPS) * v + 0.5) as i32));
        }
        if corners.len() < 3 {
            return Err(Error::data(format!("the polygon has {} points, at least 3 enclose an area", corners.len()))
                .hint("give it more points, or remove it"));
        }
        let polygon = Polygon { corners: corners.into() };
        let boundary: u64 = polygon.edges().map(|[from, to]| u64::from(longer_side(from, to))).sum();
        let limit = MAX_BOUNDARY * STEPS as u64;
        if boundary > limit {
            let pixels = boundary / STEPS as u64;
            return Err(Error::data(format!("the boundary of the polygon is {pixels} pixels long"))
                .hint(format!("at most {MAX_BOUNDARY} are drawn: simplify it")));
        }
        Ok(polygon)
    }

    /// The pixels inside, in a picture of `size`.
    pub fn fill(&self, size: Size) -> RunLength {
        RunLength::between(size, self.crossings(size))
    }

    /// Each corner with the next.
    fn edges(&self) -> impl Iterator<Item = [[i32; 2]; 2]> {
        let next = self.corners.iter().skip(1).chain(self.corners.first());
        self.corners.iter().zip(next).map(|(&from, &to)| [from, to])
    }

    /// Where the boundary enters or leaves the object: pixel numbers, column after column, in the order of the walk.
    fn crossings(&self, size: Size) -> Vec<usize> {
        let (width, height) = (size.width as i64, size.height as i64);
        let mut crossings = Vec::new();
        let mut last: Option<[i32; 2]> = None;
        for [from, to] in self.edges() {
            walk(from, to, |[u, v]| {
                if let Some([last_u, last_v]) = last
                    && u != last_u
                {
                    // Only the middle of a column counts: the centres of its pixels.
                    let step = i64::from(u.min(last_u)) - 2;
                    let column = step.div_euclid(STEPS.into());
                    if step.rem_euclid(STEPS.into()) == 0 && (0..width).contains(&column) {
                        let row = (i64::from(v.min(last_v)) + 2).div_euclid(STEPS.into()).clamp(0, height);
                        crossings.push((column * height + row) as usize);
                    }
                }
                last = Some([u, v]);
            });
        }
        crossings
    }

    /// The corners, for a digest.
    pub(crate) fn corners(&self) -> &[[i32; 2]] {
        &self.corners
    }
}

/// The longer side of an edge, in steps.
fn longer_side(from: [i32; 2], to: [i32; 2]) -> u32 {
    from[0].abs_diff(to[0]).max(from[1].abs_diff(to[1]))
}

/// Visits the points of an edge, both ends among them. Rounding is that of the walk from the lower coordinate on,
/// whatever the direction, so that two objects with a common edge share no pixel.
fn walk([x0, y0]: [i32; 2], [x1, y1]: [i32; 2], mut visit: impl FnMut([i32; 2])) {
    let (dx, dy) = (x0.abs_diff(x1) as i32, y0.abs_diff(y1) as i32);
    let along_x = dx >= dy;
    let flip = if along_x { x0 > x1 } else { y0 > y1 };
    let ([xs, ys], [xe, ye]) = if flip { ([x1, y1], [x0, y0]) } else { ([x0, y0], [x1, y1]) };
    let (length, start, other) = if along_x { (dx, xs, ys) } else { (dy, ys, xs) };
    let rise = if along_x { ye - ys } else { xe - xs };
    let slope = if length == 0 { 0.0 } else { f64::from(rise) / f64::from(length) };
    for step in 0..=length {
        let t = if flip { length - step } else { step };
        let across = (f64::from(other) + slope * f64::from(t) + 0.5) as i32;
        visit(if along_x { [t + start, across] } else { [across, t + start] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `rleFrPoly` line by line, with its arrays and its floats.
    fn slow_twin(points: &[[f64; 2]], size: Size) -> Vec<u32> {
        let (h, w, scale) = (size.height as f64, size.width as f64, 5.0);
        let mut upsampled: Vec<[i32; 2]> = points.iter().map(|p| p.map(|v| (scale * v + 0.5) as i32)).collect();
        upsampled.push(upsampled[0]);
        let mut dense = Vec::new();
        for pair in upsampled.windows(2) {
            let ([mut xs, mut ys], [mut xe, mut ye]) = (pair[0], pair[1]);
            let (dx, dy) = ((xe - xs).abs(), (ys - ye).abs());
            let flip = (dx >= dy && xs > xe) || (dx < dy && ys > ye);
            if flip {
                (xs, xe, ys, ye) = (xe, xs, ye, ys);
            }
            let s = if dx >= dy { f64::from(ye - ys) / f64::from(dx) } else { f64::from(xe - xs) / f64::from(dy) };
            for d in 0..=dx.max(dy) {
                let t = if flip { dx.max(dy) - d } else { d };
                dense.push(if dx >= dy {
                    [t + xs, (f64::from(ys) + s * f64::from(t) + 0.5) as i32]
                } else {
                    [(f64::from(xs) + s * f64::from(t) + 0.5) as i32, t + ys]
                });
            }
        }
        let mut a = Vec::new();
        for pair in dense.windows(2).filter(|p| p[0][0] != p[1][0]) {
            let ([u0, v0], [u1, v1]) = (pair[0], pair[1]);
            let xd = (f64::from(if u1 < u0 { u1 } else { u1 - 1 }) + 0.5) / scale - 0.5;
            if xd.floor() != xd || xd < 0.0 || xd > w - 1.0 {
                continue;
            }
            let yd = ((f64::from(v0.min(v1)) + 0.5) / scale - 0.5).clamp(0.0, h).ceil();
            a.push(xd as u32 * size.height as u32 + yd as u32);
        }
        a.push(size.pixels() as u32);
        a.sort_unstable();
        let mut last = 0;
        for value in &mut a {
            (*value, last) = (*value - last, *value);
        }
        let (mut b, mut j) = (vec![a[0]], 1);
        while j < a.len() {
            if a[j] > 0 {
                b.push(a[j]);
                j += 1;
            } else {
                j += 1;
                if let (Some(end), Some(more)) = (b.last_mut(), a.get(j)) {
                    *end += more;
                }
                j += 1;
            }
        }
        b
    }

    #[test]
    fn the_walk_is_its_slow_twin() {
        use crate::rng::{Purpose, Rng};
        let mut failures = Vec::new();
        for case in 0..400u64 {
            let mut rng = Rng::derive(7, Purpose::Draw, &[case]);
            let mut draw = |n: u64| rng.next_u64() % n;
            let size = Size::new(1 + draw(70) as usize, 1 + draw(70) as usize);
            let grain = [1.0, 2.0, 5.0, 10.0, 97.0][draw(5) as usize];
            let count = [3, 4, 7, 60][draw(4) as usize];
            let points: Vec<[f64; 2]> =
                (0..count).map(|_| [0, 1].map(|_| (draw(120 * grain as u64) as f64) / grain - 25.0)).collect();
            let found = Polygon::new(points.iter().copied()).unwrap().fill(size);
            if found.counts() != slow_twin(&points, size) {
                failures.push(format!("{size}: {points:?}"));
            }
        }
        assert!(failures.is_empty(), "{} of 400, the first: {}", failures.len(), failures[0]);
    }

    #[test]
    fn what_is_no_outline_is_refused() {
        let far = [[0.0, 0.0], [1e6, 0.0], [0.0, 1e6]];
        let cases: [(Vec<[f64; 2]>, &str); 6] = [
            (vec![], "has 0 points, at least 3"),
            (vec![[1.0, 1.0], [2.0, 2.0]], "has 2 points"),
            (vec![[1.0, 1.0], [f64::NAN, 2.0], [3.0, 3.0]], "point 2 of the polygon has the coordinate NaN"),
            (vec![[1.0, f64::INFINITY], [2.0, 2.0], [3.0, 3.0]], "point 1 of the polygon has the coordinate inf"),
            (vec![[1.0, 1.0], [2.0, 2.0], [3.0, -1e300]], "point 3 of the polygon has the coordinate -1"),
            (far.repeat(10), "pixels long"),
        ];
        for (points, expected) in cases {
            let error = Polygon::new(points).unwrap_err();
            assert!(error.message.contains(expected) && error.hint.is_some(), "{error}");
        }
        assert!(Polygon::new(far).is_ok());
    }
}
