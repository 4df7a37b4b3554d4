//! What turns a checked call into work on a device: handles, storages, the allocator and the ordered stream.
//!
//! Nothing here knows an op by name, nor JavaScript.

mod alloc;
mod backend;
mod cell;
mod command;
mod device;
mod dispatch;
mod env;
mod private_pool;
mod recording;
mod replay;
mod share;
mod source;
mod storage;
mod stream;
mod tuning;

pub use alloc::MemoryStats;
pub use command::{Read, ReadResult};
pub use device::{Device, DeviceId, META, device, device_names, devices, find_device};
pub use dispatch::{Call, Outputs};
pub use elm_cpu::level::{available as simd_levels, checked as simd_level};
pub use elm_cuda::{TableFacts, TunedProduct, TuningReport, fused_calls, probe as cuda_probe};
pub use env::{Env, Handle, Tensor};
pub use recording::{Program, Recording};
pub use share::{adopt, share};
pub use storage::Storage;
