//! Tensors that cross from one environment to another, by a number instead of a bare handle.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use elm_core::{ErrorCode, OpError};

use crate::env::{Env, Handle, Tensor};

struct Shared {
    next: u64,
    tensors: Option<HashMap<u64, Tensor>>,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared { next: 1, tensors: None });

/// Puts a reference to the tensor where another environment can fetch it, once.
pub fn share(env: &Env, handle: Handle) -> Result<u64, OpError> {
    let tensor = env.get(handle)?.clone();
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let token = shared.next;
    shared.next += 1;
    shared.tensors.get_or_insert_default().insert(token, tensor);
    Ok(token)
}

/// Takes the tensor that `token` stands for.
pub fn adopt(env: &mut Env, token: u64) -> Result<Handle, OpError> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let tensor = shared.tensors.get_or_insert_default().remove(&token);
    drop(shared);
    let tensor = tensor.ok_or_else(|| {
        OpError::new(ErrorCode::InvalidArgument, "fromShared", "this token was used already or never given")
    })?;
    Ok(env.insert(tensor, "fromShared"))
}
