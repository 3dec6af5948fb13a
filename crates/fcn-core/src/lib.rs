//! fcn-core.
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod cpu;
pub mod device;
pub mod environment;
pub mod evaluate;
pub mod export;
pub mod import;
pub mod infer;
pub mod loss;
pub mod network;
pub mod train;
pub mod weights;

pub use segdata::{Error, ErrorKind, Result};
