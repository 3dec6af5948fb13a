//! Label maps taken apart: the connected regions of one class, each with its outline and its holes.
//!
//! Pixels that share an edge are connected, those that meet at a corner alone are not. Outlines run on the edges of pixels,
//! with the region on their right hand (rows grow downwards): outer ones clockwise, holes the other way. The regions of a
//! picture are in the order of their first pixels, row after row, so that a region comes after the one in whose hole it lies:
//! outlines filled in this order, each over the earlier ones, give the label map again.

use super::outline::{Outline, Point};
use super::patch::Patch;
use super::run_length::RunLength;
use crate::error::{Error, Result};
use crate::labels::LabelMap;
use crate::size::Size;

/// A connected region of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its class id, or void.
    pub id: u8,
    /// Its outer outline.
    pub outline: Outline,
    /// Its holes.
    pub holes: Vec<Outline>,
    /// The number of the region in whose hole it lies, without another between them; `None` of one that lies in no hole.
    pub inside: Option<usize>,
}

impl Region {
    /// The first column and row, and those after the last.
    pub fn bounds(&self) -> [[u32; 2]; 2] {
        let corners = || self.outline.edges().map(|[from, _]| from);
        let least = corners().reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1])]);
        let most = corners().reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])]);
        [least.unwrap_or_default(), most.unwrap_or_default()]
    }

    /// Its pixels, in a picture of `size`.
    pub fn runs(&self, size: Size) -> RunLength {
        let mut crossings = Vec::new();
        for [[x0, y], [x1, _]] in self.edges().filter(|[from, to]| from[1] == to[1]) {
            crossings.extend((x0.min(x1)..x0.max(x1)).map(|x| x as usize * size.height + y as usize));
        }
        RunLength::between(size, crossings)
    }

    /// Its pixels as a small mask with its place.
    ///
    /// # Errors
    /// Those of [`Patch::new`].
    pub fn patch(&self) -> Result<Patch> {
        let [[left, top], [right, bottom]] = self.bounds();
        let size = Size::new((right - left) as usize, (bottom - top) as usize);
        let mut crossings = Vec::new();
        for [[x, y0], [_, y1]] in self.edges().filter(|[from, to]| from[0] == to[0]) {
            let number = |y: u32| (y - top) as usize * size.width + (x - left) as usize;
            crossings.extend((y0.min(y1)..y0.max(y1)).map(number));
        }
        // Rows of the mask are the columns in which run lengths are counted.
        let counts = RunLength::between(size.transposed(), crossings).counts().to_vec();
        Patch::new(left.into(), top.into(), size, counts)
    }

    /// The edges of all outlines.
    fn edges(&self) -> impl Iterator<Item = [[u32; 2]; 2]> {
        std::iter::once(&self.outline).chain(&self.holes).flat_map(Outline::edges)
    }
}

/// The regions of a label map; every pixel belongs to one.
///
/// # Errors
/// A map of 2^32 pixels or more, or whose ids are not as many as its size says.
pub fn regions(map: &LabelMap) -> Result<Vec<Region>> {
    let (size, pixels) = (map.size(), map.ids.len());
    if pixels != size.pixels() {
        return Err(Error::internal(format!("a label map of {size} has {pixels} ids")));
    }
    if u32::try_from(pixels).map_or(true, |n| n == OUTSIDE) {
        return Err(Error::data(format!("a label map of {size} is too large to be taken apart")));
    }
    let (numbers, firsts) = numbered(map);
    let mut tracer = Tracer { size, numbers, traced: vec![false; pixels], in_hole: vec![false; pixels] };
    let region =
        |&first: &usize| Region { id: map.ids[first], outline: Outline::default(), holes: Vec::new(), inside: None };
    let mut regions: Vec<Region> = firsts.iter().map(region).collect();
    for pixel in 0..pixels {
        if !tracer.begins_at(pixel) {
            continue;
        }
        let number = tracer.numbers[pixel] as usize;
        match firsts[number] == pixel {
            true => regions[number].outline = tracer.trace(pixel, false),
            false => regions[number].holes.push(tracer.trace(pixel, true)),
        }
    }
    for (number, &first) in firsts.iter().enumerate() {
        // The region to the left began before: it is around this one, or beside it and in the same hole.
        let left = (first % size.width > 0).then(|| tracer.numbers[first - 1] as usize);
        regions[number].inside = if tracer.in_hole[first] { left } else { left.and_then(|left| regions[left].inside) };
    }
    Ok(regions)
}

/// The number of what lies outside of the picture.
const OUTSIDE: u32 = u32::MAX;

