//! The fingerprint of the table, which binary and packages compare before the first call.

use crate::OPS;

/// FNV-1a over everything that the wire depends on: names, inputs, attributes, outputs, in order.
pub fn hash() -> u32 {
    let mut hash: u32 = 0x811C_9DC5;
    let mut feed = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    };
    for op in OPS.iter() {
        feed(op.name);
        op.inputs.iter().for_each(|input| feed(&format!("{}{:?}{}", input.name, input.arity, input.mutates)));
        op.attrs.iter().for_each(|attr| feed(&format!("{}{:?}{:?}", attr.name, attr.kind, attr.default)));
        op.outputs.iter().for_each(|output| feed(&format!("{}{}", output.name, output.saved)));
    }
    hash
}
