"""A workbench for CUDA kernels: compiles one file of kernels, launches it on PyTorch's tensors, and times it beside others.

A kernel is tried here in seconds, before the core is built with it: `attention.py` shows how. It needs PyTorch with CUDA,
and nvcc of CUDA 13 (OPENELM_NVCC, CUDA_HOME, PATH, or what `npm run setup:cuda` fetched), or files that were compiled
elsewhere (`--cubins FOLDER`, see `compile`).
"""
import ctypes
import glob
import os
import shutil
import subprocess
import sys
import tempfile

import torch

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
KERNELS = os.path.join(ROOT, "native", "crates", "elm-cuda", "kernels")

_driver = ctypes.CDLL("libcuda.so.1")
# Makes PyTorch's context the one that the driver's calls mean.
torch.zeros(1, device="cuda")


def nvcc():
    """The compiler that a build of the core would use."""
    folders = [os.path.join(os.environ["CUDA_HOME"], "bin")] if "CUDA_HOME" in os.environ else []
    private = glob.glob(os.path.join(ROOT, "native/.cuda/lib/python*/site-packages/nvidia/cu13/bin"))
    named = os.environ.get("OPENELM_NVCC")
    found = named or shutil.which("nvcc", path=os.pathsep.join([*folders, os.environ.get("PATH", ""), *private]))
    return found or sys.exit("workbench: no nvcc was found (npm run setup:cuda)")


def compile(name, folder=None, arch="90a"):
    """Machine code of kernels/NAME.cu; what the assembler says of registers and spills goes to stderr.

    With a folder: NAME.cubin of it, made by
    `nvcc -O3 -std=c++17 -cubin -gencode arch=compute_90a,code=sm_90a NAME.cu -o NAME.cubin`.
    """
    if folder:
        return os.path.join(folder, f"{name}.cubin")
    target = os.path.join(tempfile.mkdtemp(prefix="openelm-kernel-"), f"{name}.cubin")
    flags = ["-O3", "-std=c++17", "-cubin", "-Xptxas", "-v", f"-gencode=arch=compute_{arch},code=sm_{arch}"]
    subprocess.run([nvcc(), *flags, os.path.join(KERNELS, f"{name}.cu"), "-o", target], check=True)
    return target


def _check(status, what):
    if status:
        name = ctypes.c_char_p()
        _driver.cuGetErrorString(status, ctypes.byref(name))
        raise RuntimeError(f"{what}: {(name.value or b'').decode()} ({status})")


class Module:
    """The kernels of one compiled file."""

    MAX_DYNAMIC_SHARED = 8
    SHARED = 1
    # Of CUlaunchAttributeID.
    CLUSTER, OVERLAPS = 4, 6

    def __init__(self, path):
        self._module, self._functions = ctypes.c_void_p(), {}
        _check(_driver.cuModuleLoad(ctypes.byref(self._module), path.encode()), path)

    def _function(self, name):
        if name not in self._functions:
            function, own = ctypes.c_void_p(), ctypes.c_int()
            _check(_driver.cuModuleGetFunction(ctypes.byref(function), self._module, name.encode()), name)
            _check(_driver.cuFuncGetAttribute(ctypes.byref(own), self.SHARED, function), name)
            most = torch.cuda.get_device_properties(0).shared_memory_per_block_optin - own.value
            _check(_driver.cuFuncSetAttribute(function, self.MAX_DYNAMIC_SHARED, most), name)
            self._functions[name] = function
        return self._functions[name]

    def launch(self, name, blocks, threads, shared, *args, cluster=1, overlaps=False):
        """Launches a kernel. Tensors and None are passed as addresses, ints as u32, ctypes values as they are.

        `cluster` blocks run together; a kernel of OVERLAPPING that `overlaps` may start before the one before it has ended.
        """
        values = []
        for arg in args:
            if isinstance(arg, torch.Tensor):
                arg = ctypes.c_void_p(arg.data_ptr())
            elif arg is None:
                arg = ctypes.c_void_p(0)
            elif isinstance(arg, int):
                arg = ctypes.c_uint32(arg)
            values.append(arg)
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(value) for value in values])
        attributes = [(self.CLUSTER, (cluster, 1, 1))] if cluster > 1 else []
        attributes += [(self.OVERLAPS, (1, 0, 0))] if overlaps else []
        attributes = (_Attribute * 2)(*[_Attribute(kind, 0, numbers) for kind, numbers in attributes])
        config = _Config((blocks, 1, 1), (threads, 1, 1), shared, torch.cuda.current_stream().cuda_stream)
        config.attributes, config.count = ctypes.addressof(attributes), (cluster > 1) + overlaps
        _check(_driver.cuLaunchKernelEx(ctypes.byref(config), self._function(name), pointers, None), name)


class _Attribute(ctypes.Structure):
    """CUlaunchAttribute: 64 bytes of value, of which three numbers are used at most."""

    _fields_ = [("kind", ctypes.c_uint32), ("pad", ctypes.c_uint32), ("value", ctypes.c_uint32 * 16)]


class _Config(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = [
        ("blocks", ctypes.c_uint32 * 3),
        ("threads", ctypes.c_uint32 * 3),
        ("shared", ctypes.c_uint32),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("count", ctypes.c_uint32),
    ]


class Attention(ctypes.Structure):
    """`Attention` of attention.cuh."""

    _fields_ = [
        *[(name, ctypes.c_uint32) for name in ("heads", "group", "queries", "keys", "dim", "causal")],
        ("scale", ctypes.c_double),
        *[(name, ctypes.c_int64 * 3) for name in ("q", "k", "v", "grad", "y")],
        *[(name, ctypes.c_void_p) for name in ("documents", "spans", "lengths", "word")],
    ]


def times(functions, rounds=7, calls=5):
    """Median milliseconds of a call of each function; they take turns, so that other work meets all of them."""
    for function in functions.values():
        function()
    events = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            begin, end = torch.cuda.Event(True), torch.cuda.Event(True)
            begin.record()
            for _ in range(calls):
                function()
            end.record()
            events[name].append((begin, end))
    torch.cuda.synchronize()
    median = lambda values: sorted(values)[len(values) // 2]
    return {name: median([a.elapsed_time(b) / calls for a, b in pairs]) for name, pairs in events.items()}


class Checks:
    """Counts comparisons, and prints those that fail."""

    def __init__(self):
        self.made = self.failed = 0

    def close(self, what, got, wanted, tolerance):
        """Whether |got − wanted| ≤ tolerance · max(1, max |wanted|) everywhere."""
        self.made += 1
        if wanted.numel() == 0:
            return
        error = (got.float() - wanted).abs().max().item()
        size = wanted.abs().max().item()
        # Not `error > …`: NaN must fail.
        if not error <= tolerance * max(size, 1):
            self.failed += 1
            print(f"{what}: differs by {error:.3g}, of values up to {size:.3g}")

    def summary(self):
        print(f"{self.made} checks, {self.failed} failed")
        return 1 if self.failed else 0
