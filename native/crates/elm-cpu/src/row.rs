//! Kernels over the last axis of row-major tensors: how many rows, how long, how many a task.

/// Rows of a shape: all but the last axis, and the last.
#[derive(Clone, Copy)]
pub struct RowShape {
    pub rows: usize,
    pub dim: usize,
}

impl RowShape {
    pub fn of(shape: &[usize]) -> RowShape {
        let dim = shape.last().copied().unwrap_or(1);
        RowShape { rows: shape[..shape.len().saturating_sub(1)].iter().product(), dim }
    }

    /// Rows that one task handles, about 8,192 elements: fixed by the shape.
    pub fn grain(self) -> usize {
        (8192 / self.dim.max(1)).max(1)
    }
}
