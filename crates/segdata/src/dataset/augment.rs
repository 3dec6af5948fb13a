//! One random draw scales, crops and mirrors image and mask together.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::sample::Sample;
use crate::error::{Error, Result};
use crate::image::preprocessing::Normaliser;
use crate::labels::VOID;
use crate::rng::Rng;
use crate::size::Size;

/// What may be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AugmentOptions {
    /// Side of the square crop in pixels.
    pub crop: usize,
    /// Smallest factor on the image's sides.
    pub scale_min: f32,
    /// Largest factor on the image's sides.
    pub scale_max: f32,
    /// Whether half of the crops are mirrored.
    pub flip: bool,
}

/// One draw: where a crop lies in the scaled image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CropWindow {
    /// Size of the scaled image in pixels.
    pub scaled: Size,
    /// Left and top of the crop in the scaled image; negative where the image is smaller than the crop.
    pub origin: [isize; 2],
    /// Whether columns are mirrored.
    pub mirrored: bool,
}

impl CropWindow {
    /// Draws a window for an image of this size. A smaller image lies anywhere inside the crop.
    pub fn draw(size: Size, options: &AugmentOptions, rng: &mut Rng) -> Self {
        let scale = f64::from(rng.between(options.scale_min, options.scale_max));
        let side = |side: usize| ((side as f64 * scale).round() as usize).max(1);
        let scaled = Size::new(side(size.width), side(size.height));
        let origin = [scaled.width, scaled.height].map(|side| match side >= options.crop {
            true => rng.below(side - options.crop + 1) as isize,
            false => -(rng.below(options.crop - side + 1) as isize),
        });
        CropWindow { scaled, origin, mirrored: options.flip && rng.next_u64() & 1 == 1 }
    }
}

/// The part of the crop that shows the image, along one axis: in crop coordinates and in scaled coordinates.
struct Visible {
    crop_start: usize,
    scaled_start: usize,
    len: usize,
}

fn visible(origin: isize, scaled: usize, crop: usize) -> Visible {
    let crop_start = origin.min(0).unsigned_abs();
    let scaled_start = origin.max(0) as usize;
    Visible { crop_start, scaled_start, len: (scaled - scaled_start).min(crop - crop_start) }
}

/// Cuts crops out of samples; keeps its buffers from one to the next.
pub(super) struct Cropper {
    crop: usize,
    normaliser: Normaliser,
    resizer: Resizer,
}

impl Cropper {
    /// For square crops of `crop` pixels in the convention of `normaliser`.
    pub fn new(crop: usize, normaliser: Normaliser) -> Self {
        Cropper { crop, normaliser, resizer: Resizer::new() }
    }

    /// Writes one crop: `chw` is `[3, crop, crop]`, zero (the mean colour) where the image does not reach; `labels` is
    /// `[crop, crop]`, void there. Colours are interpolated bilinearly, with support widened when shrinking; ids are
    /// those of the nearest pixel.
    ///
    /// # Errors
    /// A sample whose buffers do not have the size it claims.
    pub fn cut(&mut self, sample: &Sample, window: &CropWindow, chw: &mut [f32], labels: &mut [u8]) -> Result<()> {
        let crop = self.crop;
        let image = &sample.image;
        let (x, y) = (
            visible(window.origin[0], window.scaled.width, crop),
            visible(window.origin[1], window.scaled.height, crop),
        );
        let ratio =
            [image.width as f64 / window.scaled.width as f64, image.height as f64 / window.scaled.height as f64];

        chw.fill(0.0);
        let mut pixels = self.resized(sample, [&x, &y], ratio)?;
        if window.mirrored {
            pixels.chunks_exact_mut(x.len * 3).for_each(mirror_rgb);
        }
        let left = if window.mirrored { crop - x.crop_start - x.len } else { x.crop_start };
        for (row, pixels) in pixels.chunks_exact(x.len * 3).enumerate() {
            self.normaliser.write(pixels, chw, crop * crop, (y.crop_start + row) * crop + left);
        }

        labels.fill(VOID);
        let columns: Vec<usize> = (0..x.len).map(|i| nearest(x.scaled_start + i, ratio[0], image.width)).collect();
        for row in 0..y.len {
            let source = &sample.labels.ids[nearest(y.scaled_start + row, ratio[1], image.height) * image.width..];
            let out = &mut labels[(y.crop_start + row) * crop + left..][..x.len];
            out.iter_mut().zip(&columns).for_each(|(id, &column)| *id = source[column]);
            if window.mirrored {
                out.reverse();
            }
        }
        Ok(())
    }

