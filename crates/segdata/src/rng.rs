//! The only randomness: every draw is a function of (run seed, purpose, key), so that a resumed run repeats the
//! uninterrupted one bit for bit and no draw depends on how many came before it elsewhere.
//!
//! The generator is SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014).

/// What a stream of draws is for. Two purposes never share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights; key: index of the parameter and of its stream.
    Initialise = 1,
    /// The order of the samples; key: epoch.
    Shuffle = 2,
    /// Scale, crop and flip; key: epoch and index of the sample in the split.
    Augment = 3,
    /// Dropout masks; key: step, number of the dropout in the network, and position of the sample among those of the step.
    Dropout = 4,
    /// The split of a folder that brings no lists.
    Split = 5,
    /// Synthetic data; key: image index.
    Draw = 6,
    /// Inputs of benchmarks.
    Bench = 7,
    /// Parameters that are tried; key: number of the trial.
    CrfSearch = 8,
}

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream of `purpose` and `key` in the run with this `seed`.
    pub fn derive(seed: u64, purpose: Purpose, key: &[u64]) -> Self {
        let mut state = mix(seed.wrapping_add(GOLDEN_GAMMA));
        for &part in std::iter::once(&(purpose as u64)).chain(key) {
            state = mix(state.wrapping_add(GOLDEN_GAMMA) ^ mix(part.wrapping_add(GOLDEN_GAMMA)));
        }
        Rng { state }
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        mix(self.state)
    }

    /// Uniform in `[0, 1)`, 24 bits.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 * (1.0 / (1u64 << 24) as f32)
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in `0..n` by multiply-shift (bias below `n / 2^64`); 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.next_u64() as u128 * n as u128) >> 64) as usize
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f32 {
        let u = 1.0 - f64::from(self.uniform()); // (0, 1]: the logarithm is finite
        let v = f64::from(self.uniform());
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// Permutes `items` uniformly (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_every_part_of_the_key_and_on_nothing_else() {
        let first = |seed, purpose, key: &[u64]| Rng::derive(seed, purpose, key).next_u64();
        let base = first(1, Purpose::Shuffle, &[2, 3]);
        assert_eq!(base, first(1, Purpose::Shuffle, &[2, 3]));
        for (what, other) in [
            ("seed", first(2, Purpose::Shuffle, &[2, 3])),
            ("purpose", first(1, Purpose::Augment, &[2, 3])),
            ("key", first(1, Purpose::Shuffle, &[2, 4])),
            ("order", first(1, Purpose::Shuffle, &[3, 2])),
            ("length", first(1, Purpose::Shuffle, &[2, 3, 0])),
        ] {
            assert_ne!(base, other, "{what}");
        }
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Rng::derive(7, Purpose::Bench, &[]);
        let n = 100_000;
        let mean = |v: &[f32]| v.iter().map(|&x| f64::from(x)).sum::<f64>() / v.len() as f64;
        let uniform: Vec<f32> = (0..n).map(|_| rng.uniform()).collect();
        let normal: Vec<f32> = (0..n).map(|_| rng.normal()).collect();
        let squares: Vec<f32> = normal.iter().map(|x| x * x).collect();
        assert!((mean(&uniform) - 0.5).abs() < 0.005);
        assert!(mean(&normal).abs() < 0.01);
        assert!((mean(&squares) - 1.0).abs() < 0.02);
        assert!(normal.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..100).collect();
        Rng::derive(3, Purpose::Shuffle, &[0]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
