//! The instruction sets, and the choice between them at run time.
//!
//! A kernel is written once, generic over [`Simd`](super::vector::Simd) or [`RegisterTile`], and handed to [`Isa::run`], which
//! enters a function compiled with the right `#[target_feature]`. Everything below that function is `#[inline(always)]`, so that
//! the whole kernel is compiled for the instruction set and vectors stay in registers. A kernel must therefore never hand work
//! to another thread: parallelism belongs above [`Isa::run`].

use std::sync::OnceLock;

use super::bf16::Precision;
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::portable::Portable;
use super::register_tile::RegisterTile;
use super::vector::Simd;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// Work that is compiled once for each instruction set.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;
    /// Whether it works on pairs of bf16 values, for which some processors have instructions of their own.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86 has such instructions here"))]
    const PAIRS: bool = false;
    /// Does the work; implementations are `#[inline(always)]`.
    fn run<S: RegisterTile>(self, simd: S) -> Self::Output;
}

/// A kernel that can also work on pairs of bf16 values, each a 32-bit word that is moved about as if it were a f32 value.
pub(crate) trait PairKernel: Kernel {
    /// Does the work on pairs; implementations are `#[inline(always)]`.
    fn run_pairs<S: RegisterTile>(self, simd: S) -> Self::Output;
}

/// [`PairKernel::run_pairs`] as a kernel.
struct Pairs<K>(K);

impl<K: PairKernel> Kernel for Pairs<K> {
    type Output = K::Output;
    const PAIRS: bool = true;

    #[inline(always)]
    fn run<S: RegisterTile>(self, simd: S) -> K::Output {
        self.0.run_pairs(simd)
    }
}

/// An instruction set with kernels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Four lanes, no fused multiply-add: what every processor of the architecture has.
    Portable,
    /// Eight lanes with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Sixteen lanes, 32 registers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same with products of bf16 values.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// Four lanes, 32 registers, fused multiply-add.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// The instruction sets this processor runs, slowest first.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut)]
        let mut found = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Isa::Avx2);
                if is_x86_feature_detected!("avx512f") {
                    found.push(Isa::Avx512);
                    if is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw") {
                        found.push(Isa::Avx512Bf16);
                    }
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        found.push(Isa::Neon);
        found
    }

    /// The fastest instruction set of this processor, looked up once.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::available().pop().unwrap_or(Isa::Portable))
    }

    /// f32 values in a vector.
    pub fn lanes(self) -> usize {
        match self {
            Isa::Portable => Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => Avx512::<false>::LANES,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::LANES,
        }
    }

    /// Whether it has products of bf16 values. [`Precision::Bf16`] works without, but slower than [`Precision::F32`].
    pub fn has_bf16(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => true,
            _ => false,
        }
    }

    /// Rows of a packed panel of the left operand of a product.
    pub(crate) fn panel_rows(self) -> usize {
        match self {
            Isa::Portable => Portable::ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => Avx512::<false>::ROWS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::ROWS,
        }
    }

    /// Runs a kernel compiled for this instruction set.
    ///
    /// An `Isa` the processor does not have can be named but not run: the portable kernel is run in its place.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16
                if K::PAIRS
                    && is_x86_feature_detected!("avx512bf16")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma") =>
            {
                // SAFETY: the features that the function is compiled with were detected just now.
                unsafe { run_avx512_bf16(kernel) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma") =>
            {
                // SAFETY: the features that the function is compiled with were detected just now.
                unsafe { run_avx512(kernel) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => {
                // SAFETY: the features that the function is compiled with were detected just now.
                unsafe { run_avx2(kernel) }
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => kernel.run(Neon::new()),
            _ => kernel.run(Portable),
        }
    }

    /// Runs a kernel on f32 values or on pairs of bf16 values.
    pub(crate) fn run_as<K: PairKernel>(self, precision: Precision, kernel: K) -> K::Output {
        match precision {
            Precision::F32 => self.run(kernel),
            Precision::Bf16 => self.run(Pairs(kernel)),
        }
    }
}

/// Runs a kernel compiled with AVX2 and FMA.
///
/// # Safety
/// The processor must have both.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller vouches for the instructions.
    kernel.run(unsafe { Avx2::proven() })
}

/// Runs a kernel compiled with AVX-512F, AVX2 and FMA.
///
/// # Safety
/// The processor must have all three.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller vouches for the instructions.
    kernel.run(unsafe { Avx512::<false>::proven() })
}

