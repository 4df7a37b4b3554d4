use std::ops::Range;

use elm_core::{Attrs, DType, Kernel, KernelCall, KernelError, View, bf16, f16};

use crate::scratch::with as with_scratch;
use crate::simd::Slices;
use crate::stream_store::Stores;
use crate::view::{CallExt, Rows, slice};
use crate::with_width;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("embedding", forward),
    Kernel::new("embedding_backward", backward).with_workspace(sorted_bytes),
];

/// Elements that one task copies or sums.
const GRAIN: usize = 16 * 1024;

fn forward(call: &KernelCall) -> Result<(), KernelError> {
    let (weight, ids) = (call.input(0), slice::<i32>(call.input(1)));
    let [rows, dim] = [weight.shape()[0], weight.shape()[1]];
    check_ids(ids, rows)?;
    with_width!(weight.dtype, T => {
        let (weight, y) = (slice::<T>(weight), Rows::<T>::new(call.output(0)));
        let stores = Stores::of(call.output(0));
        call.pool().run_ranges(ids.len(), (GRAIN / dim.max(1)).max(1), |positions| {
            for position in positions {
                let row = ids[position] as usize * dim;
                // SAFETY: every position belongs to one task.
                let y = unsafe { y.part(position * dim, dim) };
                stores.copy(&weight[row..row + dim], y);
            }
        });
    });
    Ok(())
}

/// Before anything is written: every id names a row.
fn check_ids(ids: &[i32], rows: usize) -> Result<(), KernelError> {
    let wrong = |&id: &i32| id < 0 || id as usize >= rows;
    match ids.iter().position(wrong) {
        None => Ok(()),
        Some(position) => Err(KernelError::index(format!(
            "ids must lie in 0 … {}, got {} at position {position} (the table has {rows} rows)",
            rows as i64 - 1,
            ids[position]
        ))),
    }
}

/// Room for [`by_id`]: where the group of each id ends, and all positions.
fn sorted_bytes(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    let ids = inputs[1].as_ref().map_or(0, View::elements);
    (attrs.int("rows") as usize + ids) * size_of::<u32>()
}

fn backward(call: &KernelCall) -> Result<(), KernelError> {
    let (grad, ids, y) = (call.input(0), slice::<i32>(call.input(1)), call.output(0));
    let rows = y.shape()[0];
    check_ids(ids, rows)?;
    let ends = call.scratch::<u32>(0, rows);
    let order = call.scratch::<u32>(rows, ids.len());
    by_id(ids, ends, order);
    match (grad.dtype, y.dtype.size()) {
        (DType::F64, _) => sum_groups::<f64, f64>(call, ends, order),
        (DType::F32, _) => sum_groups::<f32, f32>(call, ends, order),
        (DType::BF16, 2) => sum_groups::<bf16, bf16>(call, ends, order),
        (DType::BF16, _) => sum_groups::<bf16, f32>(call, ends, order),
        (DType::F16, 2) => sum_groups::<f16, f16>(call, ends, order),
        (DType::F16, _) => sum_groups::<f16, f32>(call, ends, order),
        (other, _) => unreachable!("signatures admit no {other} here"),
    }
    Ok(())
}

/// Counting sort: positions grouped by id, each group in the order of the positions.
fn by_id(ids: &[i32], ends: &mut [u32], order: &mut [u32]) {
    ends.fill(0);
    ids.iter().for_each(|&id| ends[id as usize] += 1);
    let mut start = 0;
    for end in ends.iter_mut() {
        start += std::mem::replace(end, start);
    }
    // Each start moves to the end of its group as the group fills.
    for (position, &id) in ids.iter().enumerate() {
        let slot = &mut ends[id as usize];
        order[*slot as usize] = position as u32;
        *slot += 1;
    }
}

/// Every row of the result is the sum of its group, by one task.
fn sum_groups<T, Y>(call: &KernelCall, ends: &[u32], order: &[u32])
where
    T: Slices,
    Y: Slices<Acc = T::Acc>,
{
    let y = call.output(0);
    let dim = y.shape()[1];
    let grad = slice::<T>(call.input(0));
    let padding = call.attrs.is_given("padding_index").then(|| call.attrs.int("padding_index") as usize);
    let (out, stores) = (Rows::<Y>::new(y), Stores::of(y));
    call.pool().run_ranges(ends.len(), (GRAIN / dim.max(1)).max(1), |rows: Range<usize>| {
        with_scratch(dim, |sums: &mut [T::Acc]| {
            for row in rows {
                let start = if row == 0 { 0 } else { ends[row - 1] as usize };
                let group = if padding == Some(row) { &[] } else { &order[start..ends[row] as usize] };
                // SAFETY: every row belongs to one task.
                let out = unsafe { out.part(row * dim, dim) };
                let Some((&first, others)) = group.split_first() else {
                    stores.fill(out, |_, part| part.fill(Y::from_f64(0.0)));
                    continue;
                };
                let line = |position: u32| &grad[position as usize * dim..(position as usize + 1) * dim];
                T::widen(line(first), sums);
                for &position in others {
                    sums.iter_mut().zip(line(position)).for_each(|(sum, grad)| *sum += grad.load());
                }
                stores.fill(out, |range, part| Y::narrow(&sums[range], part));
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pool;
    use crate::testing::{Tensor, call};

    #[test]
    fn an_id_outside_the_table_is_named() {
        let pool = Pool::new(2);
        for (bad, dtype) in [(7.0, DType::F32), (-1.0, DType::BF16)] {
            let ids = Tensor::of(DType::I32, &[2, 3], |i| if i == 4 { bad } else { 1.0 });
            let table = Tensor::noise(dtype, &[7, 5], 1);
            let looked_up =
                call("embedding", &elm_core::sample(&[]), &mut [Some(table), Some(ids.clone())], &pool);
            let grad = Tensor::noise(dtype, &[2, 3, 5], 1);
            let attrs = elm_core::sample(&[]).int("rows", 7);
            let summed = call("embedding_backward", &attrs, &mut [Some(grad), Some(ids)], &pool);
            for outcome in [looked_up, summed] {
                let error = outcome.err().expect("the id is refused");
                assert_eq!(error.code, elm_core::ErrorCode::IndexOutOfRange);
                let named = [format!("got {bad} "), "position 4 ".into(), "7 rows".into()];
                assert!(named.iter().all(|part| error.message.contains(part)), "{}", error.message);
            }
        }
    }

    #[test]
    fn groups_keep_the_order_of_positions() {
        let (mut ends, mut order) = ([9; 4], [9; 6]);
        by_id(&[2, 0, 2, 3, 0, 2], &mut ends, &mut order);
        assert_eq!((ends, order), ([2, 2, 5, 6], [1, 4, 0, 2, 5, 3]));
    }
}
