//! Unary terms: the energy of each label at each pixel, before pairwise terms.
//!
//! C labels, H x W pixels. The caller's order is \[C, H, W\]; inside, the labels of a pixel are neighbours.

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::error::CrfError;
use crate::logarithm::ln_in_place;
use crate::params::LARGEST;
use crate::simd::Level;

/// Unary energies -ln p, given as probabilities, energies or labels. Checked when they are handed to a CRF.
#[derive(Debug, Clone, Copy)]
pub struct Unary<'a>(Source<'a>);

#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    Probabilities { chw: &'a [f32], clip: f32 },
    Energies { chw: &'a [f32] },
    Labels { hw: &'a [Option<u16>], confidence: f32 },
}

impl<'a> Unary<'a> {
    /// -ln of probabilities \[C, H, W\], which are first raised to at least `clip`. With `clip` 0 a label of probability 0
    /// becomes impossible.
    ///
    /// With `clip` 1e-5 the bits are those of pydensecrf's `unary_from_softmax` of the same 32-bit floats (numpy on an
    /// x86-64 processor with AVX2 and FMA). numpy takes the logarithm of 16-bit floats in 16 bits and that of 64-bit floats
    /// in 64: pass the energies of such an array to [`Unary::from_energies`].
    pub fn from_probabilities(chw: &'a [f32], clip: f32) -> Self {
        Self(Source::Probabilities { chw, clip })
    }

    /// Energies \[C, H, W\], lower for likelier labels; +infinity for an impossible one.
    pub fn from_energies(chw: &'a [f32]) -> Self {
        Self(Source::Energies { chw })
    }

    /// A label map \[H, W\] that is right with probability `confidence`, the rest spread evenly over the other labels.
    /// `None` is a pixel of which nothing is known. (pydensecrf's `unary_from_labels` takes label 0 for that.)
    pub fn from_labels(hw: &'a [Option<u16>], confidence: f32) -> Self {
        Self(Source::Labels { hw, confidence })
    }

    /// The energies, \[C, H, W\]: lower for likelier labels, +infinity for impossible ones.
    ///
    /// # Errors
    /// A wrong size, and every value that [`DenseCrf::unary`](crate::DenseCrf::unary) refuses.
    pub fn to_energies(&self, width: usize, height: usize, labels: usize) -> Result<Vec<f32>, CrfError> {
        let rows = self.scores(width, height, labels, 0)?;
        let mut energies = planes(&rows, labels);
        energies.iter_mut().for_each(|score| *score = -*score);
        Ok(energies)
    }

    /// Scores (negative energies), \[N, C\], and `slack` more values that mean nothing.
    pub(crate) fn scores(
        &self,
        width: usize,
        height: usize,
        labels: usize,
        slack: usize,
    ) -> Result<Aligned<f32>, CrfError> {
        let pixels = width * height;
        let mut all = Aligned::zeroed(pixels * labels + slack);
        let (scores, rest) = all.split_at_mut(pixels * labels);
        rest.fill(f32::NEG_INFINITY);
        match self.0 {
            Source::Probabilities { chw, clip } => {
                if !(0.0..=1.0).contains(&clip) {
                    return Err(CrfError::Clip { clip });
                }
                check_size(
                    "the probability array",
                    chw.len(),
                    width,
                    height,
                    labels,
                    "expected [labels, height, width]",
                )?;
                let level = Level::best();
                let clipped = |p: f32| if (-1e-3..=1.001).contains(&p) { p.clamp(clip, 1.0) } else { f32::NAN };
                transpose(chw, scores, labels, |column| {
                    column.iter_mut().for_each(|p| *p = clipped(*p));
                    ln_in_place(level, column);
                });
            }
            Source::Energies { chw } => {
                check_size("the energy array", chw.len(), width, height, labels, "expected [labels, height, width]")?;
                let negated = |u: f32| if u.abs() <= LARGEST || u == f32::INFINITY { -u } else { f32::NAN };
                transpose(chw, scores, labels, |column| column.iter_mut().for_each(|u| *u = negated(*u)));
            }
            Source::Labels { hw, confidence } => label_scores(hw, confidence, scores, width, height, labels)?,
        }
        match scores
            .par_chunks(labels)
            .with_min_len(1024)
            .position_first(|s| !s.iter().any(|v| v.is_finite()) || s.iter().any(|v| v.is_nan()))
        {
            Some(pixel) => Err(self.fault(pixel, width, pixels, labels, &scores[pixel * labels..][..labels])),
            None => Ok(all),
        }
    }

    /// Names what is wrong with the first bad pixel.
    fn fault(&self, pixel: usize, width: usize, pixels: usize, labels: usize, scores: &[f32]) -> CrfError {
        let (x, y) = (pixel % width, pixel / width);
        let bad = (0..labels).find(|&l| scores[l].is_nan());
        match (bad, self.0) {
            (Some(label), Source::Probabilities { chw, .. }) => {
                CrfError::Probability { label, x, y, value: chw[label * pixels + pixel] }
            }
            (Some(label), Source::Energies { chw }) => {
                CrfError::Energy { label, x, y, value: chw[label * pixels + pixel] }
            }
            _ => CrfError::Impossible { x, y },
        }
    }
}

fn label_scores(
    hw: &[Option<u16>],
    confidence: f32,
    scores: &mut [f32],
    width: usize,
    height: usize,
    labels: usize,
) -> Result<(), CrfError> {
    check_size("the label map", hw.len(), width, height, 1, "expected [height, width]")?;
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(CrfError::Confidence { value: confidence });
    }
    let other = ((1.0 - f64::from(confidence)) / (labels.max(2) - 1) as f64).ln() as f32;
    let (right, unknown) = (f64::from(confidence).ln() as f32, -(labels as f64).ln() as f32);
    for (pixel, (label, row)) in hw.iter().zip(scores.chunks_exact_mut(labels)).enumerate() {
        match *label {
            None => row.fill(unknown),
            Some(value) if usize::from(value) >= labels => {
                return Err(CrfError::Label { x: pixel % width, y: pixel / width, value, labels });
            }
            Some(value) => {
                row.fill(other);
                row[usize::from(value)] = right;
            }
        }
    }
    Ok(())
}

