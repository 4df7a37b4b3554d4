//! Measuring the products of a device.

use elm_core::{ErrorCode, KernelError, OpError};
use elm_cuda::{Gpu, TableFacts, TuningReport};

use crate::device::Device;
use crate::env::Env;

type Result<T> = std::result::Result<T, OpError>;

fn failed(KernelError { code, message }: KernelError) -> OpError {
    OpError::new(code, "tune", message)
}

impl Device {
    fn tunable(&self) -> Result<&'static Gpu> {
        self.backend.gpu()?.ok_or_else(|| {
            let message =
                format!("there is nothing to tune on {}: it has one way to compute a product", self.name);
            OpError::new(ErrorCode::InvalidArgument, "tune", message)
        })
    }

    /// Ends tuning: stores what was measured since it [began](Env::begin_tuning).
    pub fn end_tuning(&self) -> Result<TuningReport> {
        let gpu = self.tunable()?;
        self.synchronize();
        gpu.end_tuning().map_err(failed)
    }

    /// How many products were met since tuning began; waits for nothing.
    pub fn tuned_so_far(&self) -> Result<usize> {
        self.tunable()?.tuned_so_far().map_err(failed)
    }

    pub(crate) fn is_tuning(&self) -> bool {
        matches!(self.backend.gpu(), Ok(Some(gpu)) if gpu.is_tuning())
    }

    /// The table by which products are computed; `None` on a device that needs none.
    pub fn tuning_table(&self) -> Result<Option<TableFacts>> {
        self.backend.gpu()?.map(Gpu::tuning_table).transpose().map_err(failed)
    }

    /// Products that were planned by the table, and those whose entry was not taken.
    pub fn planned_by_table(&self) -> Result<[usize; 2]> {
        self.tunable()?.planned_by_table().map_err(failed)
    }
}

impl Env {
    /// From here on the device measures products that are new when it meets them; `again` means also those it knows.
    pub fn begin_tuning(&self, device: &Device, again: bool) -> Result<()> {
        self.refuse_in_capture(
            "nothing runs while it is recorded, so nothing can be measured; tune outside",
        )?;
        let gpu = device.tunable()?;
        device.synchronize();
        gpu.begin_tuning(again).map_err(failed)
    }
}
