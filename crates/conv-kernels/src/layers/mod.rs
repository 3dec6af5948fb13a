//! The layers between convolutions, each a file of its own that uses no other: [`MaxPool`] 2x2, [`BatchNorm`] and
//! [`BilinearUpsample`], forward and backward, plane by plane.

mod norm;
mod pool;
mod upsample;

pub use norm::{BatchNorm, BatchStatistics, fold_batch_norm};
pub use pool::MaxPool;
pub use upsample::BilinearUpsample;
