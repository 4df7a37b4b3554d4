"""Intel's MKL: its sgemm, called without a copy."""
import ctypes
import glob
import os
import sys

from protocol import missing, serve

try:
    import numpy as np

    [library] = glob.glob(os.path.join(sys.prefix, "lib", "libmkl_rt.so*"))
    mkl = ctypes.CDLL(library)
except (ImportError, OSError, ValueError):
    missing("mkl")

from importlib.metadata import version

ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112
POINTER = ctypes.POINTER(ctypes.c_float)


def matmul(m, k, n, ta=False, tb=False):
    rng = np.random.default_rng(0)
    a = rng.random((k, m) if ta else (m, k), np.float32)
    b = rng.random((n, k) if tb else (k, n), np.float32)
    c = np.empty((m, n), np.float32)
    pointers = [array.ctypes.data_as(POINTER) for array in (a, b, c)]
    kinds = [TRANSPOSED if transposed else AS_IT_IS for transposed in (ta, tb)]
    one, zero = ctypes.c_float(1), ctypes.c_float(0)

    def call():
        mkl.cblas_sgemm(
            ROW_MAJOR, *kinds, m, n, k, one, pointers[0], a.shape[1], pointers[1], b.shape[1], zero, pointers[2], n
        )

    call()
    expected = (a[:, 0] if ta else a[0]).astype(np.float64) @ (b[0] if tb else b[:, 0])
    if not np.isclose(c[0, 0], expected, rtol=1e-4):
        raise ValueError(f"the product is {c[0, 0]}, expected {expected}")
    # The arrays live as long as the call that has their addresses.
    call.arrays = (a, b, c)
    return call


serve(f"mkl {version('mkl')}", {"matmul": matmul})
