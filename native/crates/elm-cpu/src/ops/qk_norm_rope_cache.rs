use elm_core::{Attrs, Kernel, KernelCall, KernelError, Layout, View};

use super::assign::{read_positions, write_all};
use super::qk_norm_rope::{Sizes, Split, bytes, split};
use crate::view::CallExt;

pub static KERNELS: &[Kernel] = &[Kernel::new("qk_norm_rope_cache", forward)
    .with_workspace(|inputs, _, attrs| inputs[0].as_ref().map_or(0, |qkv| Room::of(qkv, attrs).end))
    .with_cost(|inputs, _, _| inputs[0].as_ref().map_or(0, |qkv| qkv.bytes() as u64 / 2))];

/// Where the workspace has the new keys and values, behind what splitting wants.
struct Room {
    keys: usize,
    values: usize,
    end: usize,
}

impl Room {
    fn of(qkv: &View, attrs: &Attrs) -> Room {
        let Sizes { batch, tokens, kv, dim, .. } = Sizes::of(qkv, attrs);
        let keys = bytes(Some(qkv), true, attrs, 0).next_multiple_of(64);
        let each = (batch * tokens * kv * dim * qkv.dtype.size()).next_multiple_of(64);
        Room { keys, values: keys + each, end: keys + 2 * each }
    }
}

/// The new keys and values are made in the workspace, whole, before the first of them is written: `qkv` may share memory
/// with the caches, and those may have any strides.
fn forward(call: &KernelCall) -> Result<(), KernelError> {
    let (qkv, keys, values, offset) = (call.input(0), call.input(1), call.input(2), call.input(3));
    let Sizes { batch, tokens, kv, dim, .. } = Sizes::of(qkv, call.attrs);
    let positions = read_positions(offset, keys.shape()[2], tokens)?;
    let room = Room::of(qkv, call.attrs);
    let [new_keys, new_values] = [room.keys, room.values].map(|at| View {
        base: call.workspace.wrapping_add(at),
        dtype: qkv.dtype,
        layout: Layout::contiguous(&[batch, kv, tokens, dim]),
    });
    split(
        call,
        &Split {
            qkv,
            weights: [4, 5].map(|i| call.optional_input(i)),
            offset: Some(offset),
            outputs: [call.output(0), &new_keys, &new_values],
            rstds: [None, None],
        },
    );
    write_all(call.pool(), keys, &new_keys, &positions);
    write_all(call.pool(), values, &new_values, &positions);
    Ok(())
}
