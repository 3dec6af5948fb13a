//! The shapes of one picture, and the label map that they make.

use super::patch::Patch;
use super::polygon::Polygon;
use super::run_length::RunLength;
use crate::error::{Error, Result};
use crate::image::{DEFAULT_MAX_PIXELS, check_size};
use crate::labels::LabelMap;
use crate::size::Size;

/// The shapes of one picture, in the order in which they are drawn: a later one covers earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Size of the picture that they were drawn on, where the file says it.
    pub size: Option<Size>,
    /// Class id, or void, of the pixels that no shape covers.
    pub background: u8,
    /// The shapes.
    pub shapes: Vec<Shape>,
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Its class id, or void.
    pub id: u8,
    /// Its pixels.
    pub area: Area,
}

/// The pixels of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Area {
    /// What lies in any of the outlines and in none of the holes.
    Outlines {
        /// Outlines.
        inside: Vec<Polygon>,
        /// Holes.
        holes: Vec<Polygon>,
    },
    /// One outline; columns and rows as fractions of the picture's width and height.
    Fractions(Vec<[f64; 2]>),
    /// Run lengths over the whole picture.
    Runs(RunLength),
    /// A small mask with its place.
    Patch(Patch),
}

impl Area {
    /// One outline without holes.
    pub fn outline(polygon: Polygon) -> Self {
        Area::Outlines { inside: vec![polygon], holes: Vec::new() }
    }

    /// The pixels of a picture of `size`, except those of a patch, which is painted as it is.
    fn runs(&self, size: Size) -> Result<RunLength> {
        let union = |polygons: &[Polygon]| {
            let filled = polygons.iter().map(|p| p.fill(size)).reduce(|a, b| a.union(&b));
            filled.unwrap_or_else(|| RunLength::between(size, Vec::new()))
        };
        match self {
            Area::Outlines { inside, holes } if holes.is_empty() => Ok(union(inside)),
            Area::Outlines { inside, holes } => Ok(union(inside).minus(&union(holes))),
            Area::Fractions(points) => {
                let [width, height] = [size.width as f64, size.height as f64];
                Ok(Polygon::new(points.iter().map(|[x, y]| [x * width, y * height]))?.fill(size))
            }
            Area::Runs(runs) if runs.size() == size => Ok(runs.clone()),
            Area::Runs(runs) => {
                Err(Error::data(format!("run lengths of a picture of {} are drawn on one of {size}", runs.size()))
                    .hint("`size` is [height, width] of the picture"))
            }
            Area::Patch(_) => Err(Error::internal("a patch has no runs of its own")),
        }
    }
}

impl Drawing {
    /// Draws the shapes on a picture of `size`.
    ///
    /// # Errors
    /// A picture of more than [`DEFAULT_MAX_PIXELS`]; run lengths of another size.
    pub fn draw(&self, size: Size) -> Result<LabelMap> {
        check_size(size, DEFAULT_MAX_PIXELS)?;
        let mut map = LabelMap::filled(size, self.background);
        for Shape { id, area } in &self.shapes {
            if let Area::Patch(patch) = area {
                patch.each_stretch(size, |y, from, to| map.ids[y * size.width..][from..to.max(from)].fill(*id));
                continue;
            }
            for run in area.runs(size)?.runs() {
                let (mut x, mut y) = (run.start / size.height.max(1), run.start % size.height.max(1));
                for _ in run {
                    map.ids[y * size.width + x] = *id;
                    y += 1;
                    if y == size.height {
                        (x, y) = (x + 1, 0);
                    }
                }
            }
        }
        Ok(map)
    }

