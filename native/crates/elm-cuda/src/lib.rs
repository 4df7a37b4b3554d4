//! Kernels for NVIDIA GPUs, one file an op, and the little of the driver that they need.
//!
//! Nothing of CUDA is linked: the driver is opened when somebody first asks for devices, so one binary serves machines
//! with and without a GPU. A [`Gpu`] is one device with one stream of work; all calls of kernels come from one thread.

mod angles;
mod attention;
mod blas;
mod cluster;
mod copy;
mod driver;
mod failure;
mod function;
mod fusion;
mod gate;
mod gpu;
mod graph;
mod grid;
mod hopper;
mod ids;
mod lists;
mod loss;
mod map;
mod memory;
mod modules;
mod nd;
mod pattern;
mod quantized;
mod radix;
mod random;
mod ranges;
mod reduction;
mod sorting;
mod teams;
mod view;

pub mod ops;

pub use blas::{TableFacts, TunedProduct, TuningReport};
pub use copy::copy;
pub use driver::{Probe, probe};
pub use failure::Words;
pub(crate) use function::Param;
pub use fusion::{Fusion, MOST_FUSED, fused_calls, fusion_of};
pub use gate::{Visit, enter};
pub use gpu::Gpu;
pub use graph::Graph;
pub use memory::Event;
pub use modules::COMPILED;
pub use ranges::{range, shows_ranges};
pub use view::address;
