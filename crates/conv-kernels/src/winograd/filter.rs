//! The filters F(t, r), and the one place where their constants are written down.

/// A minimal filtering F(t, r) in both directions: tiles of t x t output pixels for a kernel of r x r.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// F(3, 3): 25 products where the definition has 81.
    F33,
    /// F(4, 3): 36 of 144.
    F43,
    /// F(6, 3): 64 of 324.
    F63,
    /// F(2, 7): 64 of 196.
    F27,
    /// F(4, 7): 100 of 784.
    F47,
}

/// `$body`, compiled for each filter with its constants: `$n` points, tiles of `$t` outputs and kernels of `$r` taps, in each
/// direction; `n = t + r - 1`.
macro_rules! for_filter {
    ($filter:expr, <$n:ident, $t:ident, $r:ident> $body:expr) => {
        for_filter! { @ $filter, <$n, $t, $r> $body,
            F33 = [5, 3, 3]
            F43 = [6, 4, 3]
            F63 = [8, 6, 3]
            F27 = [8, 2, 7]
            F47 = [10, 4, 7]
        }
    };
    (@ $filter:expr, <$n:ident, $t:ident, $r:ident> $body:expr, $($name:ident = [$points:literal, $tile:literal, $taps:literal])+) => {
        match $filter {
            $($crate::winograd::filter::Filter::$name => {
                #[allow(dead_code, reason = "not every pass needs all three")]
                const $n: usize = $points;
                #[allow(dead_code, reason = "not every pass needs all three")]
                const $t: usize = $tile;
                #[allow(dead_code, reason = "not every pass needs all three")]
                const $r: usize = $taps;
                $body
            })+
        }
    };
}

pub(super) use for_filter;

impl Filter {
    /// Points in all: products of a tile and a channel.
    pub(crate) fn points(self) -> usize {
        for_filter!(self, <N, T, R> N * N)
    }

    /// A side of a tile, in output pixels.
    pub(crate) fn tile(self) -> usize {
        for_filter!(self, <N, T, R> T)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_and_taps_add_up_to_points() {
        for filter in [Filter::F33, Filter::F43, Filter::F63, Filter::F27, Filter::F47] {
            let (n, t, r) = for_filter!(filter, <N, T, R> (N, T, R));
            assert_eq!((n, filter.points(), filter.tile()), (t + r - 1, n * n, t), "{filter:?}");
            assert_eq!(format!("F{t}{r}"), format!("{filter:?}"));
        }
    }
}
