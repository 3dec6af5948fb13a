//! Pictures for people: label maps in colour, overlays with a legend, contact sheets, confusion matrices and curves.
//!
//! Label maps that programs read back are index PNGs (see [`crate::image`]); everything here is for looking at. All
//! drawing is this crate's own, down to the font, so that a run needs nothing but the binary to show its results.

pub mod canvas;
pub mod chart;
pub mod font;
pub mod heatmap;

use crate::error::{Error, Result};
use crate::image::RgbImage;
use crate::labels::{Classes, LabelMap, VOID, voc_colour};
use canvas::{Canvas, Rgb, blend};

/// Share of the class colour in an overlay; the rest is the photograph.
pub const OVERLAY_SHARE: f32 = 0.55;

/// The colour of an id: that of its class, VOC's void colour for everything that is no class.
pub fn colour_of(id: u8, classes: &Classes) -> Rgb {
    classes.palette.get(usize::from(id)).copied().unwrap_or(voc_colour(VOID))
}

/// The label map in the colours of its classes.
pub fn colourise(map: &LabelMap, classes: &Classes) -> RgbImage {
    let table: Vec<Rgb> = (0..=255).map(|id| colour_of(id, classes)).collect();
    let rgb_hwc = map.ids.iter().flat_map(|&id| table[usize::from(id)]).collect();
    RgbImage { width: map.width, height: map.height, rgb_hwc }
}

/// The photograph with the classes laid over it: [`OVERLAY_SHARE`] of the class colour inside, the full colour along
/// contours. A black class (the background of most lists) and void leave the photograph as it is.
///
/// Fails when the two differ in size.
pub fn overlay(photo: &RgbImage, map: &LabelMap, classes: &Classes) -> Result<RgbImage> {
    if (photo.width, photo.height) != (map.width, map.height) {
        return Err(Error::data(format!(
            "the label map is {}x{} and the photograph {}x{}",
            map.width, map.height, photo.width, photo.height
        )));
    }
    let mut out = photo.clone();
    for (i, pixel) in out.rgb_hwc.chunks_exact_mut(3).enumerate() {
        let id = map.ids[i];
        let colour = colour_of(id, classes);
        if id == VOID || colour == [0; 3] {
            continue;
        }
        let differs = |other: Option<usize>| other.is_some_and(|j| map.ids[j] != id);
        let x = i % map.width;
        let contour = differs((x > 0).then(|| i - 1))
            || differs((x + 1 < map.width).then_some(i + 1))
            || differs(i.checked_sub(map.width))
            || differs((i + map.width < map.ids.len()).then_some(i + map.width));
        let share = if contour { 1.0 } else { OVERLAY_SHARE };
        pixel.copy_from_slice(&blend([pixel[0], pixel[1], pixel[2]], colour, share));
    }
    Ok(out)
}

/// The picture with a legend below: a colour field and the name of each class in `maps`, the most frequent first. The
/// result is wider than the picture where a name needs more room.
pub fn with_legend(picture: &RgbImage, maps: &[&LabelMap], classes: &Classes) -> RgbImage {
    let scale = (picture.width / 400).clamp(1, 4);
    let entries = legend_entries(maps, classes);
    let entry_width = |name: &str| (14 + font::width(name) + 10) * scale;
    let width = entries.iter().map(|(_, name)| entry_width(name)).max().unwrap_or(0).max(picture.width);
    let line = 12 * scale;
    let mut rows: Vec<Vec<&(Rgb, String)>> = Vec::new();
    let mut used = width;
    for entry in &entries {
        if used + entry_width(&entry.1) > width {
            rows.push(Vec::new());
            used = 0;
        }
        used += entry_width(&entry.1);
        rows.last_mut().into_iter().for_each(|row| row.push(entry));
    }
    let mut canvas = Canvas::new(width, picture.height + rows.len() * line + 2 * scale, [255; 3]);
    canvas.place(picture, 0, 0);
    for (i, row) in rows.iter().enumerate() {
        let y = (picture.height + i * line + 3 * scale) as i64;
        let mut x = 3 * scale as i64;
        for (colour, name) in row {
            canvas.fill(x, y, 9 * scale, 7 * scale, *colour);
            canvas.frame(x, y, 9 * scale, 7 * scale, [90; 3]);
            canvas.text(x + 12 * scale as i64, y, scale, [20; 3], name);
            x += entry_width(name) as i64;
        }
    }
    canvas.into_image()
}

