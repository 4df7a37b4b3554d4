//! Philox 4×32-10, a counter-based generator: any word of the stream can be computed alone.
//!
//! Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3".

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Four random words for block `counter` of the stream `seed`.
pub fn block(seed: u64, counter: u64) -> [u32; 4] {
    blocks::<1>(seed, counter).map(|[word]| word)
}

/// Blocks `counter`, `counter + 1`, … side by side, so that the lanes vectorize: word `w` of block `i` is `[w][i]`.
#[inline(always)]
pub fn blocks<const LANES: usize>(seed: u64, counter: u64) -> [[u32; LANES]; 4] {
    let mut key = [seed as u32, (seed >> 32) as u32];
    let counters: [u64; LANES] = std::array::from_fn(|i| counter.wrapping_add(i as u64));
    let mut words = [counters.map(|c| c as u32), counters.map(|c| (c >> 32) as u32), [0; LANES], [0; LANES]];
    for _ in 0..10 {
        let product =
            |factor: u32, lanes: [u32; LANES]| lanes.map(|word| u64::from(factor) * u64::from(word));
        let (a, b) = (product(MULTIPLIERS[0], words[0]), product(MULTIPLIERS[1], words[2]));
        words = [
            std::array::from_fn(|i| (b[i] >> 32) as u32 ^ words[1][i] ^ key[0]),
            b.map(|product| product as u32),
            std::array::from_fn(|i| (a[i] >> 32) as u32 ^ words[3][i] ^ key[1]),
            a.map(|product| product as u32),
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    words
}

/// Element `i` of a call that starts at `counter`: word `i mod 4` of block `counter + i / 4`.
pub fn word(seed: u64, counter: u64, i: u64) -> u32 {
    block(seed, counter.wrapping_add(i / 4))[(i % 4) as usize]
}

/// A word as a number of [0, 1) with 24 bits, exact in f32.
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (philox4x32 10): zero key and counter.
    #[test]
    fn matches_the_published_known_answer() {
        assert_eq!(block(0, 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    }

    #[test]
    fn words_are_addressable_alone() {
        let direct: Vec<u32> = (0..9).map(|i| word(7, 100, i)).collect();
        let joined: Vec<u32> = (0..3).flat_map(|b| block(7, 100 + b)).take(9).collect();
        assert_eq!(direct, joined);
    }

    #[test]
    fn blocks_side_by_side_are_those_one_by_one() {
        let counter = u64::from(u32::MAX) - 2;
        let words = blocks::<8>(7, counter);
        for lane in 0..8 {
            assert_eq!(words.map(|word| word[lane]), block(7, counter + lane as u64));
        }
    }
}
