//! Resizing. Results do not depend on the number of threads: each call works on one.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::photograph::RgbImage;
use crate::error::{Error, Result};
use crate::labels::LabelMap;

/// Resizes a photograph to `width` x `height` with the bilinear (triangle) filter, widened when shrinking so that no
/// pixel is skipped: Pillow's `BILINEAR`, to within one step of 255.
pub fn resize_rgb(image: &RgbImage, width: usize, height: usize) -> Result<RgbImage> {
    if (width, height) == (image.width, image.height) {
        return Ok(image.clone());
    }
    let refused = |e: &dyn std::fmt::Display| {
        Error::data(format!("cannot resize {}x{} to {width}x{height}: {e}", image.width, image.height))
    };
    if width == 0 || height == 0 {
        return Err(refused(&"a side is 0"));
    }
    let source = ImageRef::new(image.width as u32, image.height as u32, &image.rgb_hwc, PixelType::U8x3)
        .map_err(|e| refused(&e))?;
    let mut target = Image::new(width as u32, height as u32, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&source, &mut target, &options).map_err(|e| refused(&e))?;
    Ok(RgbImage { width, height, rgb_hwc: target.into_vec() })
}

/// Resizes a label map to `width` x `height` by the nearest pixel: output pixel `i` takes input pixel
/// `floor((i + 0.5) * input / output)`, in integers. Ids are never blended.
pub fn resize_labels(labels: &LabelMap, width: usize, height: usize) -> LabelMap {
    let nearest = |i: usize, input: usize, output: usize| ((2 * i + 1) * input / (2 * output)).min(input - 1);
    let columns: Vec<usize> = (0..width).map(|x| nearest(x, labels.width, width)).collect();
    let mut ids = Vec::with_capacity(width * height);
    for y in 0..height {
        let row = nearest(y, labels.height, height) * labels.width;
        ids.extend(columns.iter().map(|&x| labels.ids[row + x]));
    }
    LabelMap { width, height, ids }
}
