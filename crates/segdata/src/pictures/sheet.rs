//! Contact sheets: what a network makes of some photographs, at a glance.

use super::canvas::{Canvas, Rgb};
use super::colours::colourise;
use super::font::Font;
use super::legend::with_legend;
use super::overlay::overlay;
use super::shrink::fitted;
use crate::error::Result;
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap};
use crate::size::Size;

/// Columns of a contact sheet, the last two only where there is a CRF.
const SHEET_HEADINGS: [&str; 6] =
    ["photograph", "annotation", "prediction", "overlay", "after the CRF", "overlay after the CRF"];

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

/// A row an image: photograph, annotation, prediction and overlay, and prediction and overlay after the CRF where any row
/// has them; all made small, and one legend.
pub fn contact_sheet(title: &str, rows: &[SheetRow], classes: &Classes) -> Result<RgbImage> {
    const TILE: usize = 240;
    const GAP: usize = 6;
    const CAPTION: usize = 22;
    const TOP: usize = 64;
    const INK: Rgb = [20; 3];
    let mut tiles = Vec::new();
    for row in rows {
        let mut pictures = vec![row.photo.clone(), colourise(&row.truth, classes)];
        for map in std::iter::once(&row.prediction).chain(row.refined.as_ref().map(|refined| &refined.0)) {
            pictures.extend([colourise(map, classes), overlay(&row.photo, map, classes)?]);
        }
        tiles.push(pictures.iter().map(|picture| fitted(picture, TILE)).collect::<Vec<_>>());
    }
    let columns = tiles.iter().map(Vec::len).max().unwrap_or(4);
    let row_height = |tiles: &[RgbImage]| tiles.iter().map(|t| t.height).max().unwrap_or(0) + CAPTION + GAP;
    let height = TOP + tiles.iter().map(|tiles| row_height(tiles)).sum::<usize>();
    let mut canvas = Canvas::new(Size::new(columns * (TILE + GAP) + GAP, height), [255; 3]);
    canvas.text(GAP as i64, 8, Font::LARGE, INK, title);
    for (i, heading) in SHEET_HEADINGS.iter().take(columns).enumerate() {
        canvas.text((GAP + i * (TILE + GAP)) as i64, 40, Font::SMALL, INK, heading);
    }
    let mut y = TOP;
    for (row, tiles) in rows.iter().zip(&tiles) {
        let share = |miou: Option<f64>| miou.map_or("n/a".to_string(), |v| format!("{v:.3}"));
        let mut caption = format!("{}  mIoU {}", row.name, share(row.miou));
        if let Some((_, miou)) = &row.refined {
            caption += &format!(", after the CRF {}", share(*miou));
        }
        canvas.text(GAP as i64, y as i64, Font::SMALL, INK, &caption);
        for (i, tile) in tiles.iter().enumerate() {
            canvas.place(tile, GAP + i * (TILE + GAP), y + CAPTION - 2);
        }
        y += row_height(tiles);
    }
    let maps: Vec<&LabelMap> = (rows.iter())
        .flat_map(|row| [Some(&row.truth), Some(&row.prediction), row.refined.as_ref().map(|refined| &refined.0)])
        .flatten()
        .collect();
    Ok(with_legend(&canvas.into_image(), &maps, classes))
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
    }
}
