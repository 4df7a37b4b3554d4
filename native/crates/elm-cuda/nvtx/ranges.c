// NVTX is a header alone: it opens the profiler that is attached, if any, and otherwise does nothing.
#include <nvtx3/nvToolsExt.h>

void openelm_range_push(const char* name) { nvtxRangePushA(name); }

void openelm_range_pop(void) { nvtxRangePop(); }
