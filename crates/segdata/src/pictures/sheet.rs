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

/// Longer side in pixels of a picture in a sheet.
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

/// The whole factor after which a picture of this size fills a tile.
fn tile_factor(size: Size) -> usize {
    TILE.div_ceil(size.width.max(size.height).max(1))
}

/// A photograph at the size of a tile: its longer side has [`TILE`] pixels.
fn tiled(photo: &RgbImage) -> RgbImage {
    fitted(&enlarged(photo, tile_factor(photo.size())), TILE)
}

/// A map of this photograph at the size of a tile.
fn tiled_map(map: &LabelMap, photo: &RgbImage) -> Result<LabelMap> {
    same_size(photo, map)?;
    Ok(fitted_map(&enlarged_map(map, tile_factor(map.size())), TILE))
}

impl SheetRow {
    /// The pictures of the row, at the size of a tile.
    fn tiles(&self, classes: &Classes) -> Result<Vec<RgbImage>> {
        let (photo, truth) = (tiled(&self.photo), tiled_map(&self.truth, &self.photo)?);
        let mut tiles = vec![photo.clone(), painted(&photo, &truth, classes)?];
        for map in std::iter::once(&self.prediction).chain(self.refined.as_ref().map(|(map, _)| map)) {
            let map = tiled_map(map, &self.photo)?;
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

/// One photograph of a sheet of a data set.
#[derive(Clone, Debug)]
pub(crate) struct PhotographTile {
    /// Sample id.
    pub name: String,
    /// The photograph.
    pub photo: RgbImage,
    /// Its annotation.
    pub map: LabelMap,
}

impl PhotographTile {
    /// The photograph under its annotation, at the size of a tile.
    fn drawn(&self, classes: &Classes) -> Result<RgbImage> {
        painted(&tiled(&self.photo), &tiled_map(&self.map, &self.photo)?, classes)
    }
}

/// Photographs with their annotations on them, four a row, each under its name, and one legend.
///
/// Fails when a map differs in size from its photograph.
pub(crate) fn photograph_sheet(title: &str, tiles: &[PhotographTile], classes: &Classes) -> Result<RgbImage> {
    const COLUMNS: usize = 4;
    const NARROWEST: usize = 180;
    const GAP: usize = 10;
    const CAPTION: usize = 26;
    const TOP: usize = 48;
    let pictures = tiles.iter().map(|tile| tile.drawn(classes)).collect::<Result<Vec<_>>>()?;
    let cell = pictures.iter().map(|picture| picture.width).max().unwrap_or(0).max(NARROWEST);
    let row_height = |row: &[RgbImage]| row.iter().map(|picture| picture.height).max().unwrap_or(0) + CAPTION + GAP;
    let height = TOP + pictures.chunks(COLUMNS).map(row_height).sum::<usize>();
    let width = (COLUMNS * (cell + GAP) + GAP).max(Font::LARGE.width(title) + 2 * GAP);
    let mut canvas = Canvas::new(Size::new(width, height), [255; 3]);
    canvas.text(GAP as i64, 10, Font::LARGE, [20; 3], title);
    let mut y = TOP;
    for (row, named) in pictures.chunks(COLUMNS).zip(tiles.chunks(COLUMNS)) {
        for (i, (picture, tile)) in row.iter().zip(named).enumerate() {
            let x = GAP + i * (cell + GAP);
            let name: String = tile.name.chars().take(cell / Font::MEDIUM.advance()).collect();
            canvas.text(x as i64, y as i64, Font::MEDIUM, [20; 3], &name);
            canvas.place(picture, x, y + CAPTION);
        }
        y += row_height(row);
    }
    let maps: Vec<&LabelMap> = tiles.iter().map(|tile| &tile.map).collect();
    Ok(legend_below(&canvas.into_image(), &legend_entries(&maps, classes), Font::MEDIUM))
}

#[cfg(test)]
mod tests {
    use super::super::canvas::blend;
    use super::super::colours::picture_colour;
    use super::super::paint::OVERLAY_SHARE;
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

    #[test]
    fn a_sheet_of_photographs_holds_them_all_under_their_masks() {
        let tile = |id: u8| PhotographTile {
            name: "name ".repeat(40),
            photo: RgbImage::filled(Size::new(200, 100), [100; 3]),
            map: LabelMap::filled(Size::new(200, 100), id),
        };
        let tiles: Vec<_> = (1..=6).map(tile).collect();
        let sheet = photograph_sheet("six", &tiles, &Classes::voc()).unwrap();
        for id in 1..=6 {
            let inside = blend([100; 3], picture_colour(id), OVERLAY_SHARE);
            assert_eq!(sheet.rgb_hwc.chunks(3).filter(|p| *p == inside).count(), 340 * 170, "class {id}");
        }
        photograph_sheet("none", &[], &Classes::voc()).unwrap();
        let torn = PhotographTile { map: LabelMap::filled(Size::new(3, 3), 1), ..tile(1) };
        assert!(photograph_sheet("torn", &[torn], &Classes::voc()).is_err());
    }
}
