//! Named ranges around what a thread submits, for NVIDIA's profilers (NVTX); `OPENELM_NVTX=1` asks for them.

use std::sync::OnceLock;

/// Whether somebody asked for ranges, and this build has them.
pub fn shows_ranges() -> bool {
    static ASKED: OnceLock<bool> = OnceLock::new();
    cfg!(nvtx) && *ASKED.get_or_init(|| std::env::var("OPENELM_NVTX").as_deref() == Ok("1"))
}

/// Begins a range on this thread, inside those that have begun before; `None` ends the last one.
pub fn range(name: Option<&str>) {
    if !shows_ranges() {
        return;
    }
    #[cfg(nvtx)]
    {
        use std::ffi::{CString, c_char};

        unsafe extern "C" {
            fn openelm_range_push(name: *const c_char);
            fn openelm_range_pop();
        }
        match name {
            Some(name) => {
                let name = CString::new(name).unwrap_or_default();
                // SAFETY: a text that ends with a zero, which is copied before the call returns.
                unsafe { openelm_range_push(name.as_ptr()) };
            }
            // SAFETY: has no arguments; without a range it does nothing.
            None => unsafe { openelm_range_pop() },
        }
    }
    #[cfg(not(nvtx))]
    let _ = name;
}
