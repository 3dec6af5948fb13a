//! Mean-field inference: scores in, marginal probabilities out.
//!
//! Source: Kraehenbuehl & Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (NIPS 2011),
//! algorithm 1. An iteration splats the marginals into the lattice of each kernel, blurs them there, slices the messages
//! out again, adds them to the scores, and normalises with a softmax.
//!
//! `solver` decides which passes run, over which buffers and on how many threads; `pass` is all that happens to a pixel or
//! a vertex in one iteration; `pipeline` lets several threads produce runs of pixels that are splatted in order; `softmax`
//! normalises a few pixels at a time over `exponential`, the two exponentials of the published results, bit for bit.

pub(crate) mod exponential;
mod pass;
mod pipeline;
mod softmax;
pub(crate) mod solver;
