//! Fully connected conditional random fields for image labelling: sharper masks from the probabilities of a network and
//! the colours of the picture.
//!
//! The model and its mean-field inference are those of Kraehenbuehl & Koltun, "Efficient Inference in Fully Connected
//! CRFs with Gaussian Edge Potentials" (NIPS 2011); messages between all pairs of pixels are computed with the
//! permutohedral lattice of Adams, Baek & Davis (2010), in time linear in pixels and labels.
//!
//! ```
//! use densecrf::{BilateralKernel, DenseCrf, GaussianKernel, Unary};
//!
//! // A 4 x 2 picture: dark on the left, bright on the right.
//! let rgb: Vec<u8> = [20, 20, 220, 220, 20, 20, 220, 220].iter().flat_map(|&v| [v, v, v]).collect();
//! // Two labels, [labels, height, width]. One dark pixel and one bright pixel lean the wrong way.
//! let first = [0.9, 0.4, 0.1, 0.1, 0.9, 0.9, 0.6, 0.1];
//! let probabilities: Vec<f32> = first.iter().copied().chain(first.iter().map(|p| 1.0 - p)).collect();
//!
//! let marginals = DenseCrf::new(4, 2, 2)?
//!     .unary(Unary::from_probabilities(&probabilities, 1e-5))?
//!     .add_gaussian(GaussianKernel::new(1.0, 1.0))?
//!     .add_bilateral(BilateralKernel::new(5.0, 13.0, 3.0), &rgb)?
//!     .inference(5)?;
//! assert_eq!(marginals.map(), [0, 0, 1, 1, 0, 0, 1, 1]);
//! # Ok::<(), densecrf::CrfError>(())
//! ```
//!
//! # What it promises
//!
//! * [`Mode::Exact`], the default: the marginals are those of pydensecrf (`pydensecrf2` 1.1, `DenseCRF2D`, built for
//!   x86-64 without fused operations, glibc on a processor with them) **bit for bit**, given the same energies or, with
//!   [`Unary::from_probabilities`], the same 32-bit probabilities (its `unary_from_softmax`, with numpy's logarithm), for any
//!   number of threads and on every processor. That includes its quirks: each pixel sends a message to itself; lattice
//!   vertices of up to three pixels at the origin are added when the number of pixels is no multiple of four.
//! * [`Mode::Fast`]: within 1e-4 of exact mode, with the same label for at least 99.99 % of the pixels, on the golden images
//!   with the usual kernels; the same again on the same machine, for any number of threads. Iterations amplify rounding:
//!   with randomly drawn kernels and compatibilities a difference of 1.1e-4 has been seen.
//! * A fault of the input is a [`CrfError`] that names it, and no result holds a NaN.
//!
//! # What it does not
//!
//! * Kernels are on positions and 8-bit RGB; there is no learning of parameters, and no energy or divergence.
//! * The lattice approximates the Gaussian filter: a single filter is off by about 9 % (relative L2), as in the original.
//!
//! # Where things are
//!
//! Data flow from top to bottom; no module uses one above it.
//!
//! | module | in | out |
//! | --- | --- | --- |
//! | `crf` | size, energies, kernels, iterations | marginals |
//! | `unary`, `logarithm` | probabilities, energies or labels, \[C, H, W\] | scores, \[N, C\] |
//! | `mean_field` | scores, lattices | marginals, \[N, C\] |
//! | `lattice` | pixel positions and colours | vertices, barycentric weights, neighbours |
//! | `params`, `error` | | what callers pass in and get back |
//! | `aligned`, `simd` | | arrays on huge pages, vector registers; the only `unsafe` code |
//!
//! `oracle`, in tests, is the specification as a slow program.
#![deny(missing_docs)]
#![deny(unsafe_code)]

mod aligned;
mod crf;
mod error;
mod lattice;
mod logarithm;
mod mean_field;
#[cfg(test)]
mod oracle;
mod params;
mod simd;
mod unary;

pub use crf::{DEFAULT_MEMORY_LIMIT, DenseCrf, Marginals};
pub use error::CrfError;
pub use params::{BilateralKernel, Compatibility, GaussianKernel, Mode, Normalization, Preset};
pub use unary::Unary;

/// The examples of the README are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
