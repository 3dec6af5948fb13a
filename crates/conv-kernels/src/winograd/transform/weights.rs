//! The two-dimensional transforms of weights for Winograd convolution, and of their gradients back.
//!
//! `N` is the number of points and `R` that of taps in each direction. Vectors run along kernels.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::layout::PanelBlock;
use super::points::{kernel, kernel_gradient};
use crate::simd::{Kernel, PairKernel, Precision, Simd, WIDEST};

/// How far ahead in each row of weights to ask the memory for values.
const AHEAD: usize = 64;

/// Takes weights to the points: G g G^T for `LANES` kernels at a time, packed for a product at each point.
pub(crate) struct WeightsToPoints<'a, const N: usize, const R: usize> {
    /// All weights.
    pub w: &'a [f32],
    /// Distance of two rows (output channels) of the product.
    pub row: usize,
    /// Distance of two columns (input channels).
    pub column: usize,
    /// Turn the kernel by 180 degrees.
    pub turned: bool,
    /// The rows to pack.
    pub rows: Range<usize>,
    /// The columns to pack.
    pub columns: Range<usize>,
    /// The block to fill, `N * N` points of these rows and columns, or pairs of columns.
    pub to: &'a mut [f32],
    /// Its layout.
    pub block: PanelBlock,
}

impl<const N: usize, const R: usize> Kernel for WeightsToPoints<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.transform_all(s, Precision::F32);
    }
}

impl<const N: usize, const R: usize> PairKernel for WeightsToPoints<'_, N, R> {
    #[inline(always)]
    fn run_pairs<S: Simd>(self, s: S) {
        self.transform_all(s, Precision::Bf16);
    }
}

impl<const N: usize, const R: usize> WeightsToPoints<'_, N, R> {
    #[inline(always)]
    fn transform_all<S: Simd>(self, s: S, precision: Precision) {
        let window = R * R;
        let (rows, columns) = (self.rows.len(), precision.words(self.columns.len()));
        let height = self.block.height;
        let panels = rows.div_ceil(height);
        assert!(rows > 0 && columns > 0, "empty block of weights");
        assert!(self.block.panel >= columns * height && self.block.point >= panels * self.block.panel, "panels");
        assert!(self.to.len() >= self.block.len(N * N), "length of the block");
        let last = (self.rows.end - 1) * self.row + (self.columns.end - 1) * self.column + window;
        assert!(last <= self.w.len(), "length of the weights");
        // As many columns as fill a vector together with the panel's rows, or one column in several vectors.
        let wide = (S::LANES / height).max(1);
        let step = precision.values() * self.column;
        for panel in 0..panels {
            for v in (0..wide * height).step_by(S::LANES) {
                let last_row = self.rows.len() - 1 - panel * height;
                // Lanes without a kernel repeat the last one: nobody reads their results, or they are
                // multiplied with the zeros beside an odd number of channels.
                let places = |of_pair: usize, last_column: usize| {
                    let mut places = [0; WIDEST];
                    for (t, place) in places.iter_mut().enumerate().take(S::LANES) {
                        let (q, r) = ((v + t) / height, (v + t) % height);
                        let column = (precision.values() * q + of_pair).min(last_column);
                        *place = r.min(last_row) * self.row + column * self.column;
                    }
                    places
                };
                let corner = (self.rows.start + panel * height) * self.row + self.columns.start * self.column;
                let mut of_pair = [places(0, usize::MAX), places(1, usize::MAX)];
                let mut c = 0;
                while c < columns {
                    let last_column = self.columns.len() - 1 - precision.values() * c;
                    if last_column + 1 < precision.values() * wide {
                        of_pair = [places(0, last_column), places(1, last_column)];
                    }
                    // The kernels of later columns, which the processor does not foresee: turned ones have a new place in
                    // memory each, and short ones are many rows at a time.
                    if self.turned || window < WIDEST {
                        let ahead = if self.turned { 2 * wide * step } else { AHEAD };
                        for place in of_pair[0].iter().take(S::LANES) {
                            for i in (0..window).step_by(WIDEST) {
                                s.prefetch(self.w.as_ptr().wrapping_add(corner + c * step + place + ahead + i));
                            }
                        }
                    }
                    let count = S::LANES.min((columns - c) * height - v);
                    let at = panel * self.block.panel + c * height + v;
                    let from = self.w[corner + c * step..].as_ptr();
                    // SAFETY: each place has R x R values, as checked above.
                    let half = unsafe { self.transform_columns(s, from, &of_pair[0]) };
                    let odd = if precision == Precision::Bf16 {
                        // SAFETY: the same.
                        unsafe { self.transform_columns(s, from, &of_pair[1]) }
                    } else {
                        half
                    };
                    for (i, (half, odd)) in half.iter().zip(odd).enumerate() {
                        let mut values = kernel::<S, N, R>(s, *half);
                        if precision == Precision::Bf16 {
                            for (value, odd) in values.iter_mut().zip(kernel::<S, N, R>(s, odd)) {
                                *value = s.pair(*value, odd);
                            }
                        }
                        for (j, value) in values.iter().enumerate() {
                            // SAFETY: the block has a panel of `columns` columns at each point, as checked above; a whole
                            // vector fits, or it goes through an array that holds one.
                            unsafe {
                                let to = self.to.as_mut_ptr().add((i * N + j) * self.block.point + at);
                                if count == S::LANES {
                                    s.store(to, *value);
                                } else {
                                    let mut part = [0.0; WIDEST];
                                    s.store(part.as_mut_ptr(), *value);
                                    std::ptr::copy_nonoverlapping(part.as_ptr(), to, count);
                                }
                            }
                        }
                    }
                    c += wide;
                }
            }
        }
    }

    /// The kernels that begin at `places` after `from`, one a lane, with their columns at the points: `[point][x]`.
    ///
    /// # Safety
    /// Each place has R x R values.
    #[inline(always)]
    unsafe fn transform_columns<S: Simd>(&self, s: S, from: *const f32, places: &[usize; WIDEST]) -> [[S::V; R]; N] {
        let window = R * R;
        // Uninitialised: to clear these arrays would take as long as to fill them.
        let mut taps = [const { MaybeUninit::<S::V>::uninit() }; 49];
        let mut i = 0;
        while i < window {
            // The last four may be read for a second time.
            let first = i.min(window - 4);
            // SAFETY: four values from `first` on are in the kernel.
            let four = unsafe { s.load_columns(from.add(first), places) };
            for (j, v) in four.iter().enumerate() {
                taps[if self.turned { window - 1 - first - j } else { first + j }].write(*v);
            }
            i += 4;
        }
        let mut half = [[s.splat(0.0); R]; N];
        for x in 0..R {
            // Loops, not closures: those of the array methods are not always compiled for the instruction set.
            let mut g = [s.splat(0.0); R];
            for (y, g) in g.iter_mut().enumerate() {
                // SAFETY: all R x R taps were written.
                *g = unsafe { taps[y * R + x].assume_init() };
            }
            for (half, value) in half.iter_mut().zip(kernel::<S, N, R>(s, g)) {
                half[x] = value;
            }
        }
        half
    }
}