/// The number of the region of each pixel, and the first pixel of each region.
fn numbered(map: &LabelMap) -> (Vec<u32>, Vec<usize>) {
    let (width, pixels) = (map.width, map.ids.len());
    let (mut numbers, mut firsts, mut waiting) = (vec![OUTSIDE; pixels], Vec::new(), Vec::new());
    for first in 0..pixels {
        if numbers[first] != OUTSIDE {
            continue;
        }
        let number = firsts.len() as u32;
        firsts.push(first);
        numbers[first] = number;
        waiting.push(first);
        while let Some(at) = waiting.pop() {
            let x = at % width;
            let beside = [(x > 0).then(|| at - 1), (x + 1 < width).then(|| at + 1)];
            let above_and_below = [at.checked_sub(width), Some(at + width).filter(|&below| below < pixels)];
            for next in beside.into_iter().chain(above_and_below).flatten() {
                if numbers[next] == OUTSIDE && map.ids[next] == map.ids[first] {
                    numbers[next] = number;
                    waiting.push(next);
                }
            }
        }
    }
    (numbers, firsts)
}

/// Directions, clockwise.
const EAST: usize = 0;
const SOUTH: usize = 1;
const WEST: usize = 2;

/// Walks along the regions of a picture.
struct Tracer {
    size: Size,
    /// The region of each pixel.
    numbers: Vec<u32>,
    /// Whether an outline runs along the upper edge of a pixel.
    traced: Vec<bool>,
    /// Whether a pixel lies in a hole of the region to its left, which begins there.
    in_hole: Vec<bool>,
}

impl Tracer {
    /// Whether the upper edge of a pixel is a border of its region that belongs to no outline yet.
    fn begins_at(&self, pixel: usize) -> bool {
        let above = pixel.checked_sub(self.size.width).map(|above| self.numbers[above]);
        !self.traced[pixel] && above != Some(self.numbers[pixel])
    }

    /// The outline that runs along the upper edge of `pixel`.
    fn trace(&mut self, pixel: usize, hole: bool) -> Outline {
        let (own, width) = (self.numbers[pixel], self.size.width);
        let start = [pixel % width, pixel / width];
        let (mut at, mut heading, mut points) = (start, EAST, Vec::new());
        loop {
            let [x, y] = at;
            match heading {
                EAST => self.traced[y * width + x] = true,
                SOUTH if hole => self.in_hole[y * width + x] = true,
                _ => {}
            }
            at = match heading {
                EAST => [x + 1, y],
                SOUTH => [x, y + 1],
                WEST => [x - 1, y],
                _ => [x, y - 1],
            };
            let around = self.around(at);
            let (left, right) = (around[heading], around[(heading + 1) % 4]);
            // To the right first: pixels that meet at a corner alone are not connected.
            let turn = if right != own {
                1
            } else if left == own {
                3
            } else {
                0
            };
            let joint = is_joint(around);
            if turn != 0 || joint {
                points.push(Point { at: at.map(|v| v as u32), joint });
            }
            heading = (heading + turn) % 4;
            if (at, heading) == (start, EAST) {
                return Outline::new(points);
            }
        }
    }

    /// The regions of the four pixels around a point, clockwise from the upper right.
    fn around(&self, [x, y]: [usize; 2]) -> [u32; 4] {
        let Size { width, height } = self.size;
        let (x0, y0) = (x.wrapping_sub(1), y.wrapping_sub(1));
        [[x, y0], [x, y], [x0, y], [x0, y0]]
            .map(|[x, y]| if x < width && y < height { self.numbers[y * width + x] } else { OUTSIDE })
    }
}

