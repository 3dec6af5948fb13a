//! From lattice coordinates to vertex numbers.
//!
//! Coordinates are packed into one integer in a mixed radix that the image's bounds give, so that a step along a
//! lattice direction is one addition. The tables: a plain array when all packable keys fit one, else a hash table with
//! keys of 32 bits, which is the usual case, of 64 bits, or, for kernels with very small deviations, of 128 bits.

/// A packed lattice key: unsigned, wrapping.
pub(crate) trait Key: Copy + Eq + Ord + Default + Send + Sync + 'static {
    /// The low bits of a two's complement number.
    fn from_i128(value: i128) -> Self;
    /// Wrapping sum.
    fn plus(self, other: Self) -> Self;
    /// Wrapping product with a coordinate.
    fn times(self, coordinate: i32) -> Self;
    /// 64 well-mixed bits, the highest best.
    fn mix(self) -> u64;
    /// As an array index.
    fn index(self) -> usize;
}

/// 2^64 / golden ratio, odd (Knuth, multiplicative hashing).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Implements [`Key`] for an unsigned integer; `$mix` is its hash.
macro_rules! key {
    ($integer:ty, |$key:ident| $mix:expr) => {
        impl Key for $integer {
            #[inline(always)]
            fn from_i128(value: i128) -> Self {
                value as Self
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn times(self, coordinate: i32) -> Self {
                self.wrapping_mul(coordinate as Self)
            }
            #[inline(always)]
            fn mix(self) -> u64 {
                let $key = self;
                $mix
            }
            #[inline(always)]
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

key!(u32, |key| u64::from(key).wrapping_mul(GOLDEN));
key!(u64, |key| {
    let h = key.wrapping_mul(GOLDEN);
    (h ^ (h >> 32)).wrapping_mul(GOLDEN)
});
key!(u128, |key| ((key as u64).mix() ^ (key >> 64) as u64).mix());

/// Vertex numbers in order of first insertion.
pub(crate) trait Index<K: Key>: Send + Sync {
    /// An empty index for keys below `range`.
    fn new(range: u128) -> Self;
    /// The number of `key`, which is appended to `keys` if new.
    fn insert(&mut self, key: K, keys: &mut Vec<K>) -> u32;
    /// The number of `key`, if it was inserted.
    fn find(&self, key: K) -> Option<u32>;
}

/// Marks a free slot; no vertex has this number.
const FREE: u32 = u32::MAX;

/// An array over all keys.
pub(crate) struct Dense(Vec<u32>);

impl Index<u32> for Dense {
    fn new(range: u128) -> Self {
        Self(vec![FREE; range as usize])
    }
    #[inline(always)]
    fn insert(&mut self, key: u32, keys: &mut Vec<u32>) -> u32 {
        let slot = &mut self.0[key.index()];
        if *slot == FREE {
            *slot = keys.len() as u32;
            keys.push(key);
        }
        *slot
    }
    #[inline(always)]
    fn find(&self, key: u32) -> Option<u32> {
        self.0.get(key.index()).copied().filter(|&id| id != FREE)
    }
}

/// Open addressing with linear probing, at most a quarter full: a probe that misses its first slot costs more than the
/// memory, which is given back before inference.
pub(crate) struct Hashed<K> {
    slots: Vec<(K, u32)>,
    shift: u32,
}

impl<K: Key> Hashed<K> {
    #[inline(always)]
    fn slot(&self, key: K) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (key.mix() >> self.shift) as usize;
        while self.slots[at].1 != FREE && self.slots[at].0 != key {
            at = (at + 1) & mask;
        }
        at
    }

    #[cold]
    fn grow(&mut self) {
        let old = std::mem::replace(&mut self.slots, vec![(K::default(), FREE); 2 * (1 << (64 - self.shift))]);
        self.shift -= 1;
        for (key, id) in old.into_iter().filter(|slot| slot.1 != FREE) {
            let at = self.slot(key);
            self.slots[at] = (key, id);
        }
    }
}

impl<K: Key> Index<K> for Hashed<K> {
    fn new(_range: u128) -> Self {
        let bits = 14;
        Self { slots: vec![(K::default(), FREE); 1 << bits], shift: 64 - bits }
    }
    #[inline(always)]
    fn insert(&mut self, key: K, keys: &mut Vec<K>) -> u32 {
        let at = self.slot(key);
        if self.slots[at].1 != FREE {
            return self.slots[at].1;
        }
        let id = keys.len() as u32;
        self.slots[at] = (key, id);
        keys.push(key);
        if 4 * keys.len() > self.slots.len() {
            self.grow();
        }
        id
    }
    #[inline(always)]
    fn find(&self, key: K) -> Option<u32> {
        let id = self.slots[self.slot(key)].1;
        (id != FREE).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers<K: Key, I: Index<K>>(range: u128) {
        let mut index = I::new(range);
        let mut keys = Vec::new();
        let key = |i: i128| K::from_i128(i * 7919 % 100_003);
        for round in 0..2 {
            for i in 0..40_000 {
                assert_eq!(index.insert(key(i), &mut keys), i as u32, "round {round}");
            }
        }
        assert_eq!(keys.len(), 40_000);
        assert_eq!(index.find(key(123)), Some(123));
        assert_eq!(index.find(key(70_000)), None);
    }

    #[test]
    fn every_table_numbers_keys_in_order_of_insertion() {
        numbers::<u32, Dense>(100_003);
        numbers::<u32, Hashed<u32>>(0);
        numbers::<u64, Hashed<u64>>(0);
        numbers::<u128, Hashed<u128>>(0);
    }
}
