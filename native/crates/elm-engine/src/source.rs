use std::sync::Arc;

use elm_core::{DType, ErrorCode, Layout, OpError};

use crate::device::{Device, byte_size};
use crate::env::Tensor;
use crate::private_pool::PrivatePool;
use crate::storage::Storage;

/// Where a call gets its memory: from its device, or from the pool of a recording on it.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub device: &'static Device,
    pub pool: Option<&'a Arc<PrivatePool>>,
}

impl Source<'_> {
    pub fn of(device: &'static Device) -> Source<'static> {
        Source { device, pool: None }
    }

    /// A row-major tensor without values.
    pub fn tensor(self, dtype: DType, shape: &[usize], op: &'static str) -> Result<Tensor, OpError> {
        let storage = self.bytes(byte_size(dtype, shape), op, || format!("{dtype}{shape:?}"))?;
        Ok(Tensor { storage: Some(Arc::new(storage)), dtype, layout: Layout::contiguous(shape) })
    }

    /// A storage of `bytes` (`None`: more than an address can reach); `what` names it in the error.
    pub fn bytes(
        self,
        bytes: Option<usize>,
        op: &'static str,
        what: impl Fn() -> String,
    ) -> Result<Storage, OpError> {
        let Source { device, pool } = self;
        let Some(bytes) = bytes else {
            let message = format!("{} is larger than any memory", what());
            return Err(OpError::new(ErrorCode::OutOfMemory, op, message));
        };
        device.backend.ready().map_err(|error| OpError { op, ..error })?;
        let alloc = || pool.map_or_else(|| device.allocator.alloc(bytes), |pool| pool.alloc(bytes));
        let block = alloc().or_else(|_| {
            // Cached blocks of other sizes may be all that is in the way.
            device.trim();
            alloc()
        });
        match block {
            Ok(block) => Ok(match pool {
                None => Storage::owned(device, block, bytes),
                Some(pool) => Storage::private(device, block, bytes, pool),
            }),
            Err(stats) => {
                let message = format!(
                    "{} asks for {bytes} bytes on {}; {} of {} are in use (peak {}, cached {})",
                    what(),
                    device.name,
                    stats.current,
                    stats.limit,
                    stats.peak,
                    stats.cached
                );
                Err(OpError::new(ErrorCode::OutOfMemory, op, message))
            }
        }
    }
}
