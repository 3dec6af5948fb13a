//! From 0-255 colours to what the first convolution expects, by the weights' own convention.

/// Order of the colour channels that the first convolution expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// What is done to 0-255 values before the first convolution: `(x * scale - mean) / std`, per channel in `channels` order.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Channel order of `mean`, `std` and of the network's input.
    pub channels: Channels,
    /// Factor applied to 0-255 values first.
    pub scale: f32,
    /// Subtracted after scaling.
    pub mean: [f32; 3],
    /// Divided by, last.
    pub std: [f32; 3],
}

impl Default for Preprocessing {
    /// RGB minus the ImageNet mean, divided by 58 (about the standard deviation of natural photographs), which suits
    /// training from random weights. Imported weights bring their own.
    fn default() -> Self {
        Preprocessing { channels: Channels::Rgb, scale: 1.0, mean: [123.68, 116.78, 103.94], std: [58.0; 3] }
    }
}

/// `(x * scale - mean) / std` for each of the 256 values a channel can have.
#[derive(Clone, Debug)]
pub struct Normaliser {
    /// For plane 0, 1, 2 of the output: which byte of an RGB pixel it reads.
    source: [usize; 3],
    tables: [[f32; 256]; 3],
}

impl Normaliser {
    /// Tabulates a convention.
    pub fn new(preprocessing: &Preprocessing) -> Self {
        let source = match preprocessing.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        let mut tables = [[0.0; 256]; 3];
        for (plane, table) in tables.iter_mut().enumerate() {
            for (value, entry) in table.iter_mut().enumerate() {
                *entry = (value as f32 * preprocessing.scale - preprocessing.mean[plane]) / preprocessing.std[plane];
            }
        }
        Normaliser { source, tables }
    }

    /// Writes `pixels` (interleaved RGB) into three planes, `plane_len` values apart, from index `start` of each.
    pub fn write(&self, pixels: &[u8], chw: &mut [f32], plane_len: usize, start: usize) {
        for (plane, table) in self.tables.iter().enumerate() {
            let out = &mut chw[plane * plane_len + start..][..pixels.len() / 3];
            for (value, rgb) in out.iter_mut().zip(pixels.chunks_exact(3)) {
                *value = table[usize::from(rgb[self.source[plane]])];
            }
        }
    }

    /// A whole image as `[3, H, W]`.
    pub fn planes(&self, rgb_hwc: &[u8]) -> Vec<f32> {
        let mut chw = vec![0.0; rgb_hwc.len()];
        self.write(rgb_hwc, &mut chw, rgb_hwc.len() / 3, 0);
        chw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_scale_mean_and_std_are_applied_in_their_order() {
        let rgb = Preprocessing { channels: Channels::Rgb, scale: 0.5, mean: [1.0, 2.0, 3.0], std: [1.0, 2.0, 4.0] };
        let bgr = Preprocessing { channels: Channels::Bgr, ..rgb.clone() };
        let pixels = [10, 20, 30, 40, 50, 60];
        assert_eq!(Normaliser::new(&rgb).planes(&pixels), [4.0, 19.0, 4.0, 11.5, 3.0, 6.75]);
        assert_eq!(Normaliser::new(&bgr).planes(&pixels), [14.0, 29.0, 4.0, 11.5, 0.5, 4.25]);
    }
}
