//! AVX2 with FMA (8 lanes, 16 registers) and AVX-512F (16 lanes, 32 registers), also with products of bf16 values.

use std::arch::x86_64::*;

use super::lanes::WIDEST;
use super::register_tile::{RegisterTile, multiply_rows, products};
use super::vector::{Simd, lanewise};

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The proof.
    ///
    /// # Safety
    /// The processor must have AVX2 and FMA.
    #[inline(always)]
    pub(super) unsafe fn proven() -> Avx2 {
        Avx2(())
    }
}

/// Proof that the processor has AVX-512F, AVX2 and FMA, and if `BF16`, AVX512_BF16 and AVX-512BW.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    /// The proof.
    ///
    /// # Safety
    /// The processor must have AVX-512F, AVX2 and FMA, and if `BF16`, AVX512_BF16 and AVX-512BW.
    #[inline(always)]
    pub(super) unsafe fn proven() -> Avx512<BF16> {
        Avx512(())
    }
}

/// [`RegisterTile::products`] for the tile of 4 rows and 3 vectors.
///
/// It needs all 16 registers, at every moment; compilers that reorder its loads want one more, and an accumulator then
/// goes to the stack and back in every step, which halves the speed. Hence by hand.
///
/// # Safety
/// The processor must have AVX2 and FMA; `a[0]` has 4 values in each of `depth` columns, `b` has 24 in each of `depth` rows; depth > 0.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn products_4x3(
    depth: usize,
    a: [*const f32; 2],
    a_step: usize,
    b: *const f32,
    stride: usize,
) -> [[__m256; 3]; 4] {
    let mut sums = [[_mm256_setzero_ps(); 3]; 4];
    // SAFETY: reads what the caller vouches for, writes nothing but registers.
    unsafe {
        std::arch::asm!(
            "2:",
            "prefetcht0 byte ptr [{next}]",
            "vmovups {b0}, ymmword ptr [{pb}]",
            "vmovups {b1}, ymmword ptr [{pb} + 32]",
            "vmovups {b2}, ymmword ptr [{pb} + 64]",
            "vbroadcastss {a}, dword ptr [{pa}]",
            "vfmadd231ps {c00}, {a}, {b0}",
            "vfmadd231ps {c01}, {a}, {b1}",
            "vfmadd231ps {c02}, {a}, {b2}",
            "vbroadcastss {a}, dword ptr [{pa} + 4]",
            "vfmadd231ps {c10}, {a}, {b0}",
            "vfmadd231ps {c11}, {a}, {b1}",
            "vfmadd231ps {c12}, {a}, {b2}",
            "vbroadcastss {a}, dword ptr [{pa} + 8]",
            "vfmadd231ps {c20}, {a}, {b0}",
            "vfmadd231ps {c21}, {a}, {b1}",
            "vfmadd231ps {c22}, {a}, {b2}",
            "vbroadcastss {a}, dword ptr [{pa} + 12]",
            "vfmadd231ps {c30}, {a}, {b0}",
            "vfmadd231ps {c31}, {a}, {b1}",
            "vfmadd231ps {c32}, {a}, {b2}",
            "add {pa}, {step}",
            "add {next}, {step}",
            "add {pb}, {stride}",
            "dec {depth}",
            "jnz 2b",
            c00 = inout(ymm_reg) sums[0][0], c01 = inout(ymm_reg) sums[0][1], c02 = inout(ymm_reg) sums[0][2],
            c10 = inout(ymm_reg) sums[1][0], c11 = inout(ymm_reg) sums[1][1], c12 = inout(ymm_reg) sums[1][2],
            c20 = inout(ymm_reg) sums[2][0], c21 = inout(ymm_reg) sums[2][1], c22 = inout(ymm_reg) sums[2][2],
            c30 = inout(ymm_reg) sums[3][0], c31 = inout(ymm_reg) sums[3][1], c32 = inout(ymm_reg) sums[3][2],
            a = out(ymm_reg) _, b0 = out(ymm_reg) _, b1 = out(ymm_reg) _, b2 = out(ymm_reg) _,
            pa = inout(reg) a[0] => _, next = inout(reg) a[1] => _, step = in(reg) a_step * 4, pb = inout(reg) b => _,
            depth = inout(reg) depth => _, stride = in(reg) stride * 4,
            options(readonly, nostack),
        );
    }
    sums
}

