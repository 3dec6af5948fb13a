//! Everything that is written with bare pointers, and all `unsafe` of the crate.
//!
//! What leaves this module is safe: products and transforms check their operands' lengths once per call, scratch memory
//! is always initialised, and a shard of an output can be claimed only once.

pub(crate) mod across;
pub(crate) mod bf16;
pub(crate) mod from_points;
pub(crate) mod gemm;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod points;
mod portable;
pub(crate) mod rows;
pub(crate) mod scratch;
pub(crate) mod shard;
pub(crate) mod simd;
pub(crate) mod taps;
pub(crate) mod weights;
pub(crate) mod winograd;
#[cfg(target_arch = "x86_64")]
mod x86;
