const N: usize = 624;
const M: usize = 397;

/// Python's `random.Random`: the Mersenne Twister with Python's way of seeding and of drawing integers.
///
/// Matsumoto and Nishimura, 1998, "Mersenne Twister", https://doi.org/10.1145/272991.272995; drawing as in CPython 3.
#[derive(Clone, Debug)]
pub struct PythonRandom {
    state: [u32; N],
    index: usize,
}

impl PythonRandom {
    /// As `random.Random(seed)` for an integer seed (Python takes its absolute value).
    pub fn new(seed: u64) -> PythonRandom {
        let key = [seed as u32, (seed >> 32) as u32];
        PythonRandom::from_key(if key[1] == 0 { &key[..1] } else { &key })
    }

    fn from_key(key: &[u32]) -> PythonRandom {
        let mut state = [0_u32; N];
        state[0] = 19_650_218;
        for i in 1..N {
            state[i] = mixed(state[i - 1]).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        let mut i = 1;
        for k in 0..N.max(key.len()) {
            let j = k % key.len();
            let mix = mixed(state[i - 1]).wrapping_mul(1_664_525);
            state[i] = (state[i] ^ mix).wrapping_add(key[j]).wrapping_add(j as u32);
            i = step(&mut state, i);
        }
        for _ in 1..N {
            let mix = mixed(state[i - 1]).wrapping_mul(1_566_083_941);
            state[i] = (state[i] ^ mix).wrapping_sub(i as u32);
            i = step(&mut state, i);
        }
        state[0] = 0x8000_0000;
        PythonRandom { state, index: N }
    }

    fn next_u32(&mut self) -> u32 {
        if self.index == N {
            self.twist();
        }
        let mut y = self.state[self.index];
        self.index += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = self.state[i] & 0x8000_0000 | self.state[(i + 1) % N] & 0x7fff_ffff;
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ y >> 1 ^ odd;
        }
        self.index = 0;
    }

    /// `random()`: a number in [0, 1) with 53 random bits.
    pub fn random(&mut self) -> f64 {
        let a = f64::from(self.next_u32() >> 5);
        let b = f64::from(self.next_u32() >> 6);
        (a * 67_108_864.0 + b) / 9_007_199_254_740_992.0
    }

    /// `getrandbits(bits)` for 0 to 64 bits; words are drawn from the lowest.
    pub fn bits(&mut self, bits: u32) -> u64 {
        assert!(bits <= 64, "at most 64 bits, not {bits}");
        let low = match bits {
            0 => return 0,
            1..32 => return u64::from(self.next_u32() >> (32 - bits)),
            _ => u64::from(self.next_u32()),
        };
        if bits == 32 { low } else { low | u64::from(self.next_u32() >> (64 - bits)) << 32 }
    }

    /// `randrange(n)`: an integer in [0, n), for n > 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "nothing is below 0");
        let bits = u64::BITS - n.leading_zeros();
        loop {
            let value = self.bits(bits);
            if value < n {
                return value;
            }
        }
    }

    /// `shuffle(items)`, in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// The positions that `choices(population, k=count)` picks from a population of `n`.
    pub fn choices(&mut self, n: usize, count: usize) -> Vec<usize> {
        (0..count).map(|_| (self.random() * n as f64).floor() as usize).collect()
    }

    /// The positions that `sample(population, count)` picks from a population of `n`.
    pub fn sample(&mut self, n: usize, count: usize) -> Vec<usize> {
        assert!(count <= n, "a sample of {count} from {n}");
        // Python keeps a list where that is smaller than a set of what was picked.
        let mut set_size = 21;
        if count > 5 {
            set_size += 4_usize.pow((count as f64 * 3.0).log(4.0).ceil() as u32);
        }
        if n <= set_size {
            let mut pool: Vec<usize> = (0..n).collect();
            return (0..count)
                .map(|i| {
                    let j = self.below((n - i) as u64) as usize;
                    let picked = pool[j];
                    pool[j] = pool[n - i - 1];
                    picked
                })
                .collect();
        }
        let mut picked = std::collections::HashSet::new();
        (0..count)
            .map(|_| {
                loop {
                    let j = self.below(n as u64) as usize;
                    if picked.insert(j) {
                        return j;
                    }
                }
            })
            .collect()
    }
}

fn mixed(previous: u32) -> u32 {
    previous ^ previous >> 30
}

/// The next place of seeding, which goes around from the last to the second.
fn step(state: &mut [u32; N], i: usize) -> usize {
    if i + 1 < N {
        return i + 1;
    }
    state[0] = state[N - 1];
    1
}
