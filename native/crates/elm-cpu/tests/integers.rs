//! Integers beyond 2⁵³, which the f64 oracles cannot hold.

use elm_core::{Attr, AttrDef, AttrKind, Attrs, DType, Default, KernelCall, Layout, View, attr};
use elm_cpu::Pool;

/// 2⁵³ + 1 is the first whole number that f64 skips.
const LONG: i64 = (1 << 53) + 1;

fn view<T>(data: &mut [T], dtype: DType, shape: &[usize]) -> Option<View> {
    Some(View { base: data.as_mut_ptr().cast(), dtype, layout: Layout::contiguous(shape) })
}

/// Runs a kernel on rows of i64 and gives back the outputs, which are as long as `out`.
fn run<Out: Copy + std::default::Default>(
    op: &str,
    inputs: &[(&[i64], &[usize])],
    attrs: &[(AttrDef, Attr)],
    (out_dtype, out): (DType, &[usize]),
) -> Vec<Out> {
    let kernel = elm_cpu::ops::KERNELS.iter().flat_map(|file| file.iter()).find(|kernel| kernel.op == op);
    let kernel = kernel.unwrap_or_else(|| panic!("no kernel {op}"));
    let mut copies: Vec<Vec<i64>> = inputs.iter().map(|(values, _)| values.to_vec()).collect();
    let inputs: Vec<Option<View>> =
        copies.iter_mut().zip(inputs).map(|(data, (_, shape))| view(data, DType::I64, shape)).collect();
    let mut result = vec![Out::default(); out.iter().product()];
    let outputs = [view(&mut result, out_dtype, out)];
    let defs: &'static [AttrDef] = attrs.iter().map(|(def, _)| *def).collect::<Vec<_>>().leak();
    let attrs = Attrs { defs, values: attrs.iter().map(|(_, value)| value.clone()).collect() };
    let (pool, workspace) = (Pool::new(1), std::ptr::null_mut());
    let call = KernelCall { attrs: &attrs, inputs: &inputs, outputs: &outputs, workspace, context: &pool };
    (kernel.run)(&call).expect("the kernel succeeds");
    result
}

fn binary(op: &str, a: i64, b: i64) -> i64 {
    run::<i64>(op, &[(&[a], &[1]), (&[b], &[1])], &[], (DType::I64, &[1]))[0]
}

fn axis() -> (AttrDef, Attr) {
    (attr::axis("axis", -1, ""), Attr::Int(-1))
}

fn row<Out: Copy + std::default::Default>(
    op: &str,
    x: &[i64],
    dtype: DType,
    out: usize,
    more: (AttrDef, Attr),
) -> Vec<Out> {
    run(op, &[(x, &[x.len()])], &[axis(), more], (dtype, &[out]))
}

#[test]
fn arithmetic_is_exact_and_wraps() {
    assert_eq!(binary("add", LONG, 1), LONG + 1);
    assert_eq!(binary("add", i64::MAX, 1), i64::MIN);
    assert_eq!(binary("sub", i64::MIN, 1), i64::MAX);
    assert_eq!(binary("mul", LONG, 3), 3 * LONG);
    assert_eq!(binary("mul", i64::MAX, 2), -2);
    assert_eq!(binary("maximum", LONG, LONG - 1), LONG);
    assert_eq!(binary("minimum", LONG, LONG - 1), LONG - 1);
    assert_eq!(binary("pow", 3, 39), 3i64.pow(39));
    assert_eq!(binary("bitwise_xor", LONG, 1), 1 << 53);
    assert_eq!(run::<i64>("neg", &[(&[i64::MIN, LONG], &[2])], &[], (DType::I64, &[2])), [i64::MIN, -LONG]);
    assert_eq!(run::<i64>("abs", &[(&[i64::MIN, -LONG], &[2])], &[], (DType::I64, &[2])), [i64::MIN, LONG]);
}

#[test]
fn division_is_exact_and_never_panics() {
    assert_eq!(binary("floor_divide", LONG, 1), LONG);
    assert_eq!(binary("floor_divide", -LONG, 2), -(LONG / 2) - 1);
    assert_eq!(binary("remainder", LONG, 1 << 53), 1);
    assert_eq!([binary("floor_divide", LONG, 0), binary("remainder", LONG, 0)], [0, 0]);
    assert_eq!([binary("floor_divide", i64::MIN, -1), binary("remainder", i64::MIN, -1)], [i64::MIN, 0]);
}

#[test]
fn comparisons_see_every_bit() {
    let compare =
        |op| run::<u8>(op, &[(&[LONG, LONG], &[2]), (&[LONG - 1, LONG], &[2])], &[], (DType::Bool, &[2]));
    assert_eq!([compare("eq"), compare("gt"), compare("le")], [[0, 1], [1, 0], [0, 1]]);
}

#[test]
fn clamp_keeps_what_lies_between() {
    let bounds = [
        (attr::new("min", AttrKind::F64, Default::Absent, ""), Attr::F64(0.5)),
        (attr::new("max", AttrKind::F64, Default::Absent, ""), Attr::F64(1e30)),
    ];
    let y = run::<i64>("clamp", &[(&[LONG, -3, i64::MAX], &[3])], &bounds, (DType::I64, &[3]));
    assert_eq!(y, [LONG, 1, i64::MAX]);
}

#[test]
fn reductions_are_exact_and_wrap() {
    let reduce = |op, x: &[i64]| {
        let attrs =
            [(attr::axes("axis", ""), Attr::Absent), (attr::bool("keep_dims", false, ""), Attr::Bool(false))];
        run::<i64>(op, &[(x, &[x.len()])], &attrs, (DType::I64, &[]))[0]
    };
    assert_eq!(reduce("sum", &[LONG, 1, -2]), LONG - 1);
    assert_eq!(reduce("sum", &[i64::MAX, 1]), i64::MIN);
    assert_eq!(reduce("prod", &[LONG, 3]), 3 * LONG);
    assert_eq!(reduce("max", &[LONG - 1, LONG, 0]), LONG);
    assert_eq!(reduce("min", &[LONG + 1, LONG, i64::MAX]), LONG);
}

#[test]
fn positions_and_order_see_every_bit() {
    let x = [LONG - 1, LONG, i64::MIN, LONG, i64::MAX];
    let keep = || (attr::bool("keep_dims", false, ""), Attr::Bool(false));
    assert_eq!(row::<i32>("argmax", &x[..4], DType::I32, 1, keep()), [1]);
    assert_eq!(row::<i32>("argmin", &x, DType::I32, 1, keep()), [2]);
    let descending = (attr::bool("descending", false, ""), Attr::Bool(true));
    assert_eq!(row::<i64>("sort", &x, DType::I64, 5, descending), [i64::MAX, LONG, LONG, LONG - 1, i64::MIN]);
}

#[test]
fn running_sums_are_exact_and_wrap() {
    let forward = (attr::bool("reverse", false, ""), Attr::Bool(false));
    let y = row::<i64>("cumsum", &[LONG, 1, i64::MAX], DType::I64, 3, forward);
    assert_eq!(y, [LONG, LONG + 1, (LONG + 1).wrapping_add(i64::MAX)]);
}
