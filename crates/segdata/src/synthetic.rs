//! A small data set that the program draws itself, in the layout of PASCAL VOC: something to train on where no data
//! is at hand, and the ground of a quick start.
//!
//! Each photograph shows three to five textured shapes of different classes, one over the other, on a mottled ground.
//! Hues of neighbouring classes overlap and the light changes from one picture to the next, so that a class is recognised
//! by its outline and texture as much as by its colour. Where two labels meet, a border a few pixels wide is void, as in
//! VOC. Everything is a function of the seed and the number of the image, whatever the number of threads.

use std::f32::consts::TAU;
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::image::{RgbImage, encode_mask_png};
use crate::labels::{Classes, LabelMap, VOID};
use crate::rng::{Purpose, Rng};

/// The classes that are drawn, background first; the colours are those of VOC's colour map.
pub const NAMES: [&str; 6] = ["background", "disc", "square", "triangle", "star", "cross"];

/// Shortest and longest side of a photograph, in pixels.
const SIDES_PX: (usize, usize) = (160, 224);

/// Pixels nearer than this to another label are void: both sides together give VOC's border of about 5 pixels.
const BORDER_PX: i32 = 2;

/// Quality of the photographs' JPEGs, 1 to 100: what cameras use.
const JPEG_QUALITY: u8 = 90;

/// What to draw.
#[derive(Clone, Copy, Debug)]
pub struct DrawOptions {
    /// Another seed gives another set.
    pub seed: u64,
    /// Photographs in `train.txt`.
    pub train: usize,
    /// Photographs in `val.txt`; none is in `train.txt`.
    pub val: usize,
}

impl Default for DrawOptions {
    /// 400 to train on, so that a few hundred small batches see each only a dozen times, and 60 to hold out.
    fn default() -> Self {
        DrawOptions { seed: 0, train: 400, val: 60 }
    }
}

/// Draws the set into `out`: `JPEGImages/`, `SegmentationClass/`, `ImageSets/Segmentation/{train,val}.txt` and
/// `classes.txt`. Files of the same names are overwritten; the lists are written last.
///
/// # Errors
/// When a file or folder cannot be written.
pub fn draw_dataset(out: &Path, options: &DrawOptions) -> Result<()> {
    let classes = Classes::named(NAMES);
    let photographs = out.join("JPEGImages");
    let masks = out.join("SegmentationClass");
    let lists = out.join("ImageSets").join("Segmentation");
    for dir in [&photographs, &masks, &lists] {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("create the folder", dir, &e))?;
    }
    (0..options.train + options.val).into_par_iter().try_for_each(|index| {
        let (photograph, mask) = draw_scene(options.seed, index);
        write(&photographs.join(id(index) + ".jpg"), &photograph.to_jpeg(JPEG_QUALITY)?)?;
        write(&masks.join(id(index) + ".png"), &encode_mask_png(&mask, &classes)?)
    })?;
    write(&out.join("classes.txt"), classes.to_text().as_bytes())?;
    for (split, range) in [("train", 0..options.train), ("val", options.train..options.train + options.val)] {
        let ids: String = range.map(|index| id(index) + "\n").collect();
        write(&lists.join(format!("{split}.txt")), ids.as_bytes())?;
    }
    Ok(())
}

fn id(index: usize) -> String {
    format!("drawn_{index:05}")
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|e| Error::io("write the file", path, &e))
}

