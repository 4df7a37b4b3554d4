//! Matrix products by cuBLASLt, opened at run time.
//!
//! The library has several ways to compute a product. One that was measured on this device takes the fastest
//! ([`tuning`]), any other the first that the library's heuristic names.

mod measure;
mod plan;
mod table;
mod tuning;

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cudarc::cublaslt::sys;
use elm_core::{DType, ErrorCode, KernelError};

use self::plan::{Description, Key, Lie};
use self::table::{Algorithm, Maker, Table};
use self::tuning::Tuning;
use crate::Gpu;
use crate::driver::{self, Result};

pub use self::table::TableFacts;
pub use self::tuning::{TunedProduct, TuningReport};

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

/// How a product is computed.
struct Plan {
    description: Description,
    algorithm: Algorithm,
}

pub(crate) struct Blas {
    handle: sys::cublasLtHandle_t,
    workspace: *mut u8,
    state: Mutex<State>,
    /// Products that were met since tuning began: it can be read while one is measured.
    met: AtomicUsize,
}

/// What is known of products.
struct State {
    plans: HashMap<Key, Plan>,
    table: Table,
    tuning: Option<Tuning>,
    /// Plans that were made by the table, and those of whose entries the library takes none.
    by_table: [usize; 2],
}

// SAFETY: handles of the library, which may be used from any thread; plans have a lock.
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
        let gpu = driver::name_of(gpu.ordinal as i32);
        // SAFETY: the library is loaded.
        let table = Table::open(Maker { gpu, version: unsafe { sys::cublasLtGetVersion() } });
        let state = State { plans: HashMap::new(), table, tuning: None, by_table: [0; 2] };
        Ok(Blas { handle, workspace, state: Mutex::new(state), met: AtomicUsize::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits a product in one way, with the result at `c`.
    fn submit(
        &self,
        gpu: &Gpu,
        description: &Description,
        algorithm: &Algorithm,
        product: &Product,
        c: *mut u8,
    ) -> Result<()> {
        let wide = product.a.dtype == DType::F64;
        let (one, zero) = ((1.0f32, 1.0f64), (0.0f32, 0.0f64));
        let scalar = |pair: &(f32, f64)| -> *const c_void {
            if wide { (&raw const pair.1).cast() } else { (&raw const pair.0).cast() }
        };
        let beta = if product.accumulate { scalar(&one) } else { scalar(&zero) };
        let algorithm = sys::cublasLtMatmulAlgo_t { data: *algorithm };
        let [b, a, y] = description.layouts;
        // SAFETY: the description was made for these shapes, steps and alignments, and the library has taken the algorithm
        // for it; the views are live, and the workspace is used in the order of the stream.
        let status = unsafe {
            sys::cublasLtMatmul(
                self.handle,
                description.operation,
                scalar(&one),
                product.b.start.cast(),
                b,
                product.a.start.cast(),
                a,
                beta,
                c.cast(),
                y,
                c.cast(),
                y,
                &raw const algorithm,
                self.workspace.cast(),
                WORKSPACE,
                gpu.stream.cast(),
            )
        };
        check(status, "to multiply")
    }
}

impl State {
    /// The plan of a product: that of the table, or the heuristic's first.
    fn plan(&mut self, blas: &Blas, key: &Key) -> Result<&mut Plan> {
        if !self.plans.contains_key(key) {
            let description = Description::of(key)?;
            let known = self.table.get(&key.to_string()).map(|entry| entry.algorithm);
            let taken = known.filter(|algorithm| description.takes(blas, algorithm));
            self.by_table[0] += usize::from(taken.is_some());
            self.by_table[1] += usize::from(known.is_some() && taken.is_none());
            let algorithm = match taken {
                Some(algorithm) => algorithm,
                None => description.candidates(blas, key, 1)?[0],
            };
            self.plans.insert(key.clone(), Plan { description, algorithm });
        }
        Ok(self.plans.get_mut(key).expect("it was just made"))
    }
}

impl Gpu {
    /// Submits a product. Both factors [fit](Matrix::fits), and nothing is empty.
    pub(crate) fn multiply(&self, product: &Product) -> Result<()> {
        let blas = self.blas()?;
        let key = product.key();
        let mut state = blas.state();
        if state.tuning.is_some() && !self.is_capturing() {
            state.meet(self, blas, product, &key)?;
        }
        let Plan { description, algorithm } = state.plan(blas, &key)?;
        blas.submit(self, description, algorithm, product, product.c.start)
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