/// Runs a kernel compiled with AVX512_BF16, AVX-512BW, AVX-512F, AVX2 and FMA.
///
/// # Safety
/// The processor must have all five.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bf16,avx512bw,avx512f,avx2,fma")]
unsafe fn run_avx512_bf16<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller vouches for the instructions.
    kernel.run(unsafe { Avx512::<true>::proven() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::bf16;
    use crate::simd::lanes::WIDEST;

    /// Puts every operation of a `Simd` beside its definition and lists what differs.
    struct EveryOperation;

    impl Kernel for EveryOperation {
        type Output = Vec<String>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<String> {
            let n = S::LANES;
            let a: Vec<f32> = (0..4 * n).map(|i| i as f32 * 0.5 - 3.0).collect();
            let b: Vec<f32> = (0..4 * n).map(|i| 2.0 - i as f32 * 0.25).collect();
            let mut wrong = Vec::new();
            let mut check = |name: &str, got: &[f32], want: Vec<f32>| {
                if got != want {
                    wrong.push(format!("{name}: {got:?}, expected {want:?}"));
                }
            };
            let one = |v: S::V| {
                let mut out = vec![0.0; n];
                // SAFETY: `out` has LANES values.
                unsafe { s.store(out.as_mut_ptr(), v) };
                out
            };
            // SAFETY: `a` and `b` have 4 LANES values.
            let (va, vb, a4) = unsafe { (s.load(a.as_ptr()), s.load(b.as_ptr()), s.load4(a.as_ptr())) };
            let zip = |f: fn(f32, f32) -> f32| a.iter().zip(&b).take(n).map(|(x, y)| f(*x, *y)).collect::<Vec<_>>();
            check("load", &one(va), a[..n].to_vec());
            check("add", &one(s.add(va, vb)), zip(|x, y| x + y));
            check("sub", &one(s.sub(va, vb)), zip(|x, y| x - y));
            check("mul", &one(s.mul(va, vb)), zip(|x, y| x * y));
            check("max", &one(s.max(va, vb)), zip(f32::max));
            check("larger", &one(s.larger(va, vb)), zip(f32::max));
            let (none, one_each) = (s.splat(f32::NAN), s.splat(1.0));
            for (name, got) in [("first", s.larger(none, one_each)), ("second", s.larger(one_each, none))] {
                let lost = one(got).iter().any(|v| !v.is_nan());
                check(&format!("larger, {name} NaN"), &[f32::from(u8::from(lost))], vec![0.0]);
            }
            let mask = s.splat(f32::from_bits(u32::MAX << 23));
            check(
                "and",
                &one(s.and(va, mask)),
                a[..n].iter().map(|x| f32::from_bits(x.to_bits() & (u32::MAX << 23))).collect(),
            );
            check("mul_add", &one(s.mul_add(va, vb, s.splat(1.5))), zip(|x, y| x * y + 1.5));
            check("neg_mul_add", &one(s.neg_mul_add(va, vb, s.splat(1.5))), zip(|x, y| 1.5 - x * y));
            let words = s.pair(va, vb);
            check("pair", &one(words), zip(bf16::pair));
            check("lower", &one(s.lower(words)), a[..n].to_vec());
            check("upper", &one(s.upper(words)), b[..n].to_vec());
            check("dot_add", &one(s.dot_add(words, s.pair(vb, va), s.splat(1.5))), zip(|x, y| 2.0 * x * y + 1.5));
            check("shift_in", &one(s.shift_in(va, a[n])), a[1..=n].to_vec());
            let lanes: [u32; WIDEST] = std::array::from_fn(|t| (t * 3 % n) as u32);
            check("permute", &one(s.permute(va, &lanes)), (0..n).map(|t| a[lanes[t] as usize]).collect());
            check("sum", &[s.sum(va)], vec![a[..n].iter().sum()]);
            for (j, v) in a4.iter().enumerate() {
                check("load4", &one(*v), (0..n).map(|t| a[4 * t + j]).collect());
            }
            let places: [usize; WIDEST] = std::array::from_fn(|t| t * 7 % n * 3);
            // SAFETY: the places are below 3 LANES, and `a` has 4 LANES values.
            let columns = unsafe { s.load_columns(a.as_ptr(), &places) };
            for (j, v) in columns.iter().enumerate() {
                check("load_columns", &one(*v), (0..n).map(|t| a[places[t] + j]).collect());
            }
            let mut back = vec![0.0; 5 * n];
            // SAFETY: `back` has 5 LANES values.
            unsafe { s.store_columns(back.as_mut_ptr(), 5, a4) };
            check(
                "store_columns",
                &back,
                (0..5 * n).map(|i| if i % 5 < 4 { a[i / 5 * 4 + i % 5] } else { 0.0 }).collect(),
            );
            let mut back = vec![0.0; 4 * n];
            // SAFETY: `back` has 4 LANES values.
            unsafe { s.store4(back.as_mut_ptr(), a4) };
            check("store4", &back, a.clone());
            wrong
        }
    }

    impl PairKernel for EveryOperation {
        #[inline(always)]
        fn run_pairs<S: RegisterTile>(self, s: S) -> Vec<String> {
            self.run(s)
        }
    }

    #[test]
    fn every_operation_of_every_instruction_set_does_what_it_says() {
        for isa in Isa::available() {
            for precision in [Precision::F32, Precision::Bf16] {
                let wrong = isa.run_as(precision, EveryOperation);
                assert!(wrong.is_empty(), "{isa:?} {precision:?}: {wrong:#?}");
            }
        }
    }
}