/// Draws photograph `index` of the set with this `seed`, and its mask with the void border.
pub fn draw_scene(seed: u64, index: usize) -> (RgbImage, LabelMap) {
    let mut rng = Rng::derive(seed, Purpose::Draw, &[index as u64]);
    let side = |rng: &mut Rng| SIDES_PX.0 + rng.below(SIDES_PX.1 - SIDES_PX.0 + 1);
    let (width, height) = (side(&mut rng), side(&mut rng));
    let ground = Ground::random(&mut rng, width, height);
    let shapes = random_shapes(&mut rng, width, height);
    let light = (rng.between(-0.25, 0.25), rng.between(-0.25, 0.25)); // brighter by this share from edge to edge
    let mut rgb_hwc = Vec::with_capacity(width * height * 3);
    let mut ids = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
            let at = |px, py| shapes.iter().rev().find(|shape| shape.covers(px, py));
            let colour = |px, py| at(px, py).map_or_else(|| ground.colour(px, py), |shape| shape.colour(px, py));
            // Four samples a pixel soften the outlines; the label is that of the pixel's centre.
            let four =
                [(-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)].map(|(i, j)| colour(px + i, py + j));
            let shade = 1.0 + light.0 * (px / width as f32 - 0.5) + light.1 * (py / height as f32 - 0.5);
            for channel in 0..3 {
                let mean = four.iter().map(|c| c[channel]).sum::<f32>() / 4.0;
                let grain = rng.between(-5.0, 5.0);
                rgb_hwc.push((mean * shade * 255.0 + grain).clamp(0.0, 255.0) as u8);
            }
            ids.push(at(px, py).map_or(0, |shape| shape.class));
        }
    }
    let mask = with_void_border(&LabelMap { width, height, ids });
    (RgbImage { width, height, rgb_hwc }, mask)
}

/// One shape of one class, in its own turned frame.
struct Shape {
    class: u8,
    centre: (f32, f32),
    radius_px: f32,
    /// Cosine and sine of the turn.
    turn: (f32, f32),
    /// The two tones of the texture.
    tones: [[f32; 3]; 2],
    /// Period of the texture.
    pitch_px: f32,
}

/// Three to five shapes of different classes, the last one on top.
fn random_shapes(rng: &mut Rng, width: usize, height: usize) -> Vec<Shape> {
    let mut classes: Vec<u8> = (1..NAMES.len() as u8).collect();
    rng.shuffle(&mut classes);
    let count = 3 + rng.below(3);
    let (w, h) = (width as f32, height as f32);
    classes[..count]
        .iter()
        .map(|&class| {
            let angle = rng.between(0.0, TAU);
            let hue = (f32::from(class) - 1.0) / 5.0 + rng.between(-0.12, 0.12);
            let (saturation, value) = (rng.between(0.45, 0.85), rng.between(0.65, 0.95));
            Shape {
                class,
                centre: (w * rng.between(0.08, 0.92), h * rng.between(0.08, 0.92)),
                radius_px: w.min(h) * rng.between(0.17, 0.29),
                turn: (angle.cos(), angle.sin()),
                tones: [from_hsv(hue, saturation, value), from_hsv(hue, saturation, value * rng.between(0.45, 0.65))],
                pitch_px: rng.between(6.0, 10.0),
            }
        })
        .collect()
}

impl Shape {
    /// Position in the turned frame, in pixels from the centre.
    fn local(&self, x: f32, y: f32) -> (f32, f32) {
        let (dx, dy) = (x - self.centre.0, y - self.centre.1);
        (dx * self.turn.0 + dy * self.turn.1, dy * self.turn.0 - dx * self.turn.1)
    }

    fn covers(&self, x: f32, y: f32) -> bool {
        let (u, v) = self.local(x, y);
        let (u, v) = (u / self.radius_px, v / self.radius_px);
        if u * u + v * v > 2.25 {
            return false; // no outline reaches beyond 1.5 radii, and most pixels are out there
        }
        match self.class {
            1 => u * u + v * v < 1.0,
            2 => u.abs().max(v.abs()) < 0.85,
            // Inradius 0.6: three half planes at 120 degrees.
            3 => (-v).max(0.866 * u + 0.5 * v).max(-0.866 * u + 0.5 * v) < 0.6,
            4 => in_star(u, v),
            _ => u.abs().min(v.abs()) < 0.38 && u.abs().max(v.abs()) < 1.05,
        }
    }

