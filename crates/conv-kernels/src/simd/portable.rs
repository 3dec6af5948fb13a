//! Four lanes in plain arrays: the baseline of every architecture, which the compiler maps on what there is.

use super::lanes::WIDEST;
use super::register_tile::{RegisterTile, multiply_rows};
use super::vector::Simd;

/// The portable instruction set. Products are rounded before they are added.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn zip(a: [f32; 4], b: [f32; 4], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

#[inline(always)]
fn transpose([a, b, c, d]: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    [[a[0], b[0], c[0], d[0]], [a[1], b[1], c[1], d[1]], [a[2], b[2], c[2], d[2]], [a[3], b[3], c[3], d[3]]]
}

impl Simd for Portable {
    const LANES: usize = 4;
    const ROWS: usize = 4;
    type V = [f32; 4];

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller vouches for 4 readable values; an array of f32 may lie anywhere a f32 may.
        unsafe { *from.cast::<[f32; 4]>() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: [f32; 4]) {
        // SAFETY: the caller vouches for 4 writable values; an array of f32 may lie anywhere a f32 may.
        unsafe { *to.cast::<[f32; 4]>() = v }
    }

    #[inline(always)]
    unsafe fn load4(self, from: *const f32) -> [[f32; 4]; 4] {
        // SAFETY: the caller vouches for 16 readable values.
        transpose(unsafe { *from.cast::<[[f32; 4]; 4]>() })
    }

    #[inline(always)]
    unsafe fn store4(self, to: *mut f32, v: [[f32; 4]; 4]) {
        // SAFETY: the caller vouches for 16 writable values.
        unsafe { *to.cast::<[[f32; 4]; 4]>() = transpose(v) }
    }

    #[inline(always)]
    unsafe fn load_columns(self, from: *const f32, places: &[usize; WIDEST]) -> [[f32; 4]; 4] {
        // SAFETY: the caller vouches for 4 readable values at each place.
        let row = |t: usize| unsafe { *from.add(places[t]).cast::<[f32; 4]>() };
        transpose([row(0), row(1), row(2), row(3)])
    }

    #[inline(always)]
    unsafe fn store_columns(self, to: *mut f32, step: usize, v: [[f32; 4]; 4]) {
        for (t, v) in transpose(v).into_iter().enumerate() {
            // SAFETY: the caller vouches for 4 writable values at each place.
            unsafe { *to.add(step * t).cast::<[f32; 4]>() = v };
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }

    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |x, y| x + y)
    }

    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |x, y| x - y)
    }

    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |x, y| x * y)
    }

    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |x, y| if x > y { x } else { y })
    }

    #[inline(always)]
    fn larger(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if a[i] > b[i] || a[i].is_nan() { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn and(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |x, y| f32::from_bits(x.to_bits() & y.to_bits()))
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn neg_mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        self.sub(c, self.mul(a, b))
    }

    #[inline(always)]
    fn permute(self, v: [f32; 4], lanes: &[u32; WIDEST]) -> [f32; 4] {
        let lane = |t: usize| v[lanes[t] as usize & 3];
        [lane(0), lane(1), lane(2), lane(3)]
    }

    #[inline(always)]
    fn shift_in(self, v: [f32; 4], next: f32) -> [f32; 4] {
        [v[1], v[2], v[3], next]
    }

    #[inline(always)]
    fn sum(self, v: [f32; 4]) -> f32 {
        (v[0] + v[2]) + (v[1] + v[3])
    }
}

impl RegisterTile for Portable {
    multiply_rows!(4);
}