/// Refuses a slice whose length is not `width * height * per_pixel`.
pub(crate) fn check_size(
    what: &'static str,
    found: usize,
    width: usize,
    height: usize,
    per_pixel: usize,
    remedy: &'static str,
) -> Result<(), CrfError> {
    let expected = width * height * per_pixel;
    if found == expected {
        Ok(())
    } else {
        Err(CrfError::Size { what, found, expected, width, height, per_pixel, remedy })
    }
}

/// Pixels handled at a time: their planes and their rows fit the first-level cache together.
const TILE: usize = 64;

/// \[C, N\] to \[N, C\], through `f`, which gets the values of one label at up to `TILE` pixels.
fn transpose(chw: &[f32], rows: &mut [f32], labels: usize, f: impl Fn(&mut [f32]) + Sync) {
    let pixels = chw.len() / labels;
    rows.par_chunks_mut(TILE * labels).with_min_len(16).enumerate().for_each(|(tile, rows)| {
        let mut column = [0.0; TILE];
        for label in 0..labels {
            let count = rows.len() / labels;
            let plane = &chw[label * pixels + tile * TILE..][..count];
            let column = &mut column[..count];
            column.copy_from_slice(plane);
            f(column);
            for (row, &v) in rows.chunks_exact_mut(labels).zip(&*column) {
                row[label] = v;
            }
        }
    });
}

/// \[N, C\] back to \[C, N\].
pub(crate) fn planes(rows: &[f32], labels: usize) -> Vec<f32> {
    let pixels = rows.len() / labels;
    let mut chw = vec![0.0; pixels * labels];
    // Eight planes at a time: one cache line of a row is read for all of them.
    chw.par_chunks_mut(8 * pixels).enumerate().for_each(|(group, chw)| {
        for start in (0..pixels).step_by(TILE) {
            let count = TILE.min(pixels - start);
            for (l, plane) in chw.chunks_exact_mut(pixels).enumerate() {
                let label = 8 * group + l;
                for (v, row) in plane[start..start + count].iter_mut().zip(rows[start * labels..].chunks_exact(labels))
                {
                    *v = row[label];
                }
            }
        }
    });
    chw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_undo_the_transposition() {
        let chw: Vec<f32> = (0..10 * 13 * 7).map(|v| v as f32).collect();
        let rows = Unary::from_energies(&chw).scores(13, 7, 10, 32).expect("valid");
        assert_eq!(rows.len(), 942);
        let back: Vec<f32> = planes(&rows[..910], 10).iter().map(|v| -v).collect();
        assert_eq!(back, chw);
    }

    #[test]
    fn every_fault_of_the_input_has_its_name() {
        let mut p = vec![0.5_f32; 12];
        let wrong_size = Unary::from_probabilities(&p[1..], 0.0).scores(3, 2, 2, 0);
        assert!(matches!(wrong_size, Err(CrfError::Size { found: 11, expected: 12, .. })), "{wrong_size:?}");
        assert_eq!(Unary::from_probabilities(&p, 1.5).scores(3, 2, 2, 0), Err(CrfError::Clip { clip: 1.5 }));
        p[6 + 4] = 7.0;
        let logit = Unary::from_probabilities(&p, 1e-5).scores(3, 2, 2, 0);
        assert_eq!(logit, Err(CrfError::Probability { label: 1, x: 1, y: 1, value: 7.0 }));
        p[10] = f32::NAN;
        assert!(matches!(
            Unary::from_energies(&p).scores(3, 2, 2, 0),
            Err(CrfError::Energy { label: 1, x: 1, y: 1, .. })
        ));
        (p[10], p[4]) = (0.0, 0.0);
        assert_eq!(Unary::from_probabilities(&p, 0.0).scores(3, 2, 2, 0), Err(CrfError::Impossible { x: 1, y: 1 }));
        assert!(Unary::from_probabilities(&p, 1e-5).scores(3, 2, 2, 0).is_ok());
        let labels = [Some(0), None, Some(2)];
        let out = Unary::from_labels(&labels, 0.7).scores(3, 1, 2, 0);
        assert_eq!(out, Err(CrfError::Label { x: 2, y: 0, value: 2, labels: 2 }));
        assert_eq!(Unary::from_labels(&labels, 1.0).scores(3, 1, 3, 0), Err(CrfError::Confidence { value: 1.0 }));
    }

    #[test]
    fn labels_become_their_confidence() {
        let rows = Unary::from_labels(&[Some(1), None], 0.7).scores(2, 1, 3, 0).expect("valid");
        let p: Vec<f32> = rows.iter().map(|v| (v.exp() * 1e4).round() / 1e4).collect();
        assert_eq!(p, [0.15, 0.7, 0.15, 0.3333, 0.3333, 0.3333]);
    }
}