    /// The texture: dots, checks, stripes, rings or bricks in two tones, by class.
    fn colour(&self, x: f32, y: f32) -> [f32; 3] {
        let (u, v) = self.local(x, y);
        let (p, q) = (u / self.pitch_px, v / self.pitch_px);
        let odd = |t: f32| (t.floor() as i32).rem_euclid(2) == 1;
        let centred = |t: f32| t - t.floor() - 0.5;
        let second = match self.class {
            1 => centred(p).powi(2) + centred(q).powi(2) < 0.11,
            2 => odd(p) != odd(q),
            3 => odd(p * 1.4),
            4 => odd((p * p + q * q).sqrt() * 1.4),
            _ => centred(q).abs() > 0.36 || centred(p / 2.0 + if odd(q) { 0.5 } else { 0.0 }).abs() > 0.42,
        };
        self.tones[usize::from(second)]
    }
}

/// Whether a point is in a five-pointed star with tips at 1.2 and notches at 0.6 of the radius.
fn in_star(u: f32, v: f32) -> bool {
    const TIP: f32 = 1.2;
    const NOTCH: f32 = 0.6;
    let fold = TAU / 5.0;
    let angle = v.atan2(u).rem_euclid(fold);
    let angle = angle.min(fold - angle); // 0 at a tip, 36 degrees at a notch
    let radius = (u * u + v * v).sqrt();
    let (x, y) = (radius * angle.cos(), radius * angle.sin());
    let (notch_x, notch_y) = (NOTCH * (fold / 2.0).cos(), NOTCH * (fold / 2.0).sin());
    (notch_x - TIP) * y - notch_y * (x - TIP) > 0.0
}

/// The ground: two pale tones mixed by smooth noise.
struct Ground {
    tones: [[f32; 3]; 2],
    coarse: Noise,
    fine: Noise,
}

impl Ground {
    fn random(rng: &mut Rng, width: usize, height: usize) -> Self {
        let mut tone = |value| from_hsv(rng.uniform(), rng.between(0.05, 0.35), value + rng.between(-0.15, 0.15));
        let tones = [tone(0.35), tone(0.7)];
        let cell_px = rng.between(24.0, 48.0);
        Ground {
            tones,
            coarse: Noise::random(rng, width, height, cell_px),
            fine: Noise::random(rng, width, height, 5.0),
        }
    }

    fn colour(&self, x: f32, y: f32) -> [f32; 3] {
        let mix = (0.75 * self.coarse.at(x, y) + 0.25 * self.fine.at(x, y)).clamp(0.0, 1.0);
        std::array::from_fn(|channel| self.tones[0][channel] * (1.0 - mix) + self.tones[1][channel] * mix)
    }
}

/// Value noise: uniform values on a lattice, between them a smooth mixture; in `[0, 1)`.
struct Noise {
    cell_px: f32,
    columns: usize,
    values: Vec<f32>,
}

impl Noise {
    fn random(rng: &mut Rng, width: usize, height: usize, cell_px: f32) -> Self {
        let cells = |extent: usize| (extent as f32 / cell_px) as usize + 2;
        let (columns, rows) = (cells(width), cells(height));
        Noise { cell_px, columns, values: (0..columns * rows).map(|_| rng.uniform()).collect() }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        let (gx, gy) = (x.max(0.0) / self.cell_px, y.max(0.0) / self.cell_px);
        let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
        let (tx, ty) = (smooth(gx.fract()), smooth(gy.fract()));
        let corner = gy as usize * self.columns + gx as usize;
        let row = |from: usize| self.values[from] * (1.0 - tx) + self.values[from + 1] * tx;
        row(corner) * (1.0 - ty) + row(corner + self.columns) * ty
    }
}

/// Red, green and blue in `[0, 1]` from hue (in turns, any), saturation and value in `[0, 1]`.
fn from_hsv(hue: f32, saturation: f32, value: f32) -> [f32; 3] {
    [5.0, 3.0, 1.0].map(|n: f32| {
        let k = (n + hue.rem_euclid(1.0) * 6.0).rem_euclid(6.0);
        value * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0))
    })
}