    /// BLAKE3 of everything that decides the label map.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut number = |n: u64| {
            hasher.update(&n.to_le_bytes());
        };
        let size = self.size.unwrap_or(Size::new(0, 0));
        [size.width as u64, size.height as u64, self.background.into(), self.shapes.len() as u64]
            .into_iter()
            .for_each(&mut number);
        for Shape { id, area } in &self.shapes {
            number(u64::from(*id));
            match area {
                Area::Outlines { inside, holes } => {
                    for (kind, polygons) in [(0, inside), (1, holes)] {
                        [kind, polygons.len() as u64].into_iter().for_each(&mut number);
                        for polygon in polygons {
                            number(polygon.corners().len() as u64);
                            polygon.corners().iter().flatten().for_each(|&v| number(v as u64));
                        }
                    }
                }
                Area::Fractions(points) => {
                    [2, points.len() as u64].into_iter().for_each(&mut number);
                    points.iter().flatten().for_each(|v| number(v.to_bits()));
                }
                Area::Runs(runs) => {
                    [3, runs.size().width as u64, runs.size().height as u64].into_iter().for_each(&mut number);
                    runs.counts().iter().for_each(|&n| number(n.into()));
                }
                Area::Patch(patch) => {
                    let size = patch.size;
                    [4, patch.left as u64, patch.top as u64, size.width as u64, size.height as u64]
                        .into_iter()
                        .for_each(&mut number);
                    patch.counts.iter().for_each(|&n| number(n.into()));
                }
            }
        }
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(from: f64, to: f64) -> Polygon {
        Polygon::rectangle([from, from], [to, to], 0.0).unwrap()
    }

    fn drawing(shapes: Vec<(u8, Area)>) -> Drawing {
        let shapes = shapes.into_iter().map(|(id, area)| Shape { id, area }).collect();
        Drawing { size: None, background: 0, shapes }
    }

    #[test]
    fn later_shapes_cover_earlier_ones_and_holes_show_what_is_below() {
        let size = Size::new(6, 5);
        let ring = Area::Outlines { inside: vec![square(0.0, 4.0)], holes: vec![square(1.0, 3.0)] };
        let patch = Area::Patch(Patch::new(4, 4, Size::new(2, 2), vec![0, 4]).unwrap());
        let map = drawing(vec![(1, Area::outline(square(2.0, 5.0))), (2, ring), (3, patch)]).draw(size).unwrap();
        #[rustfmt::skip]
        assert_eq!(map.ids, [
            2, 2, 2, 2, 0, 0,
            2, 0, 0, 2, 0, 0,
            2, 0, 1, 2, 1, 0,
            2, 2, 2, 2, 1, 0,
            0, 0, 1, 1, 3, 3,
        ]);
        let fractions = Area::Fractions(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 0.4], [0.0, 0.4]]);
        assert_eq!(drawing(vec![(7, fractions)]).draw(size).unwrap().ids.iter().filter(|id| **id == 7).count(), 6);
        let runs = |size| Area::Runs(RunLength::new(size, vec![28, 2]).unwrap());
        assert_eq!(drawing(vec![(9, runs(size))]).draw(size).unwrap().ids[23..], [9, 0, 0, 0, 0, 0, 9]);
        assert!(drawing(vec![(9, runs(size.transposed()))]).draw(size).is_err_and(|e| e.message.contains("5x6")));
        assert!(drawing(vec![]).draw(Size::new(1 << 20, 1 << 20)).is_err());
    }

    #[test]
    fn the_digest_follows_every_part() {
        let areas = [
            Area::outline(square(0.0, 1.0)),
            Area::outline(square(0.0, 1.2)),
            Area::Outlines { inside: vec![square(0.0, 1.0)], holes: vec![square(0.0, 1.0)] },
            Area::Fractions(vec![[0.0; 2]; 3]),
            Area::Runs(RunLength::new(Size::new(1, 2), vec![2]).unwrap()),
            Area::Runs(RunLength::new(Size::new(2, 1), vec![2]).unwrap()),
            Area::Patch(Patch::new(0, 0, Size::new(1, 2), vec![2]).unwrap()),
            Area::Patch(Patch::new(0, 1, Size::new(1, 2), vec![2]).unwrap()),
        ];
        let mut drawings: Vec<Drawing> = areas.into_iter().map(|area| drawing(vec![(1, area)])).collect();
        drawings.push(drawing(vec![]));
        drawings.push(Drawing { background: 255, ..drawing(vec![]) });
        drawings.push(Drawing { size: Some(Size::new(3, 3)), ..drawing(vec![]) });
        let digests: std::collections::HashSet<_> = drawings.iter().map(Drawing::digest).collect();
        assert_eq!(digests.len(), drawings.len());
    }
}
