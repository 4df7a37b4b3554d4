"""NumPy, with the BLAS that its wheel brings."""
from protocol import missing, serve

try:
    import numpy as np
except ImportError:
    missing("numpy")


def matmul(m, k, n):
    rng = np.random.default_rng(0)
    a = rng.random((m, k), dtype=np.float32)
    b = rng.random((k, n), dtype=np.float32)
    return lambda: a @ b


serve(f"numpy {np.__version__}", {"matmul": matmul})
