//! Arm's Advanced SIMD: part of every 64-bit Arm processor, so there is nothing to detect.

use std::arch::aarch64::*;

use super::lanes::WIDEST;
use super::register_tile::{RegisterTile, multiply_rows};
use super::vector::{Simd, lanewise};

/// Four lanes, 32 registers.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// Advanced SIMD is in the baseline of the architecture.
    pub(crate) fn new() -> Neon {
        Neon(())
    }
}

/// Transposes a 4x4 block.
#[inline(always)]
fn transpose(v: [float32x4_t; 4]) -> [float32x4_t; 4] {
    // SAFETY: every aarch64 processor has the instructions.
    unsafe {
        let (a, b) = (vtrnq_f32(v[0], v[1]), vtrnq_f32(v[2], v[3]));
        let low = |a, b| vcombine_f32(vget_low_f32(a), vget_low_f32(b));
        let high = |a, b| vcombine_f32(vget_high_f32(a), vget_high_f32(b));
        [low(a.0, b.0), low(a.1, b.1), high(a.0, b.0), high(a.1, b.1)]
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
    unsafe fn load_columns(self, from: *const f32, places: &[usize; WIDEST]) -> [float32x4_t; 4] {
        // SAFETY: the caller vouches for 4 readable values at each place.
        unsafe { transpose([0, 1, 2, 3].map(|t| vld1q_f32(from.add(places[t])))) }
    }

    #[inline(always)]
    unsafe fn store_columns(self, to: *mut f32, step: usize, v: [float32x4_t; 4]) {
        for (t, v) in transpose(v).into_iter().enumerate() {
            // SAFETY: the caller vouches for 4 writable values at each place.
            unsafe { vst1q_f32(to.add(step * t), v) };
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        // SAFETY: every aarch64 processor has the instruction.
        unsafe { vdupq_n_f32(x) }
    }

    lanewise! { float32x4_t;
        add(a, b) = vaddq_f32(a, b);
        sub(a, b) = vsubq_f32(a, b);
        mul(a, b) = vmulq_f32(a, b);
        max(a, b) = vbslq_f32(vcgtq_f32(a, b), a, b);
        larger(a, b) = vmaxq_f32(a, b);
        and(a, b) = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
        mul_add(a, b, c) = vfmaq_f32(c, a, b);
        neg_mul_add(a, b, c) = vfmsq_f32(c, a, b);
    }

    #[inline(always)]
    fn permute(self, v: float32x4_t, lanes: &[u32; WIDEST]) -> float32x4_t {
        let (mut from, mut to) = ([0.0; 4], [0.0; 4]);
        // SAFETY: the arrays hold a vector; `self` proves NEON.
        unsafe {
            vst1q_f32(from.as_mut_ptr(), v);
            for (to, lane) in to.iter_mut().zip(lanes) {
                *to = from[*lane as usize & 3];
            }
            vld1q_f32(to.as_ptr())
        }
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
}

impl RegisterTile for Neon {
    multiply_rows!(8);
}
