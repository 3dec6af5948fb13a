//! Contact sheets: what a network makes of some photographs, at a glance.

use super::canvas::{Canvas, Rgb};
use super::errors::error_map;
use super::fit::{enlarged, enlarged_map, fitted, fitted_map};
use super::font::Font;
use super::legend::{legend_below, legend_entries};
use super::paint::{painted, same_size};
use crate::error::Result;
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap};
use crate::size::Size;

/// Columns of a contact sheet, the last two only where there is a CRF.
const SHEET_HEADINGS: [&str; 6] =
    ["photograph", "annotation", "prediction", "errors (white: missed)", "after the CRF", "errors after the CRF"];

/// Longer side in pixels of a picture in a sheet at most.
const TILE: usize = 340;

/// One image of a contact sheet.
#[derive(Clone, Debug)]
pub struct SheetRow {
    /// Sample id.
    pub name: String,
    /// The photograph.
    pub photo: RgbImage,
    /// Its annotation.
    pub truth: LabelMap,
    /// What the network says.
    pub prediction: LabelMap,
    /// The image's own mIoU.
    pub miou: Option<f64>,
    /// What the CRF makes of it, and the mIoU of that.
    pub refined: Option<(LabelMap, Option<f64>)>,
}

impl SheetRow {
    /// The pictures of the row, at the size of a tile: shrunk, or enlarged by a whole factor.
    fn tiles(&self, classes: &Classes) -> Result<Vec<RgbImage>> {
        let times = (TILE / self.photo.width.max(self.photo.height).max(1)).max(1);
        let photo = enlarged(&fitted(&self.photo, TILE), times);
        let at_tile = |map: &LabelMap| {
            same_size(&self.photo, map)?;
            Ok(enlarged_map(&fitted_map(map, TILE), times))
        };
        let truth = at_tile(&self.truth)?;
        let mut tiles = vec![photo.clone(), painted(&photo, &truth, classes)?];
        for map in std::iter::once(&self.prediction).chain(self.refined.as_ref().map(|(map, _)| map)) {
            let map = at_tile(map)?;
            tiles.extend([painted(&photo, &map, classes)?, error_map(&photo, &truth, &map, classes)?]);
        }
        Ok(tiles)
    }

    /// The name and the scores of the row.
    fn caption(&self) -> String {
        let share = |miou: Option<f64>| miou.map_or("n/a".to_string(), |v| format!("{v:.3}"));
        let refined = self.refined.as_ref().map(|(_, miou)| format!(", after the CRF {}", share(*miou)));
        format!("{}  mIoU {}{}", self.name, share(self.miou), refined.unwrap_or_default())
    }
}

/// A row an image: the photograph, and on it the annotation, the prediction and its errors, and the prediction after the
/// CRF and its errors where any row has one; one legend.
///
/// Fails when a map differs in size from its photograph.
pub fn contact_sheet(title: &str, rows: &[SheetRow], classes: &Classes) -> Result<RgbImage> {
    const GAP: usize = 10;
    const CAPTION: usize = 30;
    const TOP: usize = 78;
    const INK: Rgb = [20; 3];
    let tiles = rows.iter().map(|row| row.tiles(classes)).collect::<Result<Vec<_>>>()?;
    let columns = tiles.iter().map(Vec::len).max().unwrap_or(SHEET_HEADINGS.len() - 2);
    let row_height = |tiles: &[RgbImage]| tiles.iter().map(|t| t.height).max().unwrap_or(0) + CAPTION + GAP;
    let height = TOP + tiles.iter().map(|tiles| row_height(tiles)).sum::<usize>();
    let mut canvas = Canvas::new(Size::new(columns * (TILE + GAP) + GAP, height), [255; 3]);
    canvas.text(GAP as i64, 10, Font::LARGE, INK, title);
    for (i, heading) in SHEET_HEADINGS.iter().take(columns).enumerate() {
        canvas.text((GAP + i * (TILE + GAP)) as i64, 46, Font::MEDIUM, INK, heading);
    }
    let mut y = TOP;
    for (row, tiles) in rows.iter().zip(&tiles) {
        canvas.text(GAP as i64, y as i64, Font::MEDIUM, INK, &row.caption());
        for (i, tile) in tiles.iter().enumerate() {
            canvas.place(tile, GAP + i * (TILE + GAP), y + CAPTION - 4);
        }
        y += row_height(tiles);
    }
    let maps: Vec<&LabelMap> = (rows.iter())
        .flat_map(|row| [Some(&row.truth), Some(&row.prediction), row.refined.as_ref().map(|refined| &refined.0)])
        .flatten()
        .collect();
    Ok(legend_below(&canvas.into_image(), &legend_entries(&maps, classes), Font::MEDIUM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_sheet_takes_images_of_any_size() {
        let rows: Vec<SheetRow> = [(1, 1), (500, 375), (30, 900)]
            .map(|(w, h)| SheetRow {
                name: format!("{w}x{h}"),
                photo: RgbImage::filled(Size::new(w, h), [50; 3]),
                truth: LabelMap::filled(Size::new(w, h), 1),
                prediction: LabelMap::filled(Size::new(w, h), 2),
                miou: Some(0.0),
                refined: (w == 500).then(|| (LabelMap::filled(Size::new(w, h), 3), None)),
            })
            .into();
        let sheet = contact_sheet("step 200", &rows, &Classes::voc()).unwrap();
        assert_eq!(sheet.rgb_hwc.len(), sheet.width * sheet.height * 3);
        let without: Vec<SheetRow> = rows.iter().map(|row| SheetRow { refined: None, ..row.clone() }).collect();
        assert!(contact_sheet("step 200", &without, &Classes::voc()).unwrap().width < sheet.width);
        contact_sheet("empty", &[], &Classes::voc()).unwrap();
        let torn = SheetRow { truth: LabelMap::filled(Size::new(3, 3), 1), ..rows[1].clone() };
        assert!(contact_sheet("step 200", &[torn], &Classes::voc()).is_err());
    }
}
