//! The SIMD level of the machine, found once, and loops compiled for each level.
//!
//! Everything is built for the floor of its target (docs/decisions/0002-x86-64-v3.md). A task of the pool runs inside
//! [`at_level`]: what is inlined there is compiled a second time for AVX-512, so plain loops and [`Vector`] code gain
//! without being written twice. Results are the same at any number of threads; they may differ between levels.
//!
//! [`Vector`]: crate::simd::Vector

use std::fmt;
use std::sync::OnceLock;

/// What loops are compiled for, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the compiler makes of plain arrays.
    Portable,
    /// The base of arm64.
    Neon,
    /// AVX2, FMA, F16C: the floor on x86-64.
    Avx2,
    /// AVX-512 F, BW, VL, DQ and CD.
    Avx512,
}

impl Level {
    /// What every function of this build is compiled for.
    pub const FLOOR: Level = if cfg!(all(
        target_arch = "x86_64",
        target_feature = "avx2",
        target_feature = "fma",
        target_feature = "f16c"
    )) {
        Level::Avx2
    } else if cfg!(all(target_arch = "aarch64", target_feature = "neon")) {
        Level::Neon
    } else {
        Level::Portable
    };

    pub const fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names the highest level that may be used.
pub const VARIABLE: &str = "OPENELM_CPU";

/// Levels that this build has code for and this machine can run, lowest first.
pub fn available() -> &'static [Level] {
    static AVAILABLE: OnceLock<Vec<Level>> = OnceLock::new();
    AVAILABLE.get_or_init(|| {
        let mut levels = vec![Level::FLOOR];
        if has_avx512() {
            levels.push(Level::Avx512);
        }
        levels
    })
}

/// The level in use: the highest one available, or the one that `OPENELM_CPU` names.
///
/// Another value of the variable is an error that lists what there is.
pub fn checked() -> Result<Level, &'static str> {
    static CHOICE: OnceLock<Result<Level, String>> = OnceLock::new();
    let choice = CHOICE.get_or_init(|| {
        let named = std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned());
        choose(named.as_deref(), available())
    });
    choice.as_ref().map(|level| *level).map_err(String::as_str)
}

/// The same, for kernels: a device is not made where [`checked`] fails.
///
/// # Panics
/// Where [`checked`] is an error.
#[inline]
pub fn level() -> Level {
    checked().unwrap_or_else(|message| panic!("{message}"))
}

fn choose(named: Option<&str>, available: &[Level]) -> Result<Level, String> {
    let highest = *available.last().expect("the floor is always there");
    let Some(named) = named.filter(|name| !name.is_empty()) else { return Ok(highest) };
    available.iter().copied().find(|level| level.name() == named).ok_or_else(|| {
        let names: Vec<_> = available.iter().map(|level| level.name()).collect();
        format!(
            "{VARIABLE} must name a level that this build and this machine have ({}), got \"{named}\"; unset it for \
             the highest",
            names.join(", ")
        )
    })
}

/// Instructions beyond [`Level::Avx512`] that some machines with it have; false below that level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Products of bf16 pairs that are added in f32 (AVX512-BF16).
    pub bf16: bool,
    /// Products of four bytes that are added in i32 (AVX512-VNNI).
    pub vnni: bool,
}

/// What the level in use has beyond its base.
pub fn extensions() -> Extensions {
    static EXTENSIONS: OnceLock<Extensions> = OnceLock::new();
    *EXTENSIONS.get_or_init(|| match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => Extensions {
            bf16: is_x86_feature_detected!("avx512bf16"),
            vnni: is_x86_feature_detected!("avx512vnni"),
        },
        _ => Extensions::default(),
    })
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

/// Calls `body`, compiled for the level in use.
///
/// Only what is inlined gains: closures and functions with loops need `#[inline(always)]`, as in
/// `at_level(#[inline(always)] || …)`. Others still work, as they are compiled for the floor.
#[inline(always)]
pub fn at_level<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 {
        // SAFETY: the level is in use only where the machine has its features.
        return unsafe { avx512(body) };
    }
    body()
}

/// Calls `body` as part of a function that has the features of [`Level::Avx512`]; its vectors may be used inside.
///
/// # Safety
/// The machine has these features: [`level`] says so.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512cd,avx2,fma,f16c")]
pub unsafe fn avx512<R>(body: impl FnOnce() -> R) -> R {
    body()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_caps_the_level() {
        let all = [Level::Avx2, Level::Avx512];
        assert_eq!(choose(None, &all), Ok(Level::Avx512));
        assert_eq!(choose(Some(""), &all), Ok(Level::Avx512));
        assert_eq!(choose(Some("avx2"), &all), Ok(Level::Avx2));
        assert_eq!(choose(Some("avx512"), &all), Ok(Level::Avx512));
        assert_eq!(choose(Some("portable"), &[Level::Portable]), Ok(Level::Portable));
    }

    #[test]
    fn a_level_that_is_not_there_is_an_error_that_lists_the_others() {
        for named in ["avx512", "AVX2", "fast"] {
            let message = choose(Some(named), &[Level::Avx2]).unwrap_err();
            let says = ["OPENELM_CPU", "(avx2)", &format!("got \"{named}\"")];
            assert!(says.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn the_level_in_use_is_available() {
        assert!(available().contains(&level()) && available()[0] == Level::FLOOR);
        assert_eq!(
            at_level(
                #[inline(always)]
                || 6 * 7
            ),
            42
        );
        assert!(level() == Level::Avx512 || extensions() == Extensions::default());
    }
}