/// Whether three regions or more meet at a point, or the picture has its corner there.
fn is_joint(around: [u32; 4]) -> bool {
    let distinct = (0..4).filter(|&i| !around[..i].contains(&around[i])).count();
    distinct > 2 || around.iter().filter(|number| **number == OUTSIDE).count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::shapes::{Area, Drawing, Polygon, Shape};
    use crate::image::tests::random_map;
    use crate::rng::{Purpose, Rng};

    fn drawn(case: u64) -> LabelMap {
        random_map(&mut Rng::derive(5, Purpose::Draw, &[case]), &[0, 1, 2, 255])
    }

    fn polygon(corners: Vec<[u32; 2]>) -> Polygon {
        Polygon::new(corners.into_iter().map(|corner| corner.map(f64::from))).unwrap()
    }

    /// The pixels of each region, by spreading from each pixel as long as anything changes.
    fn slow_twin(map: &LabelMap) -> Vec<Vec<usize>> {
        let Size { width, height } = map.size();
        let mut numbers: Vec<usize> = (0..map.ids.len()).collect();
        loop {
            let before = numbers.clone();
            for at in 0..numbers.len() {
                let (x, y) = (at % width, at / width);
                let beside = [(x > 0, at.wrapping_sub(1)), (x + 1 < width, at + 1)];
                let above = [(y > 0, at.wrapping_sub(width)), (y + 1 < height, at + width)];
                for (there, next) in beside.into_iter().chain(above) {
                    if there && map.ids[next] == map.ids[at] {
                        numbers[at] = numbers[at].min(numbers[next]);
                    }
                }
            }
            if numbers == before {
                break;
            }
        }
        let firsts = (0..numbers.len()).filter(|&at| numbers[at] == at);
        firsts.map(|first| (0..numbers.len()).filter(|&at| numbers[at] == first).collect()).collect()
    }

    #[test]
    fn regions_hold_their_pixels_in_every_form() {
        for case in 0..300 {
            let map = drawn(case);
            let (size, found) = (map.size(), regions(&map).unwrap());
            let expected = slow_twin(&map);
            assert_eq!(found.len(), expected.len(), "case {case}");
            for (region, pixels) in found.iter().zip(expected) {
                let mut columns: Vec<usize> =
                    pixels.iter().map(|at| at % size.width * size.height + at / size.width).collect();
                columns.sort_unstable();
                let runs = region.runs(size);
                assert_eq!(runs.runs().flatten().collect::<Vec<_>>(), columns, "case {case}");
                let holes = region.holes.iter().map(|hole| polygon(hole.corners())).collect();
                let outlines = Area::Outlines { inside: vec![polygon(region.outline.corners())], holes };
                for area in [outlines, Area::Runs(runs.clone()), Area::Patch(region.patch().unwrap())] {
                    let drawing = Drawing { size: None, background: 0, shapes: vec![Shape { id: 1, area }] };
                    let ids = drawing.draw(size).unwrap().ids;
                    assert_eq!((0..ids.len()).filter(|&at| ids[at] == 1).collect::<Vec<_>>(), pixels, "case {case}");
                }
                assert_eq!(region.id, map.ids[pixels[0]]);
            }
        }
    }

    #[test]
    fn outer_outlines_in_their_order_give_the_map_and_what_lies_in_no_hole_needs_no_order() {
        for case in 0..300 {
            let map = drawn(case);
            let found = regions(&map).unwrap();
            let shapes = |wanted: &dyn Fn(&Region) -> bool| -> Vec<Shape> {
                let wanted = found.iter().filter(|region| wanted(region));
                wanted.map(|r| Shape { id: r.id, area: Area::outline(polygon(r.outline.corners())) }).collect()
            };
            let drawn = |shapes| Drawing { size: None, background: 0, shapes }.draw(map.size()).unwrap();
            assert_eq!(drawn(shapes(&|_| true)), map, "case {case}");
            assert_eq!(
                drawn(shapes(&|r| r.id != 0 || r.inside.is_some())),
                map,
                "case {case}: background in holes only"
            );
            // The regions around one, by filling the outlines of all.
            let filled: Vec<Vec<u8>> = (found.iter())
                .map(|r| Shape { id: 9, area: Area::outline(polygon(r.outline.corners())) })
                .map(|shape| drawn(vec![shape]).ids)
                .collect();
            for (number, region) in found.iter().enumerate() {
                let pixel = region.runs(map.size()).runs().next().unwrap().start;
                let pixel = pixel % map.height * map.width + pixel / map.height;
                let around = (0..found.len()).filter(|&other| other != number && filled[other][pixel] == 9);
                assert_eq!(region.inside, around.max(), "case {case}, region {number}");
            }
        }
    }

    #[test]
    fn simplified_neighbours_leave_neither_gaps_nor_overlaps() {
        let mut whole = 0;
        for case in 0..20u64 {
            let size = Size::new(120, 90);
            let wave = |v: usize, period: f64| (v as f64 / period + case as f64).sin();
            let id = |at: usize| {
                let (x, y) = (at % size.width, at / size.width);
                let right = x as f64 > 60.0 + 12.0 * wave(y, 9.0);
                u8::from(right) + 2 * u8::from(y as f64 > 45.0 + 9.0 * wave(x, 8.0))
            };
            let map = LabelMap { width: 120, height: 90, ids: (0..size.pixels()).map(id).collect() };
            let found = regions(&map).unwrap();
            if found.len() > 4 {
                continue; // single pixels between the four keep all their corners
            }
            whole += 1;
            let (mut area, mut before, mut after) = (0, 0, 0);
            for outline in found.iter().flat_map(|region| std::iter::once(&region.outline).chain(&region.holes)) {
                let corners = outline.simplified(1.0);
                before += outline.corners().len();
                after += corners.len();
                let next = corners.iter().cycle().skip(1);
                area += corners
                    .iter()
                    .zip(next)
                    .map(|(a, b)| i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1]))
                    .sum::<i64>();
            }
            // Borders that two regions share cancel each other: what remains is the border of the picture.
            assert_eq!(area, 2 * size.pixels() as i64, "case {case}");
            assert!(after * 3 < before, "case {case}: {after} of {before} corners");
        }
        assert!(whole > 10, "{whole} cases");
    }

    #[test]
    fn maps_that_are_none_are_refused_and_empty_ones_have_no_region() {
        assert!(regions(&LabelMap { width: 3, height: 2, ids: vec![0; 5] }).is_err());
        assert!(regions(&LabelMap { width: usize::MAX, height: 2, ids: vec![] }).is_err());
        assert!(regions(&LabelMap { width: 0, height: 7, ids: vec![] }).unwrap().is_empty());
    }
}
