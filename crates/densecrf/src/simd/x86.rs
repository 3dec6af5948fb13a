//! SSE, AVX2 and AVX-512 registers as rows.
//!
//! These types are named only by `dispatch`, inside functions compiled for the instructions they need and reached only
//! on processors that have them. That is what each SAFETY line below rests on ("features").

use std::arch::x86_64::*;

use super::row::{Quad, Row};

/// Implements [`Row`] for one register type. The operations are the intrinsics of the same name.
macro_rules! row {
    ($name:ident, $lanes:literal, $load:ident, $store:ident, $splat:ident, $add:ident, $sub:ident,
     $mul:ident, $div:ident, $max:ident, $fused:ident, |$f:ident| $floor:expr, |$p:ident| $power:expr,
     |$la:ident, $lb:ident, $ly:ident, $ln:ident| $less:expr, |$ea:ident, $eb:ident, $ey:ident, $en:ident| $equal:expr,
     |$m:ident| $quad_max:expr, |$s:ident| $quad_sum:expr) => {
        impl Row for $name {
            const LANES: usize = $lanes;
            type Quad = Xmm;

            #[inline(always)]
            fn load(slice: &[f32], at: usize) -> Self {
                let row = &slice[at..at + $lanes];
                // SAFETY: `row` has as many lanes as the register; loads need no alignment; features.
                Self(unsafe { $load(row.as_ptr()) })
            }
            #[inline(always)]
            fn store(self, slice: &mut [f32], at: usize) {
                let row = &mut slice[at..at + $lanes];
                // SAFETY: `row` has as many lanes as the register; stores need no alignment; features.
                unsafe { $store(row.as_mut_ptr(), self.0) }
            }
            #[inline(always)]
            fn splat(value: f32) -> Self {
                // SAFETY: features.
                Self(unsafe { $splat(value) })
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: features.
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: features.
                Self(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: features.
                Self(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                // SAFETY: features.
                Self(unsafe { $div(self.0, other.0) })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: features.
                Self(unsafe { $max(self.0, other.0) })
            }
            #[inline(always)]
            fn fused(self, a: Self, b: Self) -> Self {
                // SAFETY: features.
                Self(unsafe { $fused(self.0, a.0, b.0) })
            }
            #[inline(always)]
            fn floor(self) -> Self {
                let $f = self.0;
                // SAFETY: features.
                Self(unsafe { $floor })
            }
            #[inline(always)]
            fn power_of_two(self) -> Self {
                let $p = self.0;
                // SAFETY: features.
                Self(unsafe { $power })
            }
            #[inline(always)]
            fn if_less(self, other: Self, yes: Self, no: Self) -> Self {
                let ($la, $lb, $ly, $ln) = (self.0, other.0, yes.0, no.0);
                // SAFETY: features.
                Self(unsafe { $less })
            }
            #[inline(always)]
            fn if_equal(self, other: Self, yes: Self, no: Self) -> Self {
                let ($ea, $eb, $ey, $en) = (self.0, other.0, yes.0, no.0);
                // SAFETY: features.
                Self(unsafe { $equal })
            }
            #[inline(always)]
            fn quad_max(self) -> Xmm {
                let $m = self.0;
                // SAFETY: features.
                Xmm(unsafe { $quad_max })
            }
            #[inline(always)]
            fn quad_sum(self) -> Xmm {
                let $s = self.0;
                // SAFETY: features.
                Xmm(unsafe { $quad_sum })
            }
        }
    };
}

/// Four lanes.
#[derive(Clone, Copy)]
pub(super) struct Xmm(__m128);

/// Eight lanes.
#[derive(Clone, Copy)]
pub(super) struct Ymm(__m256);

/// Sixteen lanes.
#[derive(Clone, Copy)]
pub(super) struct Zmm(__m512);

row!(
    Xmm,
    4,
    _mm_loadu_ps,
    _mm_storeu_ps,
    _mm_set1_ps,
    _mm_add_ps,
    _mm_sub_ps,
    _mm_mul_ps,
    _mm_div_ps,
    _mm_max_ps,
    _mm_fmadd_ps,
    |x| _mm_floor_ps(x),
    |n| _mm_castsi128_ps(_mm_slli_epi32::<23>(_mm_add_epi32(_mm_cvttps_epi32(n), _mm_set1_epi32(127)))),
    |a, b, yes, no| _mm_blendv_ps(no, yes, _mm_cmp_ps::<_CMP_LT_OQ>(a, b)),
    |a, b, yes, no| _mm_blendv_ps(no, yes, _mm_cmp_ps::<_CMP_EQ_OQ>(a, b)),
    |x| _mm_max_ps(x, x),
    |x| _mm_and_ps(x, x)
);

row!(
    Ymm,
    8,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_max_ps,
    _mm256_fmadd_ps,
    |x| _mm256_floor_ps(x),
    |n| _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127)))),
    |a, b, yes, no| _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)),
    |a, b, yes, no| _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)),
    |x| _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x)),
    |x| _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x))
);

row!(
    Zmm,
    16,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_max_ps,
    _mm512_fmadd_ps,
    |x| _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x),
    |n| _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(_mm512_cvttps_epi32(n), _mm512_set1_epi32(127)))),
    |a, b, yes, no| _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes),
    |a, b, yes, no| _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), no, yes),
    |x| {
        let [a, b, c, d] = quads(x);
        _mm_max_ps(_mm_max_ps(a, b), _mm_max_ps(c, d))
    },
    |x| {
        let [a, b, c, d] = quads(x);
        _mm_add_ps(_mm_add_ps(a, b), _mm_add_ps(c, d))
    }
);

#[inline]
#[target_feature(enable = "avx512f")]
fn quads(x: __m512) -> [__m128; 4] {
    [
        _mm512_extractf32x4_ps::<0>(x),
        _mm512_extractf32x4_ps::<1>(x),
        _mm512_extractf32x4_ps::<2>(x),
        _mm512_extractf32x4_ps::<3>(x),
    ]
}

impl Quad for Xmm {
    #[inline(always)]
    fn lanes(self) -> [f32; 4] {
        let mut lanes = [0.0; 4];
        self.store(&mut lanes, 0);
        lanes
    }
}