/// Takes gradients of the weights from the points: G^T u G.
pub(crate) struct WeightsFromPoints<'a, const N: usize, const R: usize> {
    /// Gradients at the points `[N * N][..]`; those of this row begin at `at`.
    pub from: &'a [f32],
    /// Distance of two points.
    pub point: usize,
    /// Where this row's columns begin at point 0.
    pub at: usize,
    /// The row's gradients `[column][R * R]`.
    pub to: &'a mut [f32],
}

impl<const N: usize, const R: usize> Kernel for WeightsFromPoints<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let columns = self.to.len() / (R * R);
        // Room for a vector at the last column of the last point.
        assert!(self.from.len() >= (N * N - 1) * self.point + self.at + columns + WIDEST, "length of the gradients");
        let mut c = 0;
        while c < columns {
            let mut halves = [[s.splat(0.0); N]; R];
            for j in 0..N {
                let mut u = [s.splat(0.0); N];
                for (i, u) in u.iter_mut().enumerate() {
                    // SAFETY: checked above.
                    *u = unsafe { s.load(self.from.as_ptr().add((i * N + j) * self.point + self.at + c)) };
                }
                for (half, value) in halves.iter_mut().zip(kernel_gradient::<S, N, R>(s, u)) {
                    half[j] = value;
                }
            }
            let count = S::LANES.min(columns - c);
            let to = &mut self.to[c * R * R..(c + count) * R * R];
            for (y, half) in halves.iter().enumerate() {
                for (x, value) in kernel_gradient::<S, N, R>(s, *half).iter().enumerate() {
                    let mut part = [0.0; WIDEST];
                    // SAFETY: the array holds a vector.
                    unsafe { s.store(part.as_mut_ptr(), *value) };
                    for (to, value) in to.chunks_exact_mut(R * R).zip(part) {
                        to[y * R + x] = value;
                    }
                }
            }
            c += count;
        }
    }
}
