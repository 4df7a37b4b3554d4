//! The compiled kernels that `build.rs` embedded.

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// The code of a file of kernels.
pub fn code(name: &str) -> Option<&'static [u8]> {
    MODULES.iter().find(|(module, _)| *module == name).map(|(_, code)| *code)
}
