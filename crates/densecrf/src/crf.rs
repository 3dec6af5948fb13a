//! The CRF as the caller sees it: pose, add kernels, infer.

use crate::oracle::{self, Pairwise};
use crate::params::check_sigma;
use crate::unary::{check_size, planes};
use crate::{BilateralKernel, CrfError, GaussianKernel, Unary};

/// How exactly results must match the published implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Bit for bit, for any number of threads.
    #[default]
    Exact,
    /// Within 1e-4, with fused operations; results may differ in the last digits between machines and thread counts.
    Fast,
}

/// A fully connected CRF over an image of W x H pixels and C labels.
pub struct DenseCrf {
    width: usize,
    height: usize,
    labels: usize,
    scores: Vec<f32>,
    kernels: Vec<Pairwise>,
    mode: Mode,
}

impl DenseCrf {
    /// A CRF without energies or kernels.
    pub fn new(width: usize, height: usize, labels: usize) -> Result<Self, CrfError> {
        if width == 0 || height == 0 || labels == 0 {
            return Err(CrfError::Empty { width, height, labels });
        }
        if labels > 1 << 16 {
            return Err(CrfError::TooManyLabels { labels });
        }
        Ok(Self { width, height, labels, scores: Vec::new(), kernels: Vec::new(), mode: Mode::default() })
    }

    /// Sets the unary energies.
    pub fn unary(mut self, unary: Unary<'_>) -> Result<Self, CrfError> {
        self.scores = unary.scores(self.width, self.height, self.labels, self.labels)?;
        Ok(self)
    }

    /// Adds a smoothness kernel. Kernels act in the order in which they are added.
    pub fn add_gaussian(mut self, kernel: GaussianKernel) -> Result<Self, CrfError> {
        check_sigma("sigma_x_px", kernel.sigma_x_px)?;
        check_sigma("sigma_y_px", kernel.sigma_y_px)?;
        kernel.compat.check(self.labels)?;
        let features = oracle::features(self.width, self.height, &[kernel.sigma_x_px, kernel.sigma_y_px], &[]);
        self.kernels.push(Pairwise::new(&features, kernel.compat.symmetric(self.labels), kernel.normalization));
        Ok(self)
    }

    /// Adds an appearance kernel over an 8-bit picture, \[H, W, 3\] in the order red, green, blue.
    pub fn add_bilateral(mut self, kernel: BilateralKernel, rgb: &[u8]) -> Result<Self, CrfError> {
        check_sigma("sigma_x_px", kernel.sigma_x_px)?;
        check_sigma("sigma_y_px", kernel.sigma_y_px)?;
        for (name, value) in ["sigma of red", "sigma of green", "sigma of blue"].into_iter().zip(kernel.sigma_rgb) {
            check_sigma(name, value)?;
        }
        kernel.compat.check(self.labels)?;
        check_size("the picture", rgb.len(), self.width, self.height, 3, "expected 8-bit RGB, [height, width, 3]")?;
        let [r, g, b] = kernel.sigma_rgb;
        let sigmas = [kernel.sigma_x_px, kernel.sigma_y_px, r, g, b];
        let features = oracle::features(self.width, self.height, &sigmas, rgb);
        self.kernels.push(Pairwise::new(&features, kernel.compat.symmetric(self.labels), kernel.normalization));
        Ok(self)
    }

    /// Chooses between exact and fast arithmetic.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Mean-field inference. Zero iterations give the softmax of the negative energies.
    pub fn inference(&self, iterations: usize) -> Result<Marginals, CrfError> {
        if self.scores.is_empty() {
            return Err(CrfError::MissingUnary);
        }
        let q = oracle::infer(&self.scores, self.labels, &self.kernels, iterations);
        Ok(Marginals { pixels: self.width * self.height, chw: planes(&q, self.labels, self.labels) })
    }
}

/// The probability of each label at each pixel after inference.
#[derive(Debug, Clone, PartialEq)]
pub struct Marginals {
    pixels: usize,
    chw: Vec<f32>,
}

impl Marginals {
    /// Probabilities, \[C, H, W\].
    pub fn as_slice(&self) -> &[f32] {
        &self.chw
    }

    /// Probabilities, \[C, H, W\].
    pub fn into_vec(self) -> Vec<f32> {
        self.chw
    }

    /// The likeliest label of each pixel, \[H, W\]; of equally likely ones the first.
    pub fn map(&self) -> Vec<u16> {
        let mut best = self.chw[..self.pixels].to_vec();
        let mut map = vec![0; self.pixels];
        for (label, plane) in (1_u16..).zip(self.chw[self.pixels..].chunks_exact(self.pixels)) {
            for ((b, m), &p) in best.iter_mut().zip(&mut map).zip(plane) {
                if p > *b {
                    (*b, *m) = (p, label);
                }
            }
        }
        map
    }
}
