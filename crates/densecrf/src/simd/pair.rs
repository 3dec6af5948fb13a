//! Two rows as one: wider rows than the registers of an instruction set.

use super::row::Row;

/// The lanes of A, then those of B.
#[derive(Clone, Copy)]
pub(crate) struct Pair<A, B>(A, B);

impl<A: Row, B: Row<Quad = A::Quad>> Row for Pair<A, B> {
    const LANES: usize = A::LANES + B::LANES;
    type Quad = A::Quad;

    #[inline(always)]
    fn load(slice: &[f32], at: usize) -> Self {
        let row = &slice[at..at + Self::LANES];
        Self(A::load(row, 0), B::load(row, A::LANES))
    }
    #[inline(always)]
    fn store(self, slice: &mut [f32], at: usize) {
        let row = &mut slice[at..at + Self::LANES];
        self.0.store(row, 0);
        self.1.store(row, A::LANES);
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(A::splat(value), B::splat(value))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.add(other.0), self.1.add(other.1))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0.sub(other.0), self.1.sub(other.1))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0.mul(other.0), self.1.mul(other.1))
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(self.0.div(other.0), self.1.div(other.1))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0), self.1.max(other.1))
    }
    #[inline(always)]
    fn fused(self, a: Self, b: Self) -> Self {
        Self(self.0.fused(a.0, b.0), self.1.fused(a.1, b.1))
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Self(self.0.floor(), self.1.floor())
    }
    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(self.0.power_of_two(), self.1.power_of_two())
    }
    #[inline(always)]
    fn if_less(self, other: Self, yes: Self, no: Self) -> Self {
        Self(self.0.if_less(other.0, yes.0, no.0), self.1.if_less(other.1, yes.1, no.1))
    }
    #[inline(always)]
    fn if_equal(self, other: Self, yes: Self, no: Self) -> Self {
        Self(self.0.if_equal(other.0, yes.0, no.0), self.1.if_equal(other.1, yes.1, no.1))
    }
    #[inline(always)]
    fn quad_max(self) -> Self::Quad {
        self.0.quad_max().max(self.1.quad_max())
    }
    #[inline(always)]
    fn quad_sum(self) -> Self::Quad {
        self.0.quad_sum().add(self.1.quad_sum())
    }
}
