// A training step of a small classifier in plain C with OpenBLAS: what the arithmetic costs without a framework.
// It speaks the protocol of ../protocol.py, for the case "mlp" with the optimizers "sgd" and "adam".
//
// The library is loaded when the program starts. NumPy's wheel has it with 64-bit integers and a prefix of its own.
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROW_MAJOR = 101, AS_IT_IS = 111, TRANSPOSED = 112 };
static const float RATE[2] = {0.01f, 1e-3f};

typedef void (*Gemm32)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
typedef void (*Gemm64)(int, int, int, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t,
                       float, float *, int64_t);
static Gemm32 gemm32;
static Gemm64 gemm64;

// c = op(a) · op(b) + beta · c, all row by row; op transposes where its flag is set.
static void product(int ta, int tb, int m, int n, int k, const float *a, const float *b, float beta, float *c) {
  int kind_a = ta ? TRANSPOSED : AS_IT_IS, kind_b = tb ? TRANSPOSED : AS_IT_IS;
  int row_a = ta ? m : k, row_b = tb ? k : n;
  if (gemm64) gemm64(ROW_MAJOR, kind_a, kind_b, m, n, k, 1, a, row_a, b, row_b, beta, c, n);
  else gemm32(ROW_MAJOR, kind_a, kind_b, m, n, k, 1, a, row_a, b, row_b, beta, c, n);
}

// A parameter with its gradient and the two moments of Adam.
typedef struct {
  int size;
  float *value, *grad, *mean, *square;
} Parameter;

typedef struct {
  int batch, inputs, hidden, outputs, adam, steps;
  float *x, *h, *y, *dh;
  Parameter w1, b1, w2, b2;
} Model;

static float *random_floats(int size, float scale) {
  float *p = malloc(sizeof(float) * (size_t)size);
  for (int i = 0; i < size; i++) p[i] = ((float)rand() / (float)RAND_MAX * 2 - 1) * scale;
  return p;
}

static Parameter parameter(int size, float scale) {
  Parameter p = {size, random_floats(size, scale), random_floats(size, 0), random_floats(size, 0), random_floats(size, 0)};
  return p;
}

static void update(Parameter *restrict p, int adam, int step) {
  float *restrict value = p->value, *restrict mean = p->mean, *restrict square = p->square;
  const float *restrict grad = p->grad;
  if (!adam) {
    for (int i = 0; i < p->size; i++) value[i] -= RATE[0] * grad[i];
    return;
  }
  const float b1 = 0.9f, b2 = 0.999f, eps = 1e-8f;
  const float rate = RATE[1] / (1 - powf(b1, (float)step)), correction = 1 / (1 - powf(b2, (float)step));
  for (int i = 0; i < p->size; i++) {
    mean[i] = b1 * mean[i] + (1 - b1) * grad[i];
    square[i] = b2 * square[i] + (1 - b2) * grad[i] * grad[i];
    value[i] -= rate * mean[i] / (sqrtf(square[i] * correction) + eps);
  }
}

// Rows of `to` become the bias, so that the product can be added to it.
static void spread(const float *bias, int rows, int columns, float *to) {
  for (int i = 0; i < rows; i++) memcpy(to + i * columns, bias, sizeof(float) * (size_t)columns);
}

static void column_sums(const float *x, int rows, int columns, float *to) {
  memset(to, 0, sizeof(float) * (size_t)columns);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++) to[j] += x[i * columns + j];
}

// Logits become the gradient of the mean cross-entropy, softmax(y) - onehot(target), over the batch; gives the loss.
static float cross_entropy(float *y, int batch, int classes) {
  float loss = 0;
  for (int i = 0; i < batch; i++) {
    float *row = y + i * classes, top = row[0], sum = 0;
    for (int j = 1; j < classes; j++) top = fmaxf(top, row[j]);
    for (int j = 0; j < classes; j++) sum += expf(row[j] - top);
    loss += top + logf(sum) - row[i % classes];
    for (int j = 0; j < classes; j++) row[j] = (expf(row[j] - top) / sum - (j == i % classes)) / (float)batch;
  }
  return loss / (float)batch;
}