    fn resized(&mut self, sample: &Sample, [x, y]: [&Visible; 2], ratio: [f64; 2]) -> Result<Vec<u8>> {
        let image = &sample.image;
        let fault = |what: &str| Error::internal(format!("cannot resize {}: {what}", sample.id));
        // Images of one type of pixel: the others would be compiled here too, which takes a minute.
        let source = TypedImageRef::<U8x3>::from_buffer(image.width as u32, image.height as u32, &image.rgb_hwc)
            .map_err(|e| fault(&e.to_string()))?;
        let mut pixels = vec![0; 3 * x.len * y.len];
        let mut target = TypedImage::<U8x3>::from_buffer(x.len as u32, y.len as u32, &mut pixels)
            .map_err(|e| fault(&e.to_string()))?;
        // Rounding must not push the window over the edge.
        let inside = |start: usize, len: usize, ratio: f64, side: usize| {
            let start = (start as f64 * ratio).min(side as f64);
            (start, (len as f64 * ratio).min(side as f64 - start))
        };
        let (left, width) = inside(x.scaled_start, x.len, ratio[0], image.width);
        let (top, height) = inside(y.scaled_start, y.len, ratio[1], image.height);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(left, top, width, height);
        self.resizer.resize_typed(&source, &mut target, &options).map_err(|e| fault(&e.to_string()))?;
        Ok(pixels)
    }
}

/// The source pixel under the centre of scaled pixel `i`.
fn nearest(i: usize, ratio: f64, side: usize) -> usize {
    (((i as f64 + 0.5) * ratio) as usize).min(side - 1)
}

