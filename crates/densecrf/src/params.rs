//! Pairwise kernels, their compatibilities and normalisations, two known sets of them, and the two modes of arithmetic.

use crate::error::CrfError;

/// Largest permitted size of a finite energy or compatibility: far beyond use, and safe from overflow when summed.
pub(crate) const LARGEST: f32 = 1e30;

/// How a disagreement between two labels is priced; the paper's label compatibility function mu.
///
/// A kernel's message M (how much of each label is around) is turned into energy, and low energy wins. `Potts(w)`
/// lowers the energy of a label by w times its message: with a positive w neighbours **attract**.
#[derive(Debug, Clone, PartialEq)]
pub enum Compatibility {
    /// Energy -w M: agreement is rewarded by w. Equal to `Diagonal` with every entry -w.
    Potts(f32),
    /// Energy v M per label, \[C\]. Mind the sign: **positive entries repel**, negative ones attract.
    Diagonal(Vec<f32>),
    /// Energy W M with W = (m + m^T) / 2, \[C, C\] row by row. A positive diagonal repels.
    Matrix(Vec<f32>),
}

impl Compatibility {
    pub(crate) fn check(&self, labels: usize) -> Result<(), CrfError> {
        let (kind, values, expected) = match self {
            Self::Potts(w) => ("weight", std::slice::from_ref(w), 1),
            Self::Diagonal(v) => ("vector", v.as_slice(), labels),
            Self::Matrix(m) => ("matrix", m.as_slice(), labels * labels),
        };
        if values.len() != expected {
            return Err(CrfError::CompatibilitySize { kind, found: values.len(), expected, labels });
        }
        match values.iter().position(|v| !v.is_finite() || v.abs() > LARGEST) {
            Some(index) => Err(CrfError::Compatibility { index, value: values[index] }),
            None => Ok(()),
        }
    }

    /// The form that is applied: a matrix becomes its symmetric part.
    pub(crate) fn symmetric(self, labels: usize) -> Self {
        match self {
            Self::Matrix(m) => {
                let half = |i: usize| 0.5 * (m[i] + m[i % labels * labels + i / labels]);
                Self::Matrix((0..m.len()).map(half).collect())
            }
            other => other,
        }
    }
}

/// How filtered values are scaled. With n the filter's answer to an image of ones:
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalization {
    /// 1/sqrt(n) before and after filtering (Kraehenbuehl & Koltun, ICML 2013). The default here and in pydensecrf.
    #[default]
    Symmetric,
    /// 1/n before filtering.
    Before,
    /// 1/n after filtering (Kraehenbuehl & Koltun, NIPS 2011; also CRF-RNN).
    After,
    /// None: messages grow with the number of neighbours.
    None,
}

/// How exactly results must match the published implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Bit for bit, for any number of threads.
    #[default]
    Exact,
    /// Within about 1e-4, with fused operations: the same result again on the same machine.
    Fast,
}

/// A smoothness kernel on pixel positions: exp(-dx^2 / 2 sigma_x^2 - dy^2 / 2 sigma_y^2), paper eq. 3, second term.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianKernel {
    /// Standard deviation across columns, pixels.
    pub sigma_x_px: f32,
    /// Standard deviation across rows, pixels.
    pub sigma_y_px: f32,
    /// Price of a disagreement.
    pub compat: Compatibility,
    /// Scaling of the filter.
    pub normalization: Normalization,
}

impl Default for GaussianKernel {
    /// sigma 3 px, Potts 3: the values of the paper's released code.
    fn default() -> Self {
        Self::new(3.0, 3.0)
    }
}

impl GaussianKernel {
    /// The same standard deviation in both directions, a Potts weight, symmetric normalisation.
    pub fn new(sigma_px: f32, weight: f32) -> Self {
        Self {
            sigma_x_px: sigma_px,
            sigma_y_px: sigma_px,
            compat: Compatibility::Potts(weight),
            normalization: Normalization::default(),
        }
    }
}

