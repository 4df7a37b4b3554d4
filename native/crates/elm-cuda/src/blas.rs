//! Matrix products by cuBLASLt, opened at run time.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use cudarc::cublaslt::sys;
use elm_core::{DType, ErrorCode, KernelError};

use crate::Gpu;
use crate::driver::{self, Result};

/// Scratch memory that products share: the stream runs one at a time.
const WORKSPACE: usize = 64 << 20;

/// A matrix in device memory, or as many as a batch has: where it starts and its steps, in elements.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    pub start: *mut u8,
    pub dtype: DType,
    /// From row to row, and from column to column.
    pub steps: [isize; 2],
    /// From matrix to matrix.
    pub batch: isize,
}

/// `c = a · b`, or `c += a · b`, for every matrix of a batch.
pub struct Product {
    /// Rows of the result, its columns, and the length of the sums.
    pub size: [usize; 3],
    pub batches: usize,
    pub a: Matrix,
    pub b: Matrix,
    /// Row-major.
    pub c: Matrix,
    pub accumulate: bool,
}

/// How a matrix lies for cuBLAS: whether its columns are its straight axis, and the step of the other one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Lie {
    row_major: bool,
    leading: i64,
}

impl Matrix {
    /// Whether one axis is straight, as cuBLAS wants it; others must be copied.
    pub fn fits(&self, rows: usize, columns: usize) -> bool {
        self.lie(rows, columns).is_some()
    }

    fn lie(&self, rows: usize, columns: usize) -> Option<Lie> {
        let [down, across] = self.steps;
        let (rows, columns) = (rows as isize, columns as isize);
        if (across == 1 || columns == 1) && (down >= columns || rows == 1) {
            return Some(Lie { row_major: true, leading: if rows == 1 { columns } else { down } as i64 });
        }
        if (down == 1 || rows == 1) && (across >= rows || columns == 1) {
            return Some(Lie { row_major: false, leading: if columns == 1 { rows } else { across } as i64 });
        }
        None
    }

