//! Matrix products on strided operands, single-threaded, and what lays their operands out.
//!
//! ```text
//! blocks -> matmul, transposed, dot        pack
//! ```
//!
//! * `matmul` ([`MatMul`]): C = A B, where A is packed in panels and vectors run along the columns of B and C;
//! * `transposed` ([`TransposedMatMul`]): the same sums in the same order with vectors along the rows of A and C, for a few
//!   columns;
//! * `dot` ([`DotMul`]): C += A B^T, where vectors run along the common dimension, so that neither operand is ever transposed;
//! * `pack` ([`Transpose`], [`PairRows`]): rows to columns, and values to pairs of bf16 values.
//!
//! Each is a [`Kernel`](crate::simd::Kernel) that checks the lengths of its operands once; threads are the caller's. Loops are
//! blocked so that the panel of B stays in the first-level cache and the block of A in the second.
//!
//! Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.

mod blocks;
mod dot;
mod matmul;
mod pack;
mod transposed;

pub(crate) use blocks::{DEPTH, Split};
pub(crate) use dot::DotMul;
pub(crate) use matmul::{MatMul, ONE_GROUP};
pub(crate) use pack::{PairRows, Transpose};
pub(crate) use transposed::TransposedMatMul;

#[cfg(test)]
mod tests;
