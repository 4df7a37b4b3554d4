//! Calls kernels as the engine does, on memory of their own.

use elm_core::{
    Arg, DType, Infer, KernelCall, KernelError, Layout, OpDef, Sample, TensorSpec, View, bf16, f16,
};

use crate::Pool;

/// Owned memory with a layout; the words keep it aligned.
#[derive(Clone)]
pub struct Tensor {
    pub dtype: DType,
    pub layout: Layout,
    memory: Vec<u64>,
}

impl Tensor {
    pub fn new(dtype: DType, shape: &[usize]) -> Tensor {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        Tensor { dtype, layout: Layout::contiguous(shape), memory: vec![0; bytes.div_ceil(8)] }
    }

    pub fn of(dtype: DType, shape: &[usize], value: impl Fn(usize) -> f64) -> Tensor {
        let mut out = Tensor::new(dtype, shape);
        for i in 0..out.layout.elements() {
            let value = value(i);
            let bytes = match dtype {
                DType::F64 => value.to_le_bytes().to_vec(),
                DType::F32 => (value as f32).to_le_bytes().to_vec(),
                DType::BF16 => bf16::from_f64(value).to_le_bytes().to_vec(),
                DType::F16 => f16::from_f64(value).to_le_bytes().to_vec(),
                DType::I32 => (value as i32).to_le_bytes().to_vec(),
                DType::U32 => (value as u32).to_le_bytes().to_vec(),
                other => panic!("no test tensor of {other}"),
            };
            let at = i * dtype.size();
            out.bytes_mut()[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        out
    }

    /// Rows that look random and are the same everywhere.
    pub fn noise(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
        Tensor::of(dtype, shape, |i| {
            let mixed = (i as u64 + seed * 7919 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (mixed >> 40) as f64 / f64::from(1 << 23) - 1.0
        })
    }

    pub fn permuted(mut self, axes: &[usize]) -> Tensor {
        self.layout = self.layout.permute(axes);
        self
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the words are initialized, and bytes have no alignment.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.memory.len() * 8) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.memory.len() * 8) }
    }

    fn view(&mut self) -> View {
        View { base: self.memory.as_mut_ptr().cast(), dtype: self.dtype, layout: self.layout.clone() }
    }
}

/// Runs an op and gives its outputs; mutated inputs change in place. `attrs` holds the attributes of the call.
pub fn call(
    name: &str,
    attrs: &Sample,
    inputs: &mut [Option<Tensor>],
    pool: &Pool,
) -> Result<Vec<Tensor>, KernelError> {
    let op: &'static OpDef = elm_ops::find(name).expect("the op exists");
    let kernel =
        crate::ops::KERNELS.iter().flat_map(|file| file.iter()).find(|k| k.op == name).expect("a kernel");
    let attrs = attrs.attrs(op);
    let layouts: Vec<_> = inputs.iter().map(|i| i.as_ref().map(|i| (i.dtype, i.layout.clone()))).collect();
    let args: Vec<_> =
        layouts.iter().map(|i| i.as_ref().map(|(dtype, layout)| Arg { dtype: *dtype, layout })).collect();
    let infer = Infer { op, inputs: &args, attrs: &attrs };
    infer.check().expect("the call is valid");
    let specs = (op.infer)(&infer).expect("the shapes are valid");
    let mut outputs: Vec<Tensor> =
        specs.iter().map(|TensorSpec { dtype, shape }| Tensor::new(*dtype, shape)).collect();
    let inputs: Vec<_> = inputs.iter_mut().map(|i| i.as_mut().map(Tensor::view)).collect();
    assert!(kernel.strided || inputs.iter().flatten().all(|view| view.layout.is_contiguous()));
    let views: Vec<_> = outputs.iter_mut().map(|o| Some(o.view())).collect();
    let mut workspace = vec![0u64; (kernel.workspace)(&inputs, &views, &attrs).div_ceil(8)];
    (kernel.run)(&KernelCall {
        attrs: &attrs,
        inputs: &inputs,
        outputs: &views,
        workspace: workspace.as_mut_ptr().cast(),
        context: pool,
    })?;
    Ok(outputs)
}