    /// The largest power of two up to 256 that divides the address.
    fn alignment(&self) -> u32 {
        1 << (self.start as usize).trailing_zeros().min(8)
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    size: [usize; 3],
    batches: usize,
    dtypes: [DType; 2],
    lies: [Lie; 3],
    strides: [isize; 3],
    alignments: [u32; 3],
    accumulate: bool,
}

struct Plan {
    operation: sys::cublasLtMatmulDesc_t,
    /// In the order of cuBLAS: b, a, c.
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
}

pub(crate) struct Blas {
    handle: sys::cublasLtHandle_t,
    workspace: *mut u8,
    plans: Mutex<HashMap<Key, Plan>>,
}

// SAFETY: handles of the library, which may be used from any thread; plans are read under their lock.
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Sync for Blas {}

fn check(status: sys::cublasStatus_t, what: &str) -> Result<()> {
    if status == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS {
        return Ok(());
    }
    Err(KernelError { code: ErrorCode::KernelFailed, message: format!("cuBLAS, {what}: {status:?}") })
}

impl Blas {
    pub fn open(gpu: &Gpu) -> Result<Blas> {
        let unavailable = |message| KernelError { code: ErrorCode::DeviceUnavailable, message };
        // Found by its name from here on.
        driver::open(&["libcublasLt.so.13", "libcublasLt.so", "cublasLt64_13.dll"]).map_err(unavailable)?;
        let mut handle = std::ptr::null_mut();
        gpu.bind();
        // SAFETY: the library is loaded, and it writes one handle.
        check(unsafe { sys::cublasLtCreate(&raw mut handle) }, "to start")?;
        let workspace = gpu.alloc(WORKSPACE);
        if workspace.is_null() {
            let message = "no memory for the workspace of cuBLAS".into();
            return Err(KernelError { code: ErrorCode::OutOfMemory, message });
        }
        Ok(Blas { handle, workspace, plans: Mutex::default() })
    }
}

impl Gpu {
    /// Submits a product. Both factors [fit](Matrix::fits), and nothing is empty.
    pub(crate) fn multiply(&self, product: &Product) -> Result<()> {
        let blas = self.blas()?;
        let key = product.key();
        let mut plans = blas.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if !plans.contains_key(&key) {
            let plan = Plan::new(blas, &key)?;
            plans.insert(key.clone(), plan);
        }
        let plan = &plans[&key];
        let wide = key.dtypes[0] == DType::F64;
        let (one, zero) = ((1.0f32, 1.0f64), (0.0f32, 0.0f64));
        let scalar = |pair: &(f32, f64)| -> *const c_void {
            if wide { (&raw const pair.1).cast() } else { (&raw const pair.0).cast() }
        };
        let beta = if product.accumulate { scalar(&one) } else { scalar(&zero) };
        let c = product.c.start;
        // SAFETY: the plan was made for these shapes, steps and alignments; the views are live, and the workspace is used
        // in the order of the stream.
        let status = unsafe {
            sys::cublasLtMatmul(
                blas.handle,
                plan.operation,
                scalar(&one),
                product.b.start.cast(),
                plan.layouts[0],
                product.a.start.cast(),
                plan.layouts[1],
                beta,
                c.cast(),
                plan.layouts[2],
                c.cast(),
                plan.layouts[2],
                &raw const plan.algorithm,
                blas.workspace.cast(),
                WORKSPACE,
                self.stream.cast(),
            )
        };
        check(status, "to multiply")
    }
}

impl Product {
    fn key(&self) -> Key {
        let [m, n, k] = self.size;
        let lie = |matrix: &Matrix, rows, columns| {
            matrix.lie(rows, columns).expect("the launcher copied what does not fit")
        };
        Key {
            size: self.size,
            batches: self.batches,
            dtypes: [self.a.dtype, self.c.dtype],
            lies: [lie(&self.b, k, n), lie(&self.a, m, k), lie(&self.c, m, n)],
            strides: [self.b.batch, self.a.batch, self.c.batch],
            alignments: [self.b.alignment(), self.a.alignment(), self.c.alignment()],
            accumulate: self.accumulate,
        }
    }
}

fn data_type(dtype: DType) -> sys::cudaDataType {
    match dtype {
        DType::F64 => sys::cudaDataType::CUDA_R_64F,
        DType::BF16 => sys::cudaDataType::CUDA_R_16BF,
        DType::F16 => sys::cudaDataType::CUDA_R_16F,
        _ => sys::cudaDataType::CUDA_R_32F,
    }
}

impl Plan {
    /// cuBLAS counts columns first, so it is asked for `cᵀ = bᵀ · aᵀ`: a row-major matrix is its own transpose there.
    fn new(blas: &Blas, key: &Key) -> Result<Plan> {
        let [m, n, k] = key.size;
        let (compute, scale) = match key.dtypes[0] {
            DType::F64 => (sys::cublasComputeType_t::CUBLAS_COMPUTE_64F, sys::cudaDataType::CUDA_R_64F),
            _ => (sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, sys::cudaDataType::CUDA_R_32F),
        };
        let mut operation = std::ptr::null_mut();
        // SAFETY: writes one handle.
        check(unsafe { sys::cublasLtMatmulDescCreate(&raw mut operation, compute, scale) }, "to describe")?;
        let [lie_b, lie_a, _] = key.lies;
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        for (attribute, lie) in
            [(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, lie_b), (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, lie_a)]
        {
            let transposed = i32::from(!lie.row_major);
            // SAFETY: the attribute is a 32-bit number.
            let status = unsafe {
                sys::cublasLtMatmulDescSetAttribute(operation, attribute, (&raw const transposed).cast(), 4)
            };
            check(status, "to describe")?;
        }
        // Rows and columns as cuBLAS stores them: the straight axis first.
        let stored = |lie: Lie, rows: usize, columns: usize| {
            if lie.row_major { [columns, rows] } else { [rows, columns] }
        };
        let shapes = [stored(key.lies[0], k, n), stored(key.lies[1], m, k), stored(key.lies[2], m, n)];
        let dtypes = [key.dtypes[0], key.dtypes[0], key.dtypes[1]];
        let mut layouts = [std::ptr::null_mut(); 3];
        for i in 0..3 {
            layouts[i] = layout(dtypes[i], shapes[i], key.lies[i].leading, key.batches, key.strides[i])?;
        }
        let algorithm = choose(blas, key, operation, layouts)?;
        Ok(Plan { operation, layouts, algorithm })
    }
}

fn layout(
    dtype: DType,
    [rows, columns]: [usize; 2],
    leading: i64,
    batches: usize,
    stride: isize,
) -> Result<sys::cublasLtMatrixLayout_t> {
    use sys::cublasLtMatrixLayoutAttribute_t as Attribute;
    let mut layout = std::ptr::null_mut();
    // SAFETY: writes one handle.
    let status = unsafe {
        sys::cublasLtMatrixLayoutCreate(
            &raw mut layout,
            data_type(dtype),
            rows as u64,
            columns as u64,
            leading,
        )
    };
    check(status, "to describe a matrix")?;
    let (count, stride) = (batches as i32, stride as i64);
    // SAFETY: the attributes are a 32-bit and a 64-bit number.
    unsafe {
        let count = (&raw const count).cast();
        let attribute = Attribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT;
        check(sys::cublasLtMatrixLayoutSetAttribute(layout, attribute, count, 4), "to describe a batch")?;
        let stride = (&raw const stride).cast();
        let attribute = Attribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET;
        check(sys::cublasLtMatrixLayoutSetAttribute(layout, attribute, stride, 8), "to describe a batch")?;
    }
    Ok(layout)
}

/// The heuristic's first choice among those that give the same bits every time.
fn choose(
    blas: &Blas,
    key: &Key,
    operation: sys::cublasLtMatmulDesc_t,
    [b, a, c]: [sys::cublasLtMatrixLayout_t; 3],
) -> Result<sys::cublasLtMatmulAlgo_t> {
    use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
    /// Partial sums in the compute type, added in a fixed order; sums in place use atomics.
    const COMPUTE_TYPE: u32 = 2;
    let mut preference = std::ptr::null_mut();
    // SAFETY: writes one handle.
    check(unsafe { sys::cublasLtMatmulPreferenceCreate(&raw mut preference) }, "to choose")?;
    let workspace = WORKSPACE as u64;
    let numbers = [
        (Attribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, COMPUTE_TYPE),
        (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.alignments[0]),
        (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.alignments[1]),
        (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.alignments[2]),
        (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.alignments[2]),
    ];
    let mut found = 0;
    // SAFETY: a plain structure of numbers.
    let mut result: sys::cublasLtMatmulHeuristicResult_t = unsafe { std::mem::zeroed() };
    // SAFETY: live handles; the attributes are a 64-bit and 32-bit numbers; at most one result is written.
    let status = unsafe {
        let attribute = Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        sys::cublasLtMatmulPreferenceSetAttribute(preference, attribute, (&raw const workspace).cast(), 8);
        for (attribute, value) in numbers {
            sys::cublasLtMatmulPreferenceSetAttribute(preference, attribute, (&raw const value).cast(), 4);
        }
        let status = sys::cublasLtMatmulAlgoGetHeuristic(
            blas.handle,
            operation,
            b,
            a,
            c,
            c,
            preference,
            1,
            &raw mut result,
            &raw mut found,
        );
        sys::cublasLtMatmulPreferenceDestroy(preference);
        status
    };
    check(status, "to choose")?;
    if found == 0 {
        let message = format!("cuBLAS has no way to multiply {:?} in {:?}", key.size, key.dtypes[0]);
        return Err(KernelError { code: ErrorCode::KernelFailed, message });
    }
    Ok(result.algo)
}