/// The hints of both instruction sets.
macro_rules! prefetches {
    () => {
        #[inline(always)]
        fn prefetch(self, at: *const f32) {
            // SAFETY: a hint, which does not access memory.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        }

        #[inline(always)]
        fn prefetch_far(self, at: *const f32) {
            // SAFETY: a hint, which does not access memory.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }

        #[inline(always)]
        fn prefetch_write(self, at: *const f32) {
            // SAFETY: a hint, which does not access memory; processors without it ignore it.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.cast()) }
        }
    };
}

/// Transposes the 4x4 blocks that the four vectors form in each 128-bit lane.
#[inline(always)]
fn transpose_avx2(v: [__m256; 4]) -> [__m256; 4] {
    // SAFETY: only called by `Avx2`, whose value proves AVX2.
    unsafe {
        let (ab_lo, ab_hi) = (_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpackhi_ps(v[0], v[1]));
        let (cd_lo, cd_hi) = (_mm256_unpacklo_ps(v[2], v[3]), _mm256_unpackhi_ps(v[2], v[3]));
        [
            _mm256_shuffle_ps::<0x44>(ab_lo, cd_lo),
            _mm256_shuffle_ps::<0xee>(ab_lo, cd_lo),
            _mm256_shuffle_ps::<0x44>(ab_hi, cd_hi),
            _mm256_shuffle_ps::<0xee>(ab_hi, cd_hi),
        ]
    }
}

/// Transposes the 4x4 blocks that the four vectors form in each 128-bit lane.
#[inline(always)]
fn transpose_avx512(v: [__m512; 4]) -> [__m512; 4] {
    // SAFETY: only called by `Avx512`, whose value proves AVX-512F.
    unsafe {
        let (ab_lo, ab_hi) = (_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
        let (cd_lo, cd_hi) = (_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
        [
            _mm512_shuffle_ps::<0x44>(ab_lo, cd_lo),
            _mm512_shuffle_ps::<0xee>(ab_lo, cd_lo),
            _mm512_shuffle_ps::<0x44>(ab_hi, cd_hi),
            _mm512_shuffle_ps::<0xee>(ab_hi, cd_hi),
        ]
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const ROWS: usize = 4;
    type V = __m256;

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for 8 readable values; `self` proves AVX2.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: the caller vouches for 8 writable values; `self` proves AVX2.
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load4(self, from: *const f32) -> [__m256; 4] {
        // Vector i holds quartets i and i + 4, so that the transposition within 128-bit lanes leaves lane t = quartet t.
        // SAFETY: the caller vouches for 32 readable values; `self` proves AVX2.
        unsafe {
            let mut v = [_mm256_setzero_ps(); 4];
            for (i, v) in v.iter_mut().enumerate() {
                let low = _mm256_castps128_ps256(_mm_loadu_ps(from.add(4 * i)));
                *v = _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.add(4 * i + 16)));
            }
            transpose_avx2(v)
        }
    }

    #[inline(always)]
    unsafe fn store4(self, to: *mut f32, v: [__m256; 4]) {
        for (i, v) in transpose_avx2(v).into_iter().enumerate() {
            // SAFETY: the caller vouches for 32 writable values; `self` proves AVX2.
            unsafe {
                _mm_storeu_ps(to.add(4 * i), _mm256_castps256_ps128(v));
                _mm_storeu_ps(to.add(4 * i + 16), _mm256_extractf128_ps::<1>(v));
            }
        }
    }

    #[inline(always)]
    unsafe fn load_columns(self, from: *const f32, places: &[usize; WIDEST]) -> [__m256; 4] {
        // SAFETY: the caller vouches for 4 readable values at each place; `self` proves AVX2.
        unsafe {
            let row = |t: usize| _mm_loadu_ps(from.add(places[t]));
            let rows = |i: usize| _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(row(i)), row(i + 4));
            transpose_avx2([rows(0), rows(1), rows(2), rows(3)])
        }
    }

    #[inline(always)]
    unsafe fn store_columns(self, to: *mut f32, step: usize, v: [__m256; 4]) {
        for (t, v) in transpose_avx2(v).into_iter().enumerate() {
            // SAFETY: the caller vouches for 4 writable values at each place; `self` proves AVX2.
            unsafe {
                _mm_storeu_ps(to.add(step * t), _mm256_castps256_ps128(v));
                _mm_storeu_ps(to.add(step * (t + 4)), _mm256_extractf128_ps::<1>(v));
            }
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_set1_ps(x) }
    }

    lanewise! { __m256;
        add(a, b) = _mm256_add_ps(a, b);
        sub(a, b) = _mm256_sub_ps(a, b);
        mul(a, b) = _mm256_mul_ps(a, b);
        max(a, b) = _mm256_max_ps(a, b);
        larger(a, b) = _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a));
        and(a, b) = _mm256_and_ps(a, b);
        mul_add(a, b, c) = _mm256_fmadd_ps(a, b, c);
        neg_mul_add(a, b, c) = _mm256_fnmadd_ps(a, b, c);
    }

    #[inline(always)]
    fn permute(self, v: __m256, lanes: &[u32; WIDEST]) -> __m256 {
        // SAFETY: there are more than 8 lanes to read; `self` proves AVX2.
        unsafe { _mm256_permutevar8x32_ps(v, _mm256_loadu_si256(lanes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn shift_in(self, v: __m256, next: f32) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let rotated = _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 0));
            _mm256_blend_ps::<0x80>(rotated, _mm256_set1_ps(next))
        }
    }

    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let quad = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let pair = _mm_add_ps(quad, _mm_movehl_ps(quad, quad));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
        }
    }

    prefetches!();
}

