//! The only unsafe code: vector registers behind a small safe trait, and the choice of instructions at run time.
//!
//! A [`Row`] is a block of 4 to 32 consecutive labels held in registers. Algorithms are written once over `Row` and
//! compiled for each instruction set; every operation rounds alike everywhere, except `fused`, which fast mode uses.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod pair;
mod row;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "x86_64")]
use pair::Pair;
use row::Plain;
pub(crate) use row::{Quad, Row, TO_WHOLE};

/// Instruction sets, in ascending order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Whatever the target always has.
    Portable,
    /// AVX2 and FMA: 8 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with the F, BW, DQ and VL parts (x86-64-v4): 16 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// Every level that this processor can run.
    pub(crate) fn available() -> impl DoubleEndedIterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let levels = {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            [Some(Self::Portable), avx2.then_some(Self::Avx2), avx512.then_some(Self::Avx512)]
        };
        #[cfg(not(target_arch = "x86_64"))]
        let levels = [Some(Self::Portable)];
        levels.into_iter().flatten()
    }

    /// The best level of this processor.
    pub(crate) fn best() -> Self {
        Self::available().next_back().unwrap_or(Self::Portable)
    }
}

/// Work that is compiled for every row width and instruction set. `run` must be `#[inline(always)]`, as must be all
/// that it calls in its inner loops: only what is inlined is compiled with the instructions of the level.
pub(crate) trait Task {
    /// Does the work with rows of type `R`.
    fn run<R: Row>(self);
}

/// Row widths that [`dispatch`] knows.
pub(crate) const WIDTHS: [usize; 5] = [4, 8, 16, 24, 32];
/// The largest of [`WIDTHS`]: a row that starts inside an array may be read this far beyond its end.
pub(crate) const WIDEST: usize = 32;

/// Runs `task` with rows of `width` lanes, one of [`WIDTHS`], or of a divisor of it, and the instructions of `level`.
pub(crate) fn dispatch(level: Level, width: usize, task: impl Task) {
    match level {
        // Without wide registers wider rows gain nothing and cost code.
        Level::Portable if width == 4 => task.run::<Plain<4>>(),
        Level::Portable => task.run::<Plain<8>>(),
        // SAFETY: `available` and `best`, the only sources of this level, found the features on this processor.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if width >= 16 => unsafe { avx512(width, task) },
        // SAFETY: as above; AVX-512 is only taken to be there where AVX2 is.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => unsafe { avx2(width, task) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(width: usize, task: impl Task) {
    use x86::{Xmm, Ymm};
    match width {
        4 => task.run::<Xmm>(),
        16 => task.run::<Pair<Ymm, Ymm>>(),
        24 => task.run::<Pair<Pair<Ymm, Ymm>, Ymm>>(),
        32 => task.run::<Pair<Pair<Ymm, Ymm>, Pair<Ymm, Ymm>>>(),
        _ => task.run::<Ymm>(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512(width: usize, task: impl Task) {
    use x86::{Ymm, Zmm};
    match width {
        // Rows of 24 lanes start on half a cache line every other time, where a register of 16 lanes would straddle two.
        24 => task.run::<Pair<Pair<Ymm, Ymm>, Ymm>>(),
        32 => task.run::<Pair<Zmm, Zmm>>(),
        _ => task.run::<Zmm>(),
    }
}

/// Asks for the cache lines of `slice` ahead of their use.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..size_of_val(slice)).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: part of every x86-64 processor; a prefetch reads nothing, so that any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(slice.as_ptr().cast::<i8>().wrapping_add(offset)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}

/// Asks the system for huge pages under the first `count` values of a large array that nothing has touched yet: one
/// fault, and later one entry of the processor's cache of page tables, for 2 MiB instead of 4 KiB.
pub(crate) fn advise_huge_pages<T>(slice: &mut [T], count: usize) {
    #[cfg(target_os = "linux")]
    if let Some(part) = slice.get_mut(..count.min(slice.len())) {
        // SAFETY: the range is ours, and the advice leaves its content alone. Where it is refused, or the range does not
        // start with a page, the pages stay small.
        unsafe { libc::madvise(part.as_mut_ptr().cast(), size_of_val(part), libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (slice, count);
}

/// Runs `task`, which has no labels, with one register of `level` for a row.
pub(crate) fn dispatch_lanes(level: Level, task: impl Task) {
    match level {
        Level::Portable => task.run::<Plain<8>>(),
        // SAFETY: as in `dispatch`.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { lanes_avx2(task) },
        // SAFETY: as in `dispatch`.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { lanes_avx512(task) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn lanes_avx2(task: impl Task) {
    task.run::<x86::Ymm>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn lanes_avx512(task: impl Task) {
    task.run::<x86::Zmm>();
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Everything<'a> {
        input: &'a [f32],
        out: &'a mut [f32],
        width: usize,
    }

    impl Task for Everything<'_> {
        #[inline(always)]
        fn run<R: Row>(self) {
            for block in (0..self.width).step_by(R::LANES) {
                let (a, b) = (R::load(self.input, block), R::load(self.input, 32 + block));
                let results = [
                    a.add(b),
                    a.sub(b),
                    a.mul(b),
                    a.div(b),
                    a.max(b),
                    a.floor(),
                    a.mul(R::splat(0.9)).floor().power_of_two(),
                    a.if_less(b, a, b),
                    a.if_equal(b, R::splat(1.0), b),
                ];
                for (i, r) in results.into_iter().enumerate() {
                    r.store(self.out, i * self.width + block);
                }
                let (largest, sum) = (a.quad_max().lanes(), a.quad_sum().lanes());
                let lanes = &self.input[block..block + R::LANES];
                assert_eq!(
                    largest.into_iter().fold(f32::MIN, f32::max),
                    lanes.iter().copied().fold(f32::MIN, f32::max)
                );
                assert!((sum.iter().sum::<f32>() - lanes.iter().sum::<f32>()).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn all_instruction_sets_agree_to_the_bit() {
        let input: Vec<f32> = (0..64).map(|i| ((i * 7919 % 641) as f32 - 320.5) * 0.37).collect();
        for width in WIDTHS {
            let mut reference = vec![0.0; 9 * width];
            dispatch(Level::Portable, width, Everything { input: &input, out: &mut reference, width });
            assert_eq!(reference[5 * width], input[0].floor());
            for level in Level::available() {
                let mut out = vec![0.0; 9 * width];
                dispatch(level, width, Everything { input: &input, out: &mut out, width });
                let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&out), bits(&reference), "{level:?}, {width} lanes");
            }
        }
        println!("tested: {:?}", Level::available().collect::<Vec<_>>());
    }
}
