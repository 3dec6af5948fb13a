//! The layers between convolutions, each a file of its own that uses no other: [`MaxPool`] 2x2, [`BatchNorm`] and
//! [`BilinearUpsample`], forward and backward, plane by plane.
//!
//! In: `[N, C, H, W]`. Out: the same with other `H` and `W`, or the gradient of the input. Sources: Ioffe & Szegedy 2015 for the
//! normalisation; Long, Shelhamer & Darrell 2015 (section 3.3) for the enlargement.

mod norm;
mod pool;
mod upsample;

pub use norm::{BatchNorm, BatchStatistics, fold_batch_norm};
pub use pool::MaxPool;
pub use upsample::BilinearUpsample;
