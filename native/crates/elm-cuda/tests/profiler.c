// A profiler that writes a line for each range that begins or ends into the file OPENELM_TEST_RANGES.
#include <nvtx3/nvToolsExt.h>
#include <stdio.h>
#include <stdlib.h>

static void note(const char* what, const char* name) {
  FILE* file = fopen(getenv("OPENELM_TEST_RANGES"), "a");
  fprintf(file, "%s%s\n", what, name);
  fclose(file);
}

static int push(const char* name) {
  note("begin ", name);
  return 0;
}

static int pop(void) {
  note("end", "");
  return 0;
}

int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get) {
  const NvtxExportTableCallbacks* callbacks = get(NVTX_ETID_CALLBACKS);
  NvtxFunctionTable table;
  unsigned size;
  if (!callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size)) return 0;
  *table[NVTX_CBID_CORE_RangePushA] = (NvtxFunctionPointer)push;
  *table[NVTX_CBID_CORE_RangePop] = (NvtxFunctionPointer)pop;
  return 1;
}
