/// Instructions that the micro-kernels may use, from the plainest up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the build demands.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F.
    Avx512,
    /// AVX-512 F and BF16: products of bf16 matrices multiply pairs of elements.
    Avx512Bf16,
}

impl Level {
    /// The best of this machine.
    pub fn best() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                let pairs = is_x86_feature_detected!("avx512bf16");
                return if pairs { Level::Avx512Bf16 } else { Level::Avx512 };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Level::Avx2;
            }
        }
        Level::Portable
    }

    /// Every level that this machine can run.
    pub fn all() -> impl Iterator<Item = Level> {
        let best = Level::best();
        [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Bf16]
            .into_iter()
            .filter(move |&l| l <= best)
    }
}
