//! The filter of a block: says that a name is not in it, without reading it.

use counterfoil_proof::StreamName;

/// With seven probes of ten bits per name, one name in about 120 that are absent is admitted.
const BITS_PER_NAME: usize = 10;
const PROBES: u64 = 7;
const WORD_BITS: usize = 64;

/// First 128 bits of the BLAKE3 digest of a name; all its bits in a filter follow from them.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameHash {
    start: u64,
    step: u64,
}

impl NameHash {
    pub(super) fn of(name: &StreamName) -> Self {
        let digest = blake3::hash(name.as_str().as_bytes());
        let (words, _) = digest.as_bytes().as_chunks::<8>();
        Self { start: u64::from_le_bytes(words[0]), step: u64::from_le_bytes(words[1]) | 1 }
    }

    /// Byte and bit value of each probe in a filter of so many bytes.
    fn probes(self, filter_len: usize) -> impl Iterator<Item = (usize, u8)> {
        let bits = filter_len as u64 * 8;
        (0..PROBES).map(move |probe| {
            let bit = self.start.wrapping_add(probe.wrapping_mul(self.step)) % bits;
            (usize::try_from(bit / 8).expect("below the length of the filter"), 1 << (bit % 8))
        })
    }
}

/// Bytes of the filter over so many names.
pub(super) fn filter_len(names: usize) -> usize {
    (names * BITS_PER_NAME).div_ceil(WORD_BITS) * (WORD_BITS / 8)
}

pub(super) fn build(names: &[NameHash]) -> Box<[u8]> {
    let len = filter_len(names.len());
    let mut filter = vec![0; len].into_boxed_slice();
    for (byte, bit) in names.iter().flat_map(|name| name.probes(len)) {
        filter[byte] |= bit;
    }
    filter
}

/// False when the name is certainly not among those the filter was built over.
pub(super) fn admits(filter: &[u8], name: &StreamName) -> bool {
    NameHash::of(name).probes(filter.len()).all(|(byte, bit)| filter[byte] & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> StreamName {
        StreamName::new(&format!("incident/{number}")).expect("a valid name")
    }

    #[test]
    fn names_are_admitted_and_few_others() {
        let names: Vec<_> = (0..1000).map(|number| NameHash::of(&name(number))).collect();
        let filter = build(&names);
        assert_eq!(filter.len(), 1256);
        assert!((0..1000).all(|number| admits(&filter, &name(number))));
        let others = (1000..11_000).filter(|number| admits(&filter, &name(*number))).count();
        assert!(others < 150, "{others} of 10 000");
    }

    #[test]
    fn a_filter_has_ten_bits_for_each_name_in_whole_words() {
        assert_eq!([1, 6, 7, 12, 13].map(filter_len), [8, 8, 16, 16, 24]);
    }
}