/// Colour and name of each id that occurs, the most frequent first, equal ones by id.
fn legend_entries(maps: &[&LabelMap], classes: &Classes) -> Vec<(Rgb, String)> {
    let mut pixels = [0u64; 256];
    maps.iter().flat_map(|map| &map.ids).for_each(|&id| pixels[usize::from(id)] += 1);
    let mut ids: Vec<u8> = (0..=255).filter(|&id| pixels[usize::from(id)] > 0).collect();
    ids.sort_by_key(|&id| std::cmp::Reverse(pixels[usize::from(id)]));
    let name = |id: u8| match classes.names.get(usize::from(id)) {
        Some(name) => name.chars().take(40).collect(),
        None if id == VOID => "void".to_string(),
        None => format!("id {id}"),
    };
    ids.into_iter().map(|id| (colour_of(id, classes), name(id))).collect()
}

/// Columns of a contact sheet, the last two only where there is a CRF.
const SHEET_HEADINGS: [&str; 6] =
    ["photograph", "annotation", "prediction", "overlay", "after the CRF", "overlay after the CRF"];

/// Two overlays of one photograph beside each other, with their captions above and one legend below: the network's own
/// label map on the left, what the CRF makes of it on the right.
///
/// Fails when a map differs in size from the photograph.
pub fn overlay_pair(photo: &RgbImage, raw: &LabelMap, refined: &LabelMap, classes: &Classes) -> Result<RgbImage> {
    let scale = (2 * photo.width / 400).clamp(1, 4);
    let (gap, caption) = (6 * scale, 12 * scale);
    let mut canvas = Canvas::new(2 * photo.width + gap, photo.height + caption, [255; 3]);
    for (i, (map, text)) in [(raw, "prediction"), (refined, "after the CRF")].into_iter().enumerate() {
        let x = i * (photo.width + gap);
        canvas.text((x + scale) as i64, 2 * scale as i64, scale, [20; 3], text);
        canvas.place(&overlay(photo, map, classes)?, x, caption);
    }
    Ok(with_legend(&canvas.into_image(), &[raw, refined], classes))
}

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
    const TILE: usize = 220;
    const GAP: usize = 6;
    const CAPTION: usize = 14;
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
    let height = 40 + tiles.iter().map(|tiles| row_height(tiles)).sum::<usize>();
    let mut canvas = Canvas::new(columns * (TILE + GAP) + GAP, height, [255; 3]);
    canvas.text(GAP as i64, 6, 2, INK, title);
    for (i, heading) in SHEET_HEADINGS.iter().take(columns).enumerate() {
        canvas.text((GAP + i * (TILE + GAP)) as i64, 28, 1, INK, heading);
    }
    let mut y = 40;
    for (row, tiles) in rows.iter().zip(&tiles) {
        let share = |miou: Option<f64>| miou.map_or("n/a".to_string(), |v| format!("{v:.3}"));
        let mut caption = format!("{}  mIoU {}", row.name, share(row.miou));
        if let Some((_, miou)) = &row.refined {
            caption += &format!(", after the CRF {}", share(*miou));
        }
        canvas.text(GAP as i64, y as i64, 1, INK, &caption);
        for (i, tile) in tiles.iter().enumerate() {
            canvas.place(tile, GAP + i * (TILE + GAP), y + CAPTION - 4);
        }
        y += row_height(tiles);
    }
    let maps: Vec<&LabelMap> = (rows.iter())
        .flat_map(|row| [Some(&row.truth), Some(&row.prediction), row.refined.as_ref().map(|refined| &refined.0)])
        .flatten()
        .collect();
    Ok(with_legend(&canvas.into_image(), &maps, classes))
}

/// The picture shrunk to fit a square of `side` pixels, each pixel the mean of those it covers; never enlarged.
pub fn fitted(picture: &RgbImage, side: usize) -> RgbImage {
    let longest = picture.width.max(picture.height);
    if longest <= side {
        return picture.clone();
    }
    let (width, height) = ((picture.width * side / longest).max(1), (picture.height * side / longest).max(1));
    let mut rgb_hwc = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let rows = y * picture.height / height..((y + 1) * picture.height).div_ceil(height);
        for x in 0..width {
            let columns = x * picture.width / width..((x + 1) * picture.width).div_ceil(width);
            let mut sum = [0u64; 3];
            for v in rows.clone() {
                for u in columns.clone() {
                    let i = (v * picture.width + u) * 3;
                    (0..3).for_each(|c| sum[c] += u64::from(picture.rgb_hwc[i + c]));
                }
            }
            let n = (rows.len() * columns.len()) as u64;
            rgb_hwc.extend(sum.map(|s| ((s + n / 2) / n) as u8));
        }
    }
    RgbImage { width, height, rgb_hwc }
}

