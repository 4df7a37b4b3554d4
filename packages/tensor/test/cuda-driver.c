// A driver of CUDA for tests without a GPU: memory is the host's, work is done when it is submitted, and the one kernel
// that it knows adds numbers. What goes wrong, and when, stands in variables of the environment.
//
//   DRIVER_VERSION   what it says of itself (13000)     DRIVER_DEVICES   how many there are (1)
//   DRIVER_MEMORY    bytes of the card (1 GiB)          DRIVER_SPIN      turns of a loop that each launch takes (0)
//   DRIVER_FAILS_AT  the launch, counted from 1, that is refused
//   DRIVER_LOST_AT   the launch after which the device is lost: whoever waits is told
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, ILLEGAL_ADDRESS = 700, OUT_OF_RESOURCES = 701 };
typedef int Status;
typedef uint64_t Address;

// The number of a variable, looked up once: launches are to cost nothing but what is asked for.
#define NUMBER(function, variable, otherwise)                                                                          \
  static uint64_t function(void) {                                                                                     \
    static uint64_t value, known;                                                                                      \
    if (!known) {                                                                                                      \
      const char *text = getenv(variable);                                                                             \
      value = text ? strtoull(text, NULL, 10) : otherwise;                                                             \
      known = 1;                                                                                                       \
    }                                                                                                                  \
    return value;                                                                                                      \
  }
NUMBER(version_number, "DRIVER_VERSION", 13000)
NUMBER(devices, "DRIVER_DEVICES", 1)
NUMBER(memory, "DRIVER_MEMORY", 1 << 30)
NUMBER(spin, "DRIVER_SPIN", 0)
NUMBER(fails_at, "DRIVER_FAILS_AT", 0)
NUMBER(lost_at, "DRIVER_LOST_AT", 0)

Status cuInit(unsigned flags) { return SUCCESS; }
Status cuDriverGetVersion(int *version) { *version = (int)version_number(); return SUCCESS; }
Status cuDeviceGetCount(int *count) { *count = (int)devices(); return SUCCESS; }
Status cuDeviceGet(int *device, int ordinal) { *device = ordinal; return SUCCESS; }
Status cuDeviceGetName(char *name, int length, int device) { strncpy(name, "A driver for tests", length); return SUCCESS; }
Status cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = memory(); return SUCCESS; }
Status cuDeviceGetAttribute(int *value, int attribute, int device) {
  enum { MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76, SHARED = 97 };
  *value = attribute == MULTIPROCESSORS ? 132 : attribute == MAJOR ? 8 : attribute == MINOR ? 0 : attribute == SHARED ? 99 << 10 : 0;
  return SUCCESS;
}
Status cuDevicePrimaryCtxRetain(void **context, int device) { *context = &cuInit; return SUCCESS; }
Status cuCtxSetCurrent(void *context) { return SUCCESS; }
Status cuGetErrorString(Status status, const char **text) {
  *text = status == ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : "a test wants it so";
  return SUCCESS;
}

// Memory: each block has its size before it.
static size_t in_use;
Status cuMemAlloc_v2(Address *address, size_t bytes) {
  if (__atomic_add_fetch(&in_use, bytes, __ATOMIC_SEQ_CST) > memory()) {
    __atomic_sub_fetch(&in_use, bytes, __ATOMIC_SEQ_CST);
    return OUT_OF_MEMORY;
  }
  char *block = NULL;
  if (posix_memalign((void **)&block, 256, bytes + 256)) return OUT_OF_MEMORY;
  *(size_t *)block = bytes;
  *address = (Address)(block + 256);
  return SUCCESS;
}
Status cuMemFree_v2(Address address) {
  char *block = (char *)address - 256;
  __atomic_sub_fetch(&in_use, *(size_t *)block, __ATOMIC_SEQ_CST);
  free(block);
  return SUCCESS;
}
Status cuMemHostAlloc(void **block, size_t bytes, unsigned flags) { *block = malloc(bytes); return *block ? SUCCESS : OUT_OF_MEMORY; }
Status cuMemFreeHost(void *block) { free(block); return SUCCESS; }

// Work.
static uint64_t launches;
static Status state(void) {
  return lost_at() && launches >= lost_at() ? ILLEGAL_ADDRESS : SUCCESS;
}
Status cuStreamCreate(void **stream, unsigned flags) { *stream = &launches; return SUCCESS; }
Status cuStreamSynchronize(void *stream) { return state(); }
Status cuStreamQuery(void *stream) { return state(); }
Status cuStreamIsCapturing(void *stream, int *is) { *is = 0; return SUCCESS; }
Status cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void *stream) { memcpy((void *)to, (void *)from, bytes); return state(); }
Status cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, void *stream) { memcpy(to, (void *)from, bytes); return state(); }
Status cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, void *stream) { memcpy((void *)to, from, bytes); return state(); }
Status cuMemsetD8Async(Address to, unsigned char value, size_t bytes, void *stream) { memset((void *)to, value, bytes); return state(); }
Status cuMemsetD32Async(Address to, unsigned value, size_t count, void *stream) {
  for (size_t i = 0; i < count; ++i) ((unsigned *)to)[i] = value;
  return state();
}
Status cuEventCreate(void **event, unsigned flags) { *event = &launches; return SUCCESS; }
Status cuEventDestroy_v2(void *event) { return SUCCESS; }
Status cuEventRecord(void *event, void *stream) { return state(); }
Status cuEventSynchronize(void *event) { return state(); }
Status cuEventQuery(void *event) { return state(); }

// Kernels: `add_f32(y, a, b, nd, n, straight)` of `binary.cu`, whose layouts here are always straight.
static const size_t ADD[] = {8, 8, 8, 232, 8, 4};
Status cuModuleLoadData(void **module, const void *image) { *module = &cuModuleLoadData; return SUCCESS; }
Status cuModuleGetFunction(void **function, void *module, const char *name) {
  *function = &cuModuleGetFunction;
  return strcmp(name, "add_f32") == 0 ? SUCCESS : INVALID_VALUE;
}
Status cuModuleGetGlobal_v2(Address *address, size_t *bytes, void *module, const char *name) { return INVALID_VALUE; }
Status cuFuncGetAttribute(int *value, int attribute, void *function) { *value = 0; return SUCCESS; }
Status cuFuncSetAttribute(void *function, int attribute, int value) { return SUCCESS; }
Status cuFuncGetParamInfo(void *function, size_t index, size_t *offset, size_t *bytes) {
  if (index >= sizeof ADD / sizeof *ADD) return INVALID_VALUE;
  *bytes = ADD[index];
  return SUCCESS;
}
Status cuLaunchKernelEx(const void *config, void *function, void **arguments, void **extra) {
  // The launch that a device is lost by is itself accepted.
  if (state() != SUCCESS) return state();
  if (++launches == fails_at()) return OUT_OF_RESOURCES;
  for (volatile uint64_t i = 0; i < spin(); ++i) continue;
  float *y = *(float **)arguments[0], *a = *(float **)arguments[1], *b = *(float **)arguments[2];
  uint64_t n = *(uint64_t *)arguments[4];
  for (uint64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
  return SUCCESS;
}
