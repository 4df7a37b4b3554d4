//! How cuBLASLt is told of a product, and which ways it has to compute it.

use std::fmt;

use cudarc::cublaslt::sys;
use elm_core::{DType, ErrorCode, KernelError};

use super::table::Algorithm;
use super::{Blas, WORKSPACE, check};
use crate::driver::Result;

/// Partial sums in the compute type, added in a fixed order; sums in place use atomics.
const COMPUTE_TYPE: u32 = 2;

/// How a matrix lies for cuBLAS: whether its columns are its straight axis, and the step of the other one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lie {
    pub row_major: bool,
    pub leading: i64,
}

/// All that the choice of a way depends on. Matrices are in the order of cuBLAS: b, a, c.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    pub size: [usize; 3],
    pub batches: usize,
    /// Of the factors and of the result.
    pub dtypes: [DType; 2],
    pub lies: [Lie; 3],
    pub strides: [isize; 3],
    pub alignments: [u32; 3],
    pub accumulate: bool,
}

/// Such as `2048x3840x1280 bf16>bf16 = 1 of a r1280+0@256 b c1280+0@256 c r3840+0@256`: rows, columns and length of the
/// sums; dtypes; `=` or `+=`; matrices; how each lies (straight rows or columns, the other step, the step to the next matrix)
/// and the alignment of its address. Tables name products by it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { size: [m, n, k], batches, dtypes: [from, to], .. } = self;
        let sign = if self.accumulate { "+=" } else { "=" };
        write!(f, "{m}x{n}x{k} {}>{} {sign} {batches} of", from.name(), to.name())?;
        for (name, i) in [("a", 1), ("b", 0), ("c", 2)] {
            let Lie { row_major, leading } = self.lies[i];
            let straight = if row_major { 'r' } else { 'c' };
            write!(f, " {name} {straight}{leading}+{}@{}", self.strides[i], self.alignments[i])?;
        }
        Ok(())
    }
}

impl Key {
    /// Bytes from the start of the result to its end.
    pub fn result_bytes(&self) -> usize {
        let [m, n, _] = self.size;
        let Lie { row_major, leading } = self.lies[2];
        let (lines, length) = if row_major { (m, n) } else { (n, m) };
        let matrix = (lines - 1) * leading as usize + length;
        ((self.batches - 1) * self.strides[2].unsigned_abs() + matrix) * self.dtypes[1].size()
    }
}

/// A product as cuBLASLt knows it.
pub struct Description {
    pub operation: sys::cublasLtMatmulDesc_t,
    /// In the order of cuBLAS: b, a, c.
    pub layouts: [sys::cublasLtMatrixLayout_t; 3],
    alignments: [u32; 3],
}

impl Description {
    /// cuBLAS counts columns first, so it is asked for `cᵀ = bᵀ · aᵀ`: a row-major matrix is its own transpose there.
    pub fn of(key: &Key) -> Result<Description> {
        let [m, n, k] = key.size;
        let (compute, scale) = match key.dtypes[0] {
            DType::F64 => (sys::cublasComputeType_t::CUBLAS_COMPUTE_64F, sys::cudaDataType::CUDA_R_64F),
            _ => (sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, sys::cudaDataType::CUDA_R_32F),
        };
        let mut made = Description {
            operation: std::ptr::null_mut(),
            layouts: [std::ptr::null_mut(); 3],
            alignments: key.alignments,
        };
        // SAFETY: writes one handle.
        let status = unsafe { sys::cublasLtMatmulDescCreate(&raw mut made.operation, compute, scale) };
        check(status, "to describe")?;
        let [lie_b, lie_a, _] = key.lies;
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        for (attribute, lie) in
            [(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, lie_b), (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, lie_a)]
        {
            let transposed = i32::from(!lie.row_major);
            // SAFETY: the attribute is a 32-bit number.
            let status = unsafe {
                sys::cublasLtMatmulDescSetAttribute(
                    made.operation,
                    attribute,
                    (&raw const transposed).cast(),
                    4,
                )
            };
            check(status, "to describe")?;
        }
        // Rows and columns as cuBLAS stores them: the straight axis first.
        let stored = |lie: Lie, rows: usize, columns: usize| {
            if lie.row_major { [columns, rows] } else { [rows, columns] }
        };
        let shapes = [stored(key.lies[0], k, n), stored(key.lies[1], m, k), stored(key.lies[2], m, n)];
        let dtypes = [key.dtypes[0], key.dtypes[0], key.dtypes[1]];
        for i in 0..3 {
            made.layouts[i] = layout(dtypes[i], shapes[i], key.lies[i].leading, key.batches, key.strides[i])?;
        }
        Ok(made)
    }