/// The picture as it is, or shrunk to what a JPEG can hold: 65,535 pixels a side.
pub fn for_jpeg(picture: RgbImage) -> RgbImage {
    const MAX_SIDE: usize = 65_000;
    if picture.width.max(picture.height) > MAX_SIDE { fitted(&picture, MAX_SIDE) } else { picture }
}

/// A sample id as a part of a file name: everything that could leave the folder or confuse a shell is written `%XX`,
/// so that two ids never share a file.
pub fn file_stem(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for c in id.chars() {
        let plain = c.is_alphanumeric() || matches!(c, '-' | '_' | ' ' | '+' | '(' | ')' | '.');
        if plain && !(out.is_empty() && c == '.') {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|b| out.push_str(&format!("%{b:02X}")));
        }
    }
    out
}

/// What a picture of a validation shows; also its place in a row of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PictureKind {
    /// The photograph.
    Photo,
    /// The truth, as an index PNG.
    Annotation,
    /// The network's label map, as an index PNG.
    Prediction,
    /// The label map after the dense CRF, as an index PNG.
    PredictionCrf,
    /// Photograph, prediction and legend in one; the CRF's result beside the raw one where there is a CRF.
    Overlay,
}

impl PictureKind {
    const ALL: [PictureKind; 5] = [
        PictureKind::Photo,
        PictureKind::Annotation,
        PictureKind::Prediction,
        PictureKind::PredictionCrf,
        PictureKind::Overlay,
    ];

    /// End of the file name and extension.
    fn suffix(self) -> (&'static str, &'static str) {
        match self {
            PictureKind::Photo => ("img", "jpg"),
            PictureKind::Annotation => ("annotation", "png"),
            PictureKind::Prediction => ("prediction", "png"),
            PictureKind::PredictionCrf => ("prediction_crfed", "png"),
            PictureKind::Overlay => ("overlay", "jpg"),
        }
    }

    /// Whether the picture is a label map.
    pub fn is_mask(self) -> bool {
        self.suffix().1 == "png"
    }

