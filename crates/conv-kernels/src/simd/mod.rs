//! Vectors of every instruction set behind one interface, and the choice between them at run time.
//!
//! ```text
//! lanes, bf16 -> vector -> register_tile -> portable, x86, neon -> isa
//! ```
//!
//! `vector` is the interface ([`Simd`]): loads, stores and lanewise arithmetic. `register_tile` builds on it the one loop that
//! decides the speed of everything: a tile of C = A B whose sums stay in registers ([`RegisterTile`]). Each instruction set
//! implements both in a file of its own, and `isa` names them ([`Isa`]) and enters them: a [`Kernel`] goes in, what it
//! returns comes out.
//!
//! `bf16` are the 32-bit words of two bf16 values each, that some processors multiply at twice the speed of f32.
//!
//! Register tiles: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.

mod bf16;
mod isa;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod register_tile;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use bf16::Precision;
pub use isa::Isa;
pub(crate) use isa::{Kernel, PairKernel};
pub(crate) use lanes::WIDEST;
#[cfg(test)]
pub(crate) use portable::Portable;
pub(crate) use register_tile::{RegisterTile, Tile, add_products};
pub(crate) use vector::Simd;
