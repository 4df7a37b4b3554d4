//! Ops whose products are measured when they are met: what they give then, and by the table that comes of it.

use std::sync::Arc;

use elm_engine::{Device, Env, TuningReport};

use crate::check::{Report, check_op};

/// What was measured, and whether the table gave it again.
pub struct Tuned {
    pub report: TuningReport,
    /// Products that were planned by the table.
    pub by_table: usize,
    /// Of what was written with the table.
    pub fingerprint: u64,
}

/// Checks ops in tuning mode, then with the table that was stored, which must give the same bits.
///
/// An error says why nothing can be tuned on this device.
pub fn check_tuned(report: &mut Report, device: &Arc<Device>, ops: &[usize]) -> Result<Tuned, String> {
    let mut pass = || {
        let mut part = Report::default();
        ops.iter().for_each(|&index| check_op(&mut part, device, index));
        report.ops = part.ops;
        report.checked += part.checked;
        let fingerprint = part.fingerprint();
        report.failures.append(&mut part.failures);
        fingerprint
    };
    Env::default().begin_tuning(device, false).map_err(|error| error.message)?;
    let measuring = pass();
    let tuning = device.end_tuning().map_err(|error| error.message)?;
    let fingerprint = pass();
    if measuring != fingerprint {
        report.failures.push("products by the table gave other bits than when they were measured".into());
    }
    let [by_table, refused] = device.planned_by_table().map_err(|error| error.message)?;
    if refused > 0 {
        report.failures.push(format!("{refused} entries of the table were not taken"));
    }
    let known = tuning.products.iter().filter(|product| product.best.is_some()).count();
    if by_table < known {
        report.failures.push(format!("{known} products were in the table, {by_table} were planned by it"));
    }
    Ok(Tuned { report: tuning, by_table, fingerprint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matmul() -> [usize; 1] {
        [elm_ops::OPS.iter().position(|op| op.name == "matmul").expect("there is such an op")]
    }

    #[test]
    fn a_device_without_such_products_says_so_and_checks_nothing() {
        let device = elm_engine::device(0).expect("the CPU is always there");
        let mut report = Report::default();
        let error = check_tuned(&mut report, device, &matmul()).err().expect("nothing to tune");
        assert!(error.contains("nothing to tune on cpu"), "{error}");
        assert_eq!(report.checked, 0);
    }

    #[test]
    fn fingerprints_tell_results_apart() {
        let device = elm_engine::device(0).expect("the CPU is always there");
        let bits = |name: &str| {
            let mut report = Report::default();
            let index = elm_ops::OPS.iter().position(|op| op.name == name).expect("there is such an op");
            check_op(&mut report, device, index);
            assert_eq!(report.failures, Vec::<String>::new());
            report.fingerprint()
        };
        assert_eq!(bits("add"), bits("add"));
        assert_ne!(bits("add"), bits("sub"));
    }

    #[test]
    fn products_by_the_table_are_those_that_were_measured() {
        let Some(device) = elm_engine::devices().nth(1) else { return };
        let mut report = Report::default();
        check_tuned(&mut report, device, &matmul()).expect("a GPU has products to tune");
        assert_eq!(report.failures, Vec::<String>::new());
        assert!(report.checked > 0);
    }
}