impl RegisterTile for Avx2 {
    #[inline(always)]
    unsafe fn products<const R: usize, const V: usize>(
        self,
        depth: usize,
        a: [*const f32; 2],
        a_step: usize,
        b: *const f32,
        stride: usize,
    ) -> [[__m256; V]; R] {
        // SAFETY: the caller vouches for the operands; `self` proves AVX2 and FMA.
        unsafe {
            if R == 4 && V == 3 && depth > 0 {
                let tile = products_4x3(depth, a, a_step, b, stride);
                // The same type, which the compiler cannot see.
                return std::mem::transmute_copy(&tile);
            }
            products::<Self, R, V, false>(self, depth, a, a_step, b, stride)
        }
    }

    multiply_rows!(4);
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    const LANES: usize = 16;
    const ROWS: usize = 8;
    type V = __m512;

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for 16 readable values; `self` proves AVX-512F.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: the caller vouches for 16 writable values; `self` proves AVX-512F.
        unsafe { _mm512_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load4(self, from: *const f32) -> [__m512; 4] {
        // Epilogue the transposition within 128-bit lanes, lane 4 q + i holds quartet q + 4 i: the permutation sorts them.
        // SAFETY: the caller vouches for 64 readable values; `self` proves AVX-512F.
        unsafe {
            let mut v = [_mm512_setzero_ps(); 4];
            for (i, v) in v.iter_mut().enumerate() {
                *v = _mm512_loadu_ps(from.add(16 * i));
            }
            let [a, b, c, d] = transpose_avx512(v);
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            [
                _mm512_permutexvar_ps(order, a),
                _mm512_permutexvar_ps(order, b),
                _mm512_permutexvar_ps(order, c),
                _mm512_permutexvar_ps(order, d),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store4(self, to: *mut f32, v: [__m512; 4]) {
        // SAFETY: the caller vouches for 64 writable values; `self` proves AVX-512F.
        unsafe {
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let mut sorted = v;
            for v in sorted.iter_mut() {
                *v = _mm512_permutexvar_ps(order, *v);
            }
            let v = transpose_avx512(sorted);
            for (i, v) in v.iter().enumerate() {
                _mm512_storeu_ps(to.add(16 * i), *v);
            }
        }
    }

    #[inline(always)]
    unsafe fn load_columns(self, from: *const f32, places: &[usize; WIDEST]) -> [__m512; 4] {
        // SAFETY: the caller vouches for 4 readable values at each place; `self` proves AVX-512F.
        unsafe {
            let row = |t: usize| _mm_loadu_ps(from.add(places[t]));
            let rows = |i: usize| {
                let v = _mm512_insertf32x4::<1>(_mm512_castps128_ps512(row(i)), row(i + 4));
                _mm512_insertf32x4::<3>(_mm512_insertf32x4::<2>(v, row(i + 8)), row(i + 12))
            };
            transpose_avx512([rows(0), rows(1), rows(2), rows(3)])
        }
    }

    #[inline(always)]
    unsafe fn store_columns(self, to: *mut f32, step: usize, v: [__m512; 4]) {
        for (t, v) in transpose_avx512(v).into_iter().enumerate() {
            // SAFETY: the caller vouches for 4 writable values at each place; `self` proves AVX-512F.
            unsafe {
                _mm_storeu_ps(to.add(step * t), _mm512_castps512_ps128(v));
                _mm_storeu_ps(to.add(step * (t + 4)), _mm512_extractf32x4_ps::<1>(v));
                _mm_storeu_ps(to.add(step * (t + 8)), _mm512_extractf32x4_ps::<2>(v));
                _mm_storeu_ps(to.add(step * (t + 12)), _mm512_extractf32x4_ps::<3>(v));
            }
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_set1_ps(x) }
    }

    lanewise! { __m512;
        add(a, b) = _mm512_add_ps(a, b);
        sub(a, b) = _mm512_sub_ps(a, b);
        mul(a, b) = _mm512_mul_ps(a, b);
        max(a, b) = _mm512_max_ps(a, b);
        larger(a, b) = _mm512_mask_mov_ps(_mm512_max_ps(a, b), _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), a);
        and(a, b) = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_castps_si512(b)));
        mul_add(a, b, c) = _mm512_fmadd_ps(a, b, c);
        neg_mul_add(a, b, c) = _mm512_fnmadd_ps(a, b, c);
    }

    #[inline(always)]
    fn permute(self, v: __m512, lanes: &[u32; WIDEST]) -> __m512 {
        // SAFETY: there are 16 lanes to read; `self` proves AVX-512F.
        unsafe { _mm512_permutexvar_ps(_mm512_loadu_si512(lanes.as_ptr().cast()), v) }
    }

    #[inline(always)]
    fn shift_in(self, v: __m512, next: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe {
            let next = _mm512_castps_si512(_mm512_set1_ps(next));
            _mm512_castsi512_ps(_mm512_alignr_epi32::<1>(next, _mm512_castps_si512(v)))
        }
    }

    #[inline(always)]
    fn pair(self, even: __m512, odd: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F, and with `BF16` AVX512_BF16 and AVX-512BW.
        unsafe {
            if BF16 {
                // First all even values, then all odd ones.
                let halves: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(odd, even));
                let turns: [u16; 32] = std::array::from_fn(|i| (i / 2 + i % 2 * 16) as u16);
                _mm512_castsi512_ps(_mm512_permutexvar_epi16(std::mem::transmute::<[u16; 32], __m512i>(turns), halves))
            } else {
                // Half of the last place that stays, less one bit if that place is even, is added and the rest cut off.
                let round = |v: __m512| {
                    let bits = _mm512_castps_si512(v);
                    let last = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                    let near = _mm512_add_epi32(bits, _mm512_add_epi32(last, _mm512_set1_epi32(0x7fff)));
                    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
                    _mm512_mask_or_epi32(near, nan, bits, _mm512_set1_epi32(0x40_0000))
                };
                let upper = _mm512_and_si512(round(odd), _mm512_set1_epi32(-0x1_0000));
                _mm512_castsi512_ps(_mm512_or_si512(upper, _mm512_srli_epi32::<16>(round(even))))
            }
        }
    }

    #[inline(always)]
    fn lower(self, v: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(v))) }
    }

    #[inline(always)]
    fn dot_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        if BF16 {
            // SAFETY: with `BF16`, `self` proves AVX512_BF16. The types have the same bits.
            return unsafe {
                let [a, b] = [a, b].map(|v| std::mem::transmute::<__m512, __m512bh>(v));
                _mm512_dpbf16_ps(c, a, b)
            };
        }
        self.mul_add(self.lower(a), self.lower(b), self.mul_add(self.upper(a), self.upper(b), c))
    }

    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_reduce_add_ps(v) }
    }

    prefetches!();
}

impl<const BF16: bool> RegisterTile for Avx512<BF16> {
    multiply_rows!(8);
}
