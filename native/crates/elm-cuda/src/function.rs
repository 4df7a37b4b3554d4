//! Kernels by name, and how they are launched.

use std::ffi::{CString, c_void};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use elm_core::{DType, ErrorCode, KernelError};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::driver::{Result, check, sys};
use crate::gate::before_the_driver_goes;
use crate::grid::Grid;
use crate::{Gpu, modules};

/// A kernel of one device with the sizes of its parameters.
pub(crate) struct Function {
    handle: sys::CUfunction,
    parameters: SmallVec<[usize; 8]>,
    /// Whether it was compiled for this very chip, and not for another one whose code the driver took.
    pub is_native: bool,
    /// It waits for the kernel before it, so it may start while that one runs; see `OVERLAPPING` in `common.cuh`.
    overlaps: bool,
}

// SAFETY: a handle of the driver, which may be used from any thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// File and name of the kernel without its dtypes, and these.
type Key = (&'static str, &'static str, SmallVec<[DType; 4]>);

#[derive(Default)]
pub(crate) struct Functions {
    /// They live as long as the process, as their modules do.
    by_name: RwLock<FxHashMap<Key, &'static Function>>,
    modules: Mutex<FxHashMap<&'static str, usize>>,
}

/// Plain data that a kernel takes by value.
///
/// # Safety
/// The type has the layout that the kernel's parameter has: a number, an address, or a `repr(C)` structure of those.
pub unsafe trait Param {
    fn bytes(&self) -> usize {
        size_of_val(self)
    }
}

macro_rules! plain {
    ($($type:ty),*) => {
        // SAFETY: numbers and addresses.
        $(unsafe impl Param for $type {})*
    };
}
plain!(i32, u32, i64, u64, f32, f64, *mut u8, *const u8);

impl Gpu {
    /// Submits a kernel: `name` followed by `_dtype` for each of `dtypes`, from the file `module`.
    ///
    /// The number and sizes of the arguments are compared with what the kernel takes.
    pub(crate) fn launch(
        &self,
        module: &'static str,
        name: &'static str,
        dtypes: &[DType],
        grid: Grid,
        args: &[&dyn Param],
    ) -> Result<()> {
        if grid.is_empty() {
            return Ok(());
        }
        let function = self.function(module, name, dtypes)?;
        assert!(
            function.parameters.iter().copied().eq(args.iter().map(|arg| arg.bytes())),
            "{name} takes parameters of {:?} bytes, not {:?}",
            function.parameters,
            args.iter().map(|arg| arg.bytes()).collect::<Vec<_>>()
        );
        let mut pointers: SmallVec<[*mut c_void; 16]> = SmallVec::new();
        for &arg in args {
            pointers.push(std::ptr::from_ref(arg).cast_mut().cast());
        }
        let mut attributes: SmallVec<[sys::CUlaunchAttribute; 2]> = SmallVec::new();
        if function.overlaps {
            attributes.push(attribute(
                sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
                sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
            ));
        }
        if grid.cluster > 1 {
            let size = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: grid.cluster, y: 1, z: 1 };
            attributes.push(attribute(
                sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                sys::CUlaunchAttributeValue { clusterDim: size },
            ));
        }
        let ([x, y, z], [tx, ty, tz]) = (grid.blocks, grid.threads);
        let config = sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: tx,
            blockDimY: ty,
            blockDimZ: tz,
            sharedMemBytes: grid.shared,
            hStream: self.stream,
            attrs: attributes.as_mut_ptr(),
            numAttrs: attributes.len() as u32,
        };
        // SAFETY: the function lives with its module, which is never unloaded; the pointers lead to as many bytes as its
        // parameters have, and the driver copies them and the attributes before it returns. Only functions that wait for
        // the kernel before them may start early.
        let status = unsafe {
            let (config, none) = (&raw const config, std::ptr::null_mut());
            sys::cuLaunchKernelEx(config, function.handle, pointers.as_mut_ptr(), none)
        };
        check(status, name)
    }

    pub(crate) fn function(
        &self,
        module: &'static str,
        name: &'static str,
        dtypes: &[DType],
    ) -> Result<&'static Function> {
        let key = (module, name, SmallVec::from_slice(dtypes));
        let known = self.functions.by_name.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some(function) = known {
            return Ok(function);
        }
        let full = dtypes.iter().fold(name.to_owned(), |name, dtype| format!("{name}_{}", dtype.name()));
        let mut by_name = self.functions.by_name.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        if let Some(function) = by_name.get(&key) {
            return Ok(function);
        }
        let function = Box::leak(Box::new(self.load(module, &full)?));
        by_name.insert(key, function);
        Ok(function)
    }

    fn load(&self, module: &'static str, name: &str) -> Result<Function> {
        let module = self.module(module)?;
        let text = CString::new(name).expect("names of kernels have no zero");
        let mut handle = std::ptr::null_mut();
        // SAFETY: a live module and a text that ends with a zero.
        let status = unsafe { sys::cuModuleGetFunction(&raw mut handle, module, text.as_ptr()) };
        check(status, name)?;
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let fixed = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
        let mut own = 0;
        // SAFETY: a live function; how much a launch really takes stands in its grid.
        unsafe {
            check(sys::cuFuncGetAttribute(&raw mut own, fixed, handle), name)?;
            let most = self.limits.shared as i32 - own;
            check(sys::cuFuncSetAttribute(handle, attribute, most), name)?;
        }
        let source = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_PTX_VERSION;
        let mut version = 0;
        // SAFETY: a live function.
        check(unsafe { sys::cuFuncGetAttribute(&raw mut version, source, handle) }, name)?;
        let (major, minor) = self.limits.capability;
        let is_native = version as u32 == major * 10 + minor;
        let mut parameters = SmallVec::new();
        loop {
            let (mut offset, mut size) = (0, 0);
            // SAFETY: writes two numbers; past the last parameter it says that there is none.
            let status =
                unsafe { sys::cuFuncGetParamInfo(handle, parameters.len(), &raw mut offset, &raw mut size) };
            if status != sys::CUresult::CUDA_SUCCESS {
                let overlaps = may_overlap() && has_mark(module, name);
                return Ok(Function { handle, parameters, is_native, overlaps });
            }
            parameters.push(size);
        }
    }

    fn module(&self, name: &'static str) -> Result<sys::CUmodule> {
        let mut modules = self.functions.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&module) = modules.get(name) {
            return Ok(module as sys::CUmodule);
        }
        let code = modules::code(name).ok_or_else(|| KernelError {
            code: ErrorCode::NoKernel,
            message: format!("this build has no kernels of {name}"),
        })?;
        self.bind();
        let mut module = std::ptr::null_mut();
        // SAFETY: a whole fatbin, which the compiler wrote and this binary embeds.
        check(unsafe { sys::cuModuleLoadData(&raw mut module, code.as_ptr().cast()) }, name)?;
        before_the_driver_goes();
        modules.insert(name, module as usize);
        Ok(module)
    }
}

