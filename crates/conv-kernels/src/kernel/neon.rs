//! Arm's Advanced SIMD: part of every 64-bit Arm processor, so there is nothing to detect.

use std::arch::aarch64::*;

use super::gemm::{Tile, multiply};
use super::simd::Simd;

/// Four lanes, 32 registers.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// Advanced SIMD is in the baseline of the architecture.
    pub(crate) fn new() -> Neon {
        Neon(())
    }
}

impl Simd for Neon {
    const LANES: usize = 4;
    const ROWS: usize = 8;
    type V = float32x4_t;

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller vouches for 4 readable values.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: float32x4_t) {
        // SAFETY: the caller vouches for 4 writable values.
        unsafe { vst1q_f32(to, v) }
    }

    #[inline(always)]
    unsafe fn load4(self, from: *const f32) -> [float32x4_t; 4] {
        // SAFETY: the caller vouches for 16 readable values.
        let v = unsafe { vld4q_f32(from) };
        [v.0, v.1, v.2, v.3]
    }

    #[inline(always)]
    unsafe fn store4(self, to: *mut f32, v: [float32x4_t; 4]) {
        // SAFETY: the caller vouches for 16 writable values.
        unsafe { vst4q_f32(to, float32x4x4_t(v[0], v[1], v[2], v[3])) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        // SAFETY: every aarch64 processor has the instruction.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: every aarch64 processor has the instruction.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: every aarch64 processor has the instruction.
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: every aarch64 processor has the instruction.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: every aarch64 processor has the instructions.
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn and(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: every aarch64 processor has the instructions.
        unsafe { vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b))) }
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: every aarch64 processor has the instruction.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    fn neg_mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: every aarch64 processor has the instruction.
        unsafe { vfmsq_f32(c, a, b) }
    }

    #[inline(always)]
    fn shift_in(self, v: float32x4_t, next: f32) -> float32x4_t {
        // SAFETY: every aarch64 processor has the instructions.
        unsafe { vextq_f32::<1>(v, vdupq_n_f32(next)) }
    }

    #[inline(always)]
    fn sum(self, v: float32x4_t) -> f32 {
        // SAFETY: every aarch64 processor has the instructions.
        unsafe { vaddvq_f32(v) }
    }

    #[inline(always)]
    unsafe fn multiply(self, vectors: usize, tile: Tile) {
        // SAFETY: the caller vouches for the tile.
        unsafe {
            match vectors {
                3 => multiply::<Self, 8, 3>(self, tile),
                2 => multiply::<Self, 8, 2>(self, tile),
                _ => multiply::<Self, 8, 1>(self, tile),
            }
        }
    }
}