/// The mask with every pixel void that lies within [`BORDER_PX`] of a pixel of another class.
fn with_void_border(mask: &LabelMap) -> LabelMap {
    let (w, h) = (mask.width as i32, mask.height as i32);
    let near: Vec<(i32, i32)> = (-BORDER_PX..=BORDER_PX)
        .flat_map(|dy| (-BORDER_PX..=BORDER_PX).map(move |dx| (dx, dy)))
        .filter(|(dx, dy)| dx * dx + dy * dy <= BORDER_PX * BORDER_PX + 1)
        .collect();
    let id = |x: i32, y: i32| mask.ids[(y * w + x) as usize];
    let ids = (0..h)
        .flat_map(|y| (0..w).map(move |x| (x, y)))
        .map(|(x, y)| {
            let meets_another = near.iter().any(|(dx, dy)| {
                let (nx, ny) = (x + dx, y + dy);
                (0..w).contains(&nx) && (0..h).contains(&ny) && id(nx, ny) != id(x, y)
            });
            if meets_another { VOID } else { id(x, y) }
        })
        .collect();
    LabelMap { ids, ..*mask }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_depends_on_seed_and_index_alone() {
        let scene = |seed, index| draw_scene(seed, index).0;
        assert_eq!(scene(3, 5), scene(3, 5));
        assert_ne!(scene(3, 5), scene(4, 5));
        assert_ne!(scene(3, 5), scene(3, 6));
    }

    #[test]
    fn every_class_is_drawn_often_and_the_void_share_is_small() {
        let mut pixels = [0u64; 256];
        for index in 0..40 {
            let (photograph, mask) = draw_scene(0, index);
            assert_eq!((photograph.width, photograph.height), (mask.width, mask.height));
            assert_eq!(photograph.rgb_hwc.len(), 3 * mask.ids.len());
            assert!((SIDES_PX.0..=SIDES_PX.1).contains(&mask.width), "{}", mask.width);
            mask.ids.iter().for_each(|&id| pixels[usize::from(id)] += 1);
        }
        let total = pixels.iter().sum::<u64>() as f64;
        let share = |id: usize| pixels[id] as f64 / total;
        for (class, name) in NAMES.iter().enumerate() {
            assert!(share(class) > 0.02, "{name}: {:.3} of all pixels", share(class));
        }
        let void = share(usize::from(VOID));
        assert!((0.01..0.15).contains(&void), "void: {void:.3} of all pixels");
        assert!(pixels[NAMES.len()..255].iter().all(|&n| n == 0), "ids beyond the classes");
    }

    #[test]
    fn labels_never_touch_without_void_between_them() {
        let (_, mask) = draw_scene(1, 0);
        for y in 0..mask.height {
            for x in 1..mask.width {
                let (left, here) = (mask.ids[y * mask.width + x - 1], mask.ids[y * mask.width + x]);
                assert!(left == here || left == VOID || here == VOID, "{left} beside {here} at {x}, {y}");
            }
        }
    }

    #[test]
    fn the_set_is_the_same_bytes_for_any_number_of_threads() {
        let options = DrawOptions { seed: 2, train: 5, val: 2 };
        let drawn = |threads: usize| {
            let dir = tempfile::tempdir().unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| draw_dataset(dir.path(), &options)).unwrap();
            let read = |path: &str| std::fs::read(dir.path().join(path)).unwrap();
            let files = ["JPEGImages/drawn_00003.jpg", "SegmentationClass/drawn_00006.png", "classes.txt"];
            let lists = ["ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/val.txt"];
            files.iter().chain(&lists).map(|path| read(path)).collect::<Vec<_>>()
        };
        let one = drawn(1);
        assert_eq!(one, drawn(4));
        assert_eq!(String::from_utf8_lossy(&one[4]), "drawn_00005\ndrawn_00006\n");
        assert!(String::from_utf8_lossy(&one[2]).starts_with("0 background 0 0 0\n1 disc 128 0 0\n"));
    }

    #[test]
    fn hues_are_the_primaries_where_they_should_be() {
        for (hue, rgb) in [(0.0, [1.0, 0.0, 0.0]), (1.0 / 3.0, [0.0, 1.0, 0.0]), (-1.0 / 3.0, [0.0, 0.0, 1.0])] {
            let found = from_hsv(hue, 1.0, 1.0);
            assert!(found.iter().zip(rgb).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-5), "{hue}: {found:?}");
        }
    }
}