fn mirror_rgb(row: &mut [u8]) {
    let pixels = row.len() / 3;
    for i in 0..pixels / 2 {
        for channel in 0..3 {
            row.swap(i * 3 + channel, (pixels - 1 - i) * 3 + channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::RgbImage;
    use crate::image::preprocessing::{Channels, Preprocessing};
    use crate::labels::LabelMap;
    use crate::rng::Purpose;

    /// An image whose colours say where they come from, and a mask that says the same.
    fn sample(width: usize, height: usize) -> Sample {
        let mut rgb_hwc = Vec::new();
        let mut ids = Vec::new();
        for y in 0..height {
            for x in 0..width {
                rgb_hwc.extend([x as u8, y as u8, 100]);
                ids.push((x / 8 + y / 8) as u8 % 7);
            }
        }
        let image = RgbImage { width, height, rgb_hwc };
        Sample { id: "drawn".into(), image, labels: LabelMap { width, height, ids } }
    }

    fn cropper(crop: usize) -> Cropper {
        let plain = Preprocessing { channels: Channels::Rgb, scale: 1.0, mean: [0.0; 3], std: [1.0; 3] };
        Cropper::new(crop, Normaliser::new(&plain))
    }

    fn cut(sample: &Sample, window: &CropWindow, crop: usize) -> (Vec<f32>, Vec<u8>) {
        let (mut chw, mut labels) = (vec![f32::NAN; 3 * crop * crop], vec![77; crop * crop]);
        cropper(crop).cut(sample, window, &mut chw, &mut labels).unwrap();
        (chw, labels)
    }

    #[test]
    fn at_scale_one_a_crop_is_the_pixels_themselves() {
        let sample = sample(60, 50);
        let window = CropWindow { scaled: Size::new(60, 50), origin: [7, 5], mirrored: false };
        let (chw, labels) = cut(&sample, &window, 32);
        for y in 0..32 {
            for x in 0..32 {
                let at = y * 32 + x;
                assert_eq!([chw[at], chw[1024 + at], chw[2048 + at]], [(x + 7) as f32, (y + 5) as f32, 100.0]);
                assert_eq!(labels[at], sample.labels.ids[(y + 5) * 60 + x + 7]);
            }
        }
    }

    #[test]
    fn a_mirrored_crop_is_the_crop_read_backwards() {
        let sample = sample(40, 30);
        for origin in [[3, 2], [-10, -4]] {
            let crop = if origin[0] < 0 { 64 } else { 24 };
            let window = CropWindow { scaled: Size::new(40, 30), origin, mirrored: false };
            let (chw, labels) = cut(&sample, &window, crop);
            let (mirrored_chw, mirrored_labels) = cut(&sample, &CropWindow { mirrored: true, ..window }, crop);
            let backwards = |row: &[f32]| row.iter().rev().copied().collect::<Vec<_>>();
            for (a, b) in chw.chunks(crop).zip(mirrored_chw.chunks(crop)) {
                assert_eq!(backwards(a), b);
            }
            for (a, b) in labels.chunks(crop).zip(mirrored_labels.chunks(crop)) {
                assert_eq!(a.iter().rev().copied().collect::<Vec<_>>(), b);
            }
        }
    }

    #[test]
    fn where_the_image_does_not_reach_there_is_void_and_mean_colour() {
        let window = CropWindow { scaled: Size::new(10, 8), origin: [-5, -20], mirrored: false };
        let (chw, labels) = cut(&sample(10, 8), &window, 32);
        for y in 0..32usize {
            for x in 0..32usize {
                let inside = (5..15).contains(&x) && (20..28).contains(&y);
                assert_eq!(labels[y * 32 + x] != VOID, inside, "{x},{y}");
                assert_eq!(chw[2048 + y * 32 + x] != 0.0, inside, "{x},{y}");
            }
        }
    }

    #[test]
    fn scaled_colours_and_ids_come_from_the_same_place() {
        let sample = sample(64, 48);
        let options = AugmentOptions { crop: 32, scale_min: 0.5, scale_max: 2.0, flip: true };
        for draw in 0..200 {
            let mut rng = Rng::derive(1, Purpose::Augment, &[0, draw]);
            let window = CropWindow::draw(Size::new(64, 48), &options, &mut rng);
            let (chw, labels) = cut(&sample, &window, 32);
            for at in 0..1024 {
                if labels[at] == VOID {
                    continue;
                }
                // The colour is the position in the source to within a pixel or two: the mask must agree nearby.
                let (x, y) = (chw[at] as usize, chw[1024 + at] as usize);
                let near = (y.saturating_sub(2)..=(y + 2).min(47)).any(|y| {
                    (x.saturating_sub(2)..=(x + 2).min(63)).any(|x| sample.labels.ids[y * 64 + x] == labels[at])
                });
                assert!(near, "draw {draw}, {window:?}: id {} is not near {x},{y}", labels[at]);
            }
        }
    }

    #[test]
    fn draws_stay_inside_and_tiny_images_work() {
        for (width, height) in [(1, 1), (1, 300), (500, 375), (33, 31)] {
            let options = AugmentOptions { crop: 64, scale_min: 0.5, scale_max: 1.5, flip: true };
            let sample = sample(width, height);
            for draw in 0..50 {
                let mut rng = Rng::derive(2, Purpose::Augment, &[0, draw]);
                let window = CropWindow::draw(Size { width, height }, &options, &mut rng);
                let (chw, labels) = cut(&sample, &window, 64);
                assert!(chw.iter().all(|value| value.is_finite()));
                assert!(labels.iter().any(|&id| id != VOID), "{width}x{height}: {window:?}");
            }
        }
    }
}