    /// At most `count` ways that give the same bits every time, the likeliest to be fast first.
    pub fn candidates(&self, blas: &Blas, key: &Key, count: usize) -> Result<Vec<Algorithm>> {
        use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
        let [b, a, c] = self.layouts;
        let mut preference = std::ptr::null_mut();
        // SAFETY: writes one handle.
        check(unsafe { sys::cublasLtMatmulPreferenceCreate(&raw mut preference) }, "to choose")?;
        let workspace = WORKSPACE as u64;
        let numbers = [
            (Attribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, COMPUTE_TYPE),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, self.alignments[0]),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, self.alignments[1]),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, self.alignments[2]),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, self.alignments[2]),
        ];
        let mut found = 0;
        // SAFETY: plain structures of numbers.
        let mut results: Vec<sys::cublasLtMatmulHeuristicResult_t> =
            (0..count).map(|_| unsafe { std::mem::zeroed() }).collect();
        // SAFETY: live handles; the attributes are a 64-bit and 32-bit numbers; at most as many results are written as there
        // is room for.
        let status = unsafe {
            let attribute = Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            sys::cublasLtMatmulPreferenceSetAttribute(
                preference,
                attribute,
                (&raw const workspace).cast(),
                8,
            );
            for (attribute, value) in numbers {
                sys::cublasLtMatmulPreferenceSetAttribute(
                    preference,
                    attribute,
                    (&raw const value).cast(),
                    4,
                );
            }
            let status = sys::cublasLtMatmulAlgoGetHeuristic(
                blas.handle,
                self.operation,
                b,
                a,
                c,
                c,
                preference,
                count as i32,
                results.as_mut_ptr(),
                &raw mut found,
            );
            sys::cublasLtMatmulPreferenceDestroy(preference);
            status
        };
        check(status, "to choose")?;
        results.truncate(found as usize);
        let works = |result: &sys::cublasLtMatmulHeuristicResult_t| {
            result.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS
        };
        let candidates: Vec<Algorithm> = results.iter().filter(|r| works(r)).map(|r| r.algo.data).collect();
        if candidates.is_empty() {
            let message = format!("cuBLAS has no way to multiply {:?} in {:?}", key.size, key.dtypes[0]);
            return Err(KernelError { code: ErrorCode::KernelFailed, message });
        }
        Ok(candidates)
    }

    /// Whether the library takes an algorithm from elsewhere for this product, and it gives the same bits every time.
    pub fn takes(&self, blas: &Blas, algorithm: &Algorithm) -> bool {
        use sys::cublasLtMatmulAlgoConfigAttributes_t as Attribute;
        let algorithm = sys::cublasLtMatmulAlgo_t { data: *algorithm };
        let [b, a, c] = self.layouts;
        let (mut scheme, mut written) = (0u32, 0);
        // SAFETY: a plain structure of numbers.
        let mut result: sys::cublasLtMatmulHeuristicResult_t = unsafe { std::mem::zeroed() };
        // SAFETY: live handles and plain data; each call writes one value of the size it is told.
        let (read, checked) = unsafe {
            let attribute = Attribute::CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME;
            let scheme = (&raw mut scheme).cast();
            (
                sys::cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, scheme, 4, &raw mut written),
                sys::cublasLtMatmulAlgoCheck(
                    blas.handle,
                    self.operation,
                    b,
                    a,
                    c,
                    c,
                    &algorithm,
                    &raw mut result,
                ),
            )
        };
        let success = sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS;
        let is_ordered = scheme == 0 || scheme == COMPUTE_TYPE;
        read == success && checked == success && is_ordered && result.workspaceSize <= WORKSPACE
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: the last use of the handles; the library reads them when a product is submitted, not later.
        unsafe {
            for layout in self.layouts.into_iter().filter(|layout| !layout.is_null()) {
                sys::cublasLtMatrixLayoutDestroy(layout);
            }
            if !self.operation.is_null() {
                sys::cublasLtMatmulDescDestroy(self.operation);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        let row_major = Lie { row_major: true, leading: 1280 };
        Key {
            size: [2048, 3840, 1280],
            batches: 1,
            dtypes: [DType::BF16, DType::F32],
            lies: [Lie { row_major: false, ..row_major }, row_major, Lie { row_major: true, leading: 3840 }],
            strides: [0, 0, 7_864_320],
            alignments: [256, 16, 256],
            accumulate: true,
        }
    }

    #[test]
    fn the_text_of_a_key_can_be_read() {
        let text = "2048x3840x1280 bf16>f32 += 1 of a r1280+0@16 b c1280+0@256 c r3840+7864320@256";
        assert_eq!(key().to_string(), text);
    }

    #[test]
    fn keys_that_differ_in_anything_have_other_texts() {
        let changes: [fn(&mut Key); 16] = [
            |key| key.size[0] += 1,
            |key| key.size[1] += 1,
            |key| key.size[2] += 1,
            |key| key.batches += 1,
            |key| key.dtypes[0] = DType::F16,
            |key| key.dtypes[1] = DType::BF16,
            |key| key.lies[0].row_major = true,
            |key| key.lies[1].row_major = false,
            |key| key.lies[2].row_major = false,
            |key| key.lies[0].leading += 1,
            |key| key.lies[1].leading += 1,
            |key| key.strides[0] = -1,
            |key| key.strides[2] += 1,
            |key| key.alignments[0] = 128,
            |key| key.alignments[2] = 128,
            |key| key.accumulate = false,
        ];
        let mut texts = std::collections::HashSet::from([key().to_string()]);
        for change in changes {
            let mut other = key();
            change(&mut other);
            assert!(texts.insert(other.to_string()), "{other}");
        }
    }

    #[test]
    fn a_result_with_gaps_ends_with_its_last_element() {
        let mut key = key();
        assert_eq!(key.result_bytes(), 2048 * 3840 * 4);
        key.lies[2].leading = 4000;
        assert_eq!(key.result_bytes(), (2047 * 4000 + 3840) * 4);
        (key.batches, key.strides[2]) = (3, 9_000_000);
        assert_eq!(key.result_bytes(), (2 * 9_000_000 + 2047 * 4000 + 3840) * 4);
    }
}