    /// A word for people.
    pub fn caption(self) -> &'static str {
        match self {
            PictureKind::Photo => "photograph",
            PictureKind::Annotation => "annotation",
            PictureKind::Prediction => "prediction",
            PictureKind::PredictionCrf => "prediction after the CRF",
            PictureKind::Overlay => "overlay",
        }
    }

    /// The file's name in the folder `pictures` of a run: `val_<step>_<id>_<kind>.<extension>`.
    pub fn file_name(self, step: u64, id: &str) -> String {
        let (suffix, extension) = self.suffix();
        format!("val_{step}_{}_{suffix}.{extension}", file_stem(id))
    }

    /// Step, id as in the file name, and kind of a file that [`file_name`](Self::file_name) named.
    pub fn parse(file_name: &str) -> Option<(u64, String, PictureKind)> {
        let (step, rest) = file_name.strip_prefix("val_")?.split_once('_')?;
        PictureKind::ALL.into_iter().find_map(|kind| {
            let (suffix, extension) = kind.suffix();
            let name = rest.strip_suffix(extension)?.strip_suffix('.')?.strip_suffix(suffix)?.strip_suffix('_')?;
            Some((step.parse().ok()?, name.to_string(), kind))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_names_are_read_back() {
        for kind in PictureKind::ALL {
            for id in ["2007_000033", "a_prediction", "x", "dots.and_img"] {
                let name = kind.file_name(1400, id);
                assert_eq!(PictureKind::parse(&name), Some((1400, id.to_string(), kind)), "{name}");
            }
        }
        for name in ["val_x_a_img.jpg", "val_1_img.jpg", "contact_sheet_200.jpg", "val_1_a_img.gif", ""] {
            assert_eq!(PictureKind::parse(name), None, "{name}");
        }
    }

    fn grey(width: usize, height: usize, value: u8) -> RgbImage {
        RgbImage { width, height, rgb_hwc: vec![value; width * height * 3] }
    }

    fn pixel(image: &RgbImage, x: usize, y: usize) -> Rgb {
        let i = (y * image.width + x) * 3;
        [image.rgb_hwc[i], image.rgb_hwc[i + 1], image.rgb_hwc[i + 2]]
    }

    #[test]
    fn an_overlay_keeps_background_and_void_and_draws_contours_in_full_colour() {
        let mut map = LabelMap::filled(7, 5, 0);
        (0..5).for_each(|y| (2..7).for_each(|x| map.ids[y * 7 + x] = 15));
        map.ids[0] = VOID;
        let out = overlay(&grey(7, 5, 100), &map, &Classes::voc()).unwrap();
        assert_eq!(pixel(&out, 0, 0), [100; 3], "void");
        assert_eq!(pixel(&out, 1, 2), [100; 3], "background");
        assert_eq!(pixel(&out, 2, 2), voc_colour(15), "contour");
        assert_eq!(pixel(&out, 5, 2), blend([100; 3], voc_colour(15), OVERLAY_SHARE), "inside");
        assert!(overlay(&grey(5, 7, 0), &map, &Classes::voc()).is_err());
    }

    #[test]
    fn a_legend_names_what_occurs_by_frequency() {
        let mut map = LabelMap::filled(10, 10, 8);
        map.ids[0] = 0;
        map.ids[1] = VOID;
        map.ids[2] = 30;
        map.ids[3] = 0;
        let names: Vec<String> = legend_entries(&[&map], &Classes::voc()).into_iter().map(|e| e.1).collect();
        assert_eq!(names, ["cat", "background", "id 30", "void"]);
        for (width, height) in [(1, 1), (10, 10), (900, 20), (3000, 2)] {
            let map = LabelMap::filled(width, height, 12);
            let out = with_legend(&grey(width, height, 7), &[&map], &Classes::voc());
            assert!(out.width >= width && out.height > height, "{width}x{height}");
            assert_eq!(pixel(&out, 0, 0), [7; 3]);
            assert!(out.rgb_hwc.chunks(3).any(|p| p == voc_colour(12)), "{width}x{height}");
        }
    }

    #[test]
    fn the_overlays_of_both_results_stand_beside_each_other() {
        for (width, height) in [(1, 1), (30, 20), (900, 20)] {
            let (raw, refined) = (LabelMap::filled(width, height, 1), LabelMap::filled(width, height, 2));
            let out = overlay_pair(&grey(width, height, 100), &raw, &refined, &Classes::voc()).unwrap();
            let blended = |id| blend([100; 3], voc_colour(id), OVERLAY_SHARE);
            let side = |x: std::ops::Range<usize>, colour: Rgb| {
                (0..out.height)
                    .flat_map(|y| x.clone().map(move |x| (x, y)))
                    .filter(|&(x, y)| pixel(&out, x, y) == colour)
                    .count()
            };
            assert_eq!(side(0..width, blended(1)), width * height, "{width}x{height}");
            assert_eq!(
                side(width + 1..(2 * width + 24).min(out.width), blended(2)),
                width * height,
                "{width}x{height}"
            );
        }
        assert!(
            overlay_pair(&grey(3, 3, 0), &LabelMap::filled(3, 3, 1), &LabelMap::filled(3, 2, 1), &Classes::voc())
                .is_err()
        );
    }

    #[test]
    fn a_contact_sheet_takes_images_of_any_size() {
        let rows: Vec<SheetRow> = [(1, 1), (500, 375), (30, 900)]
            .map(|(w, h)| SheetRow {
                name: format!("{w}x{h}"),
                photo: grey(w, h, 50),
                truth: LabelMap::filled(w, h, 1),
                prediction: LabelMap::filled(w, h, 2),
                miou: Some(0.0),
                refined: (w == 500).then(|| (LabelMap::filled(w, h, 3), None)),
            })
            .into();
        let sheet = contact_sheet("step 200", &rows, &Classes::voc()).unwrap();
        assert_eq!(sheet.rgb_hwc.len(), sheet.width * sheet.height * 3);
        let without: Vec<SheetRow> = rows.iter().map(|row| SheetRow { refined: None, ..row.clone() }).collect();
        assert!(contact_sheet("step 200", &without, &Classes::voc()).unwrap().width < sheet.width);
        contact_sheet("empty", &[], &Classes::voc()).unwrap();
    }

    #[test]
    fn shrinking_averages() {
        let picture = RgbImage { width: 4, height: 2, rgb_hwc: (0..24).map(|i| (i / 3 * 10) as u8).collect() };
        let out = fitted(&picture, 2);
        assert_eq!((out.width, out.height), (2, 1));
        assert_eq!(out.rgb_hwc, [25, 25, 25, 45, 45, 45]);
        assert_eq!(fitted(&picture, 9), picture);
    }

    #[test]
    fn file_stems_stay_in_the_folder_and_never_meet() {
        for (id, stem) in [
            ("2007_000033", "2007_000033"),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            ("../x", "%2E.%2Fx"),
            ("x\ny", "x%0Ay"),
            ("größe 1", "größe 1"),
        ] {
            assert_eq!(file_stem(id), stem);
        }
    }
}
