//! The permutohedral lattice, which approximates a Gaussian filter over d = 2 (position) or 5 (position and colour)
//! features in time linear in the number of pixels.
//!
//! Source: Adams, Baek & Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice" (Eurographics 2010).
//!
//! In: the size of an image, standard deviations, and for d = 5 its 8-bit colours. Out: for each pixel the d + 1 vertices
//! of its simplex and their barycentric weights, and for each vertex its two neighbours along each of d + 1 axes.
//!
//! `embed` maps pixels to simplices; `index` numbers vertices in the order in which they first occur; `permutohedral`
//! runs both over an image and finds the neighbours.

pub(crate) mod embed;
mod index;
pub(crate) mod permutohedral;