/// An appearance kernel on positions and colours, paper eq. 3, first term: as [`GaussianKernel`], times
/// exp(-dR^2 / 2 sigma_r^2 - dG^2 / 2 sigma_g^2 - dB^2 / 2 sigma_b^2).
#[derive(Debug, Clone, PartialEq)]
pub struct BilateralKernel {
    /// Standard deviation across columns, pixels.
    pub sigma_x_px: f32,
    /// Standard deviation across rows, pixels.
    pub sigma_y_px: f32,
    /// Standard deviations of red, green and blue, in steps of the 8-bit image.
    pub sigma_rgb: [f32; 3],
    /// Price of a disagreement.
    pub compat: Compatibility,
    /// Scaling of the filter.
    pub normalization: Normalization,
}

impl Default for BilateralKernel {
    /// sigma 80 px and 13 colour steps, Potts 10: the values of the paper's released code.
    fn default() -> Self {
        Self::new(80.0, 13.0, 10.0)
    }
}

impl BilateralKernel {
    /// One deviation for both directions, one for the three channels, a Potts weight, symmetric normalisation.
    pub fn new(sigma_px: f32, sigma_colour: f32, weight: f32) -> Self {
        Self {
            sigma_x_px: sigma_px,
            sigma_y_px: sigma_px,
            sigma_rgb: [sigma_colour; 3],
            compat: Compatibility::Potts(weight),
            normalization: Normalization::default(),
        }
    }
}

/// A Gaussian kernel, a bilateral kernel and a number of iterations that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// The smoothness kernel; it is added first.
    pub gaussian: GaussianKernel,
    /// The appearance kernel.
    pub bilateral: BilateralKernel,
    /// Mean-field iterations.
    pub iterations: usize,
}

impl Preset {
    /// (3 px; weight 3) + (80 px, 13 colour steps; weight 10), 5 iterations: the released code of the 2011 paper.
    pub fn paper() -> Self {
        Self { gaussian: GaussianKernel::default(), bilateral: BilateralKernel::default(), iterations: 5 }
    }

    /// (10 px; weight 3) + (50 px, 20 colour steps; weight 10), 5 iterations: widely used with FCN-8s in TensorFlow.
    pub fn reference_system() -> Self {
        Self {
            gaussian: GaussianKernel::new(10.0, 3.0),
            bilateral: BilateralKernel::new(50.0, 20.0, 10.0),
            iterations: 5,
        }
    }
}

/// Refuses a standard deviation that no feature can be divided by.
pub(crate) fn check_sigma(name: &'static str, value: f32) -> Result<(), CrfError> {
    if value.is_normal() && value > 0.0 { Ok(()) } else { Err(CrfError::Sigma { name, value }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatibilities_of_the_wrong_size_or_value_are_refused() {
        let cases = [
            (Compatibility::Potts(f32::NAN), false),
            (Compatibility::Potts(-3.0), true),
            (Compatibility::Diagonal(vec![1.0; 2]), false),
            (Compatibility::Diagonal(vec![1.0; 3]), true),
            (Compatibility::Matrix(vec![1.0; 3]), false),
            (Compatibility::Matrix(vec![1.0; 9]), true),
            (Compatibility::Matrix(vec![f32::INFINITY; 9]), false),
            (Compatibility::Potts(1e31), false),
        ];
        let wrong: Vec<_> = cases.iter().filter(|(c, ok)| c.check(3).is_ok() != *ok).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn a_matrix_becomes_its_symmetric_part() {
        let m = Compatibility::Matrix(vec![1.0, 4.0, 2.0, 5.0]).symmetric(2);
        assert_eq!(m, Compatibility::Matrix(vec![1.0, 3.0, 3.0, 5.0]));
    }

    #[test]
    fn sigmas_must_be_positive_and_finite() {
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
            assert!(check_sigma("sigma", bad).is_err(), "{bad}");
        }
        assert!(check_sigma("sigma", 1e-3).is_ok());
    }
}
