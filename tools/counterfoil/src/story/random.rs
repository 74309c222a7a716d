//! `SplitMix64` (Steele, Lea and Flood, 2014): the same story for the same seed, on every machine. Not for secrets.

pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(super) fn words(&mut self) -> [u64; 4] {
        std::array::from_fn(|_| self.word())
    }

    /// A number below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let scaled = (self.word() >> 32) * u64::from(bound);
        u32::try_from(scaled >> 32).expect("a fraction of a u32 is a u32")
    }

    /// A number from `low` on, below `high`.
    pub(super) fn between(&mut self, low: u32, high: u32) -> u64 {
        u64::from(low + self.below(high - low))
    }

    pub(super) fn one_in(&mut self, odds: u32) -> bool {
        self.below(odds) == 0
    }

    pub(super) fn place<T>(&mut self, list: &[T]) -> usize {
        self.below(u32::try_from(list.len()).expect("lists of the story are short")) as usize
    }

    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.place(list)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut random = Random::new(1_234_567);
        assert_eq!([random.word(), random.word()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