fn attribute(id: sys::CUlaunchAttributeID, value: sys::CUlaunchAttributeValue) -> sys::CUlaunchAttribute {
    sys::CUlaunchAttribute { id, pad: [0; 4], value }
}

/// Whether a kernel of a module was made by `OVERLAPPING`, for this chip.
fn has_mark(module: sys::CUmodule, kernel: &str) -> bool {
    let text = CString::new(format!("overlaps_{kernel}")).expect("names of kernels have no zero");
    let (mut address, mut size) = (0, 0);
    // SAFETY: a live module and a text that ends with a zero; writes two numbers.
    let status = unsafe { sys::cuModuleGetGlobal_v2(&raw mut address, &raw mut size, module, text.as_ptr()) };
    status == sys::CUresult::CUDA_SUCCESS
}

/// `OPENELM_CUDA_PDL=0`: every kernel starts when the one before it has ended, to see what overlapping them gives.
fn may_overlap() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| std::env::var("OPENELM_CUDA_PDL").as_deref() != Ok("0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe;
    use DType::{BF16, F32};

    /// Without a GPU there is nothing to look at.
    #[test]
    fn kernels_of_a_decoded_token_start_early_where_their_code_can_wait() {
        if probe().devices.is_empty() {
            return;
        }
        let gpu = Gpu::open(0).unwrap();
        // Other chips run what the driver makes of code for older ones.
        let waits = gpu.limits.capability == (9, 0) && may_overlap();
        for (module, name, dtypes) in [
            ("rms_norm", "rms_norm", &[BF16, F32][..]),
            ("few_rows", "by_column_1", &[BF16, BF16]),
            ("few_rows", "by_row_16", &[F32, F32]),
            ("qk_norm_rope", "heads_packed_cache", &[BF16, F32]),
            ("attention_decode", "attention_decode_4", &[BF16]),
            ("attention_cluster", "attention_cluster_64", &[BF16]),
            ("cached_attention", "cached_attention_128", &[BF16, F32]),
            ("norm_product", "norm_swiglu", &[BF16, BF16]),
            ("swiglu", "swiglu", &[BF16]),
            ("binary", "add", &[BF16]),
        ] {
            assert_eq!(gpu.function(module, name, dtypes).unwrap().overlaps, waits, "{name}");
        }
        for (module, name, dtypes) in
            [("rms_norm", "rms_norm_backward", &[BF16, F32][..]), ("swiglu", "swiglu_backward", &[BF16])]
        {
            assert!(!gpu.function(module, name, dtypes).unwrap().overlaps, "{name}");
        }
    }
}
