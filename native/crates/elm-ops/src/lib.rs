//! The table of ops: one file an op under `ops/`, each with schema, shape rule, samples and f64 oracle.
//!
//! Oracles are slow and clear; they are what kernels on every device are held to. Nothing here knows a device.
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use elm_core::OpDef;

pub mod indexing;
mod ops;
pub mod quantized;
pub mod rules;
pub mod table;

/// All ops, sorted by name. The position of an op is its index on the wire.
pub static OPS: LazyLock<Vec<&'static OpDef>> = LazyLock::new(|| {
    let mut ops: Vec<&'static OpDef> = ops::OPS.iter().flat_map(|file| file.iter().copied()).collect();
    ops.sort_by_key(|op| op.name);
    ops
});

pub fn find(name: &str) -> Option<&'static OpDef> {
    OPS.binary_search_by_key(&name, |op| op.name).ok().map(|index| OPS[index])
}

#[cfg(test)]
mod tests {
    use super::OPS;

    #[test]
    fn names_are_unique_and_snake_case() {
        for pair in OPS.windows(2) {
            assert_ne!(pair[0].name, pair[1].name);
        }
        for op in OPS.iter() {
            assert!(
                op.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
                "{}",
                op.name
            );
        }
    }

    /// An op without samples would not be checked at all.
    #[test]
    fn every_op_is_documented_sampled_and_has_signatures() {
        for op in OPS.iter() {
            assert!(!op.doc.is_empty(), "{} has no doc", op.name);
            assert!(!(op.samples)().is_empty(), "{} has no samples", op.name);
            assert!(op.inputs.is_empty() || !op.signatures.is_empty(), "{} has no signatures", op.name);
            for sample in (op.samples)() {
                sample.attrs(op);
            }
        }
    }
}
