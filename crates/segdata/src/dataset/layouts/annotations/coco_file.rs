//! What COCO's JSON holds. Shapes are made while it is read, so that a file of half a gigabyte is never held as a tree.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::document::{Key, Whole};
use crate::error::Error;
use crate::image::shapes::{Area, Polygon, RunLength};
use crate::size::Size;

/// The three lists of a file; further keys are passed over.
#[derive(Debug, Deserialize)]
pub(super) struct CocoFile {
    pub images: Option<Vec<Image>>,
    pub annotations: Option<Vec<Annotation>>,
    pub categories: Option<Vec<Category>>,
}

/// A picture.
#[derive(Debug, Deserialize)]
pub(super) struct Image {
    pub id: Key,
    pub file_name: String,
    width: Option<Whole>,
    height: Option<Whole>,
}

impl Image {
    /// Its size, where the file says it.
    pub fn size(&self) -> Option<Size> {
        Some(Size::new(self.width?.0, self.height?.0)).filter(|size| size.pixels() > 0)
    }
}

/// A class.
#[derive(Debug, Deserialize)]
pub(super) struct Category {
    pub id: Key,
    pub name: String,
}

/// An object.
#[derive(Debug, Deserialize)]
pub(super) struct Annotation {
    pub id: Option<Key>,
    pub image_id: Key,
    pub category_id: Key,
    #[serde(default)]
    pub segmentation: Segmentation,
}

/// The pixels of an object.
#[derive(Debug, Default)]
pub(super) enum Segmentation {
    /// A box only.
    #[default]
    None,
    Area(Area),
    /// What keeps it from being drawn.
    Wrong(String),
}

impl Segmentation {
    fn of(area: Result<Area, Error>) -> Self {
        area.map_or_else(|e| Segmentation::Wrong(e.message), Segmentation::Area)
    }
}

impl<'de> Deserialize<'de> for Segmentation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SegmentationVisitor)
    }
}

struct SegmentationVisitor;

impl<'de> Visitor<'de> for SegmentationVisitor {
    type Value = Segmentation;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a segmentation: a list of polygons [x, y, x, y, ...], or run lengths {size, counts}")
    }

    fn visit_unit<E>(self) -> Result<Segmentation, E> {
        Ok(Segmentation::None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Segmentation, A::Error> {
        let (mut inside, mut wrong) = (Vec::new(), None);
        while let Some(Coordinates(flat)) = list.next_element()? {
            match polygon(&flat) {
                Ok(polygon) => inside.push(polygon),
                Err(e) => wrong = wrong.or(Some(e.message)),
            }
        }
        Ok(match wrong {
            Some(wrong) => Segmentation::Wrong(wrong),
            None if inside.is_empty() => Segmentation::None,
            None => Segmentation::Area(Area::Outlines { inside, holes: Vec::new() }),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Segmentation, A::Error> {
        let (mut size, mut counts) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "size" => size = Some(map.next_value::<[Whole; 2]>()?),
                "counts" => counts = Some(map.next_value::<Counts>()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let [height, width] = size.ok_or_else(|| A::Error::missing_field("size"))?;
        let size = Size::new(width.0, height.0);
        let runs = match counts.ok_or_else(|| A::Error::missing_field("counts"))? {
            Counts::Numbers(counts) => RunLength::new(size, counts),
            Counts::Text(text) => RunLength::parse(size, &text),
        };
        Ok(Segmentation::of(runs.map(Area::Runs)))
    }
}

/// The polygon of a flat list of coordinates.
fn polygon(flat: &[f64]) -> Result<Polygon, Error> {
    if !flat.len().is_multiple_of(2) {
        return Err(Error::data(format!("a polygon has {} coordinates, expected pairs of x and y", flat.len())));
    }
    Polygon::new(flat.chunks_exact(2).map(|pair| [pair[0], pair[1]]))
}

/// The coordinates of one polygon.
struct Coordinates(Vec<f64>);

impl<'de> Deserialize<'de> for Coordinates {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct CoordinatesVisitor;
        impl<'de> Visitor<'de> for CoordinatesVisitor {
            type Value = Coordinates;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a polygon [x, y, x, y, ...] in a list of polygons")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Coordinates, A::Error> {
                let mut flat = Vec::new();
                while let Some(value) = list.next_element()? {
                    flat.push(value);
                }
                Ok(Coordinates(flat))
            }
        }
        from.deserialize_seq(CoordinatesVisitor)
    }
}

/// Run lengths as numbers or as text.
#[derive(Debug)]
enum Counts {
    Text(String),
    Numbers(Vec<u32>),
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct CountsVisitor;
        impl<'de> Visitor<'de> for CountsVisitor {
            type Value = Counts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("run lengths: a list of counts, or text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Counts, E> {
                Ok(Counts::Text(text.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Counts, A::Error> {
                let mut counts = Vec::new();
                while let Some(count) = list.next_element()? {
                    counts.push(count);
                }
                Ok(Counts::Numbers(counts))
            }
        }
        from.deserialize_any(CountsVisitor)
    }
}
