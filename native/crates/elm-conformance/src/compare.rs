use elm_core::{DType, OracleOutput};

/// The first value outside `eps(dtype) · |want| + c · eps(accumulator) · magnitude`, in words.
pub fn compare(got: &[f64], want: &OracleOutput, dtype: DType, tolerance: f64) -> Result<(), String> {
    if got.len() != want.values.len() {
        return Err(format!("{} values, the oracle has {}", got.len(), want.values.len()));
    }
    for (i, (&got, &exact)) in got.iter().zip(&want.values).enumerate() {
        let rounded = dtype.round(exact);
        if got == rounded || (got.is_nan() && rounded.is_nan()) {
            continue;
        }
        let magnitude = want.magnitudes.as_ref().map_or(exact.abs(), |m| m[i]);
        let allowed = dtype.epsilon() * exact.abs()
            + tolerance * dtype.accumulator().epsilon() * magnitude
            + smallest_step(dtype);
        let error = (got - exact).abs();
        // A NaN error must fail as well.
        if !dtype.is_float() || !error.is_finite() || error > allowed {
            return Err(format!(
                "[{i}] is {got:e}, the oracle says {exact:e}: off by {error:e}, allowed {allowed:e}"
            ));
        }
    }
    Ok(())
}

/// Results below the normal numbers may be flushed to zero or rounded to the last subnormal.
fn smallest_step(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::MIN_POSITIVE,
        DType::F16 => 6.1e-5 * DType::F16.epsilon(),
        _ => f64::from(f32::MIN_POSITIVE),
    }
}

#[cfg(test)]
mod tests {
    use super::compare;
    use elm_core::DType;

    #[test]
    fn values_off_by_more_than_rounding_are_refused() {
        let want = vec![1.0, -3.0].into();
        assert!(compare(&[1.0, -3.0], &want, DType::F32, 4.0).is_ok());
        assert!(compare(&[1.0 + 1e-7, -3.0], &want, DType::F32, 4.0).is_ok());
        assert!(compare(&[1.001, -3.0], &want, DType::F32, 4.0).is_err());
        assert!(compare(&[f64::NAN, -3.0], &want, DType::F32, 4.0).is_err());
        assert!(compare(&[1.0], &want, DType::F32, 4.0).is_err());
        assert!(compare(&[2.0, -3.0], &want, DType::I32, 4.0).is_err(), "whole numbers are exact");
        assert!(compare(&[f64::INFINITY], &vec![f64::INFINITY].into(), DType::F32, 4.0).is_ok());
        assert!(compare(&[f64::INFINITY], &vec![-f64::INFINITY].into(), DType::F32, 4.0).is_err());
    }
}