static float step(Model *m) {
  int hidden = m->batch * m->hidden;
  spread(m->b1.value, m->batch, m->hidden, m->h);
  product(0, 0, m->batch, m->hidden, m->inputs, m->x, m->w1.value, 1, m->h);
  for (int i = 0; i < hidden; i++) m->h[i] = m->h[i] > 0 ? m->h[i] : 0;
  spread(m->b2.value, m->batch, m->outputs, m->y);
  product(0, 0, m->batch, m->outputs, m->hidden, m->h, m->w2.value, 1, m->y);
  float loss = cross_entropy(m->y, m->batch, m->outputs);
  column_sums(m->y, m->batch, m->outputs, m->b2.grad);
  product(1, 0, m->hidden, m->outputs, m->batch, m->h, m->y, 0, m->w2.grad);
  product(0, 1, m->batch, m->hidden, m->outputs, m->y, m->w2.value, 0, m->dh);
  for (int i = 0; i < hidden; i++) m->dh[i] = m->h[i] > 0 ? m->dh[i] : 0;
  column_sums(m->dh, m->batch, m->hidden, m->b1.grad);
  product(1, 0, m->inputs, m->hidden, m->batch, m->x, m->dh, 0, m->w1.grad);
  Parameter *all[] = {&m->w1, &m->b1, &m->w2, &m->b2};
  m->steps++;
  for (int i = 0; i < 4; i++) update(all[i], m->adam, m->steps);
  return loss;
}

static Model model(int inputs, int hidden, int outputs, int batch, int adam) {
  Model m = {.batch = batch, .inputs = inputs, .hidden = hidden, .outputs = outputs, .adam = adam};
  m.x = random_floats(batch * inputs, 1);
  m.h = random_floats(batch * hidden, 0);
  m.y = random_floats(batch * outputs, 0);
  m.dh = random_floats(batch * hidden, 0);
  m.w1 = parameter(inputs * hidden, 0.03f);
  m.b1 = parameter(hidden, 0);
  m.w2 = parameter(hidden * outputs, 0.03f);
  m.b2 = parameter(outputs, 0);
  return m;
}

static void say(const char *text) {
  puts(text);
  fflush(stdout);
}

// The number behind "name": in a line of JSON, or -1.
static long number(const char *line, const char *name) {
  const char *at = strstr(line, name);
  at = at ? strchr(at, ':') : NULL;
  return at ? strtol(at + 1, NULL, 10) : -1;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(void) {
  void *library = dlopen(OPENBLAS, RTLD_NOW);
  gemm64 = library ? (Gemm64)dlsym(library, "scipy_cblas_sgemm64_") : NULL;
  gemm32 = library ? (Gemm32)dlsym(library, "cblas_sgemm") : NULL;
  if (!gemm32 && !gemm64) {
    say("{\"missing\":\"OpenBLAS\"}");
    return 0;
  }
  say("{\"ready\":\"C (gcc -O3) with OpenBLAS\"}");
  char line[1024];
  Model m = {0};
  while (fgets(line, sizeof line, stdin)) {
    if (strstr(line, "\"prepare\"")) {
      int sizes[3];
      const char *at = strstr(line, "\"sizes\":[");
      int known = strstr(line, "\"case\":\"mlp\"") && at && !strstr(line, "\"optimizer\":null") &&
                  sscanf(at, "\"sizes\":[%d,%d,%d]", &sizes[0], &sizes[1], &sizes[2]) == 3;
      if (!known) {
        say("{\"error\":\"there is only a training step of an mlp with three sizes\"}");
        continue;
      }
      m = model(sizes[0], sizes[1], sizes[2], (int)number(line, "\"batch\""), strstr(line, "\"adam\"") != NULL);
      float first = step(&m), last = first;
      for (int i = 0; i < 20; i++) last = step(&m);
      say(last < first ? "{\"ready\":\"mlp\"}" : "{\"error\":\"it does not learn\"}");
    } else {
      long calls = number(line, "\"run\"");
      double since = now();
      for (long i = 0; i < calls; i++) step(&m);
      printf("{\"seconds\":%.9f}\n", now() - since);
      fflush(stdout);
    }
  }
  return 0;
}
