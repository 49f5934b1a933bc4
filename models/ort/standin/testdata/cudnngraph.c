// The graph library of the stand-in for cuDNN: descriptors that check what is set, following the
// tables in NVIDIA's documentation, and convolutions by plain loops.
//
// It offers seven engines, best guess first. The first has no plans, and the second fails when it
// runs; the third is the fastest and rounds all its operands to 3 bits; the fourth is fast and,
// like tensor cores, rounds float32 to 10 bits; the fifth is exact and slow; the sixth is exact,
// too, and takes long: it has VICREG_STANDIN_NAIVE additional configurations and takes
// VICREG_STANDIN_NAIVE_MS. The last is cuDNN's last resort, and takes for ever; with
// VICREG_STANDIN_LOOPS it is the only one.
//
// For a convolution with sums of its result the first four are offered, if channels divide by 8
// and VICREG_STANDIN_NO_SUMS is not set. Their time is that without sums times
// VICREG_STANDIN_SUMS, by default a quarter.
#include "cudnn.h"

#include <math.h>

enum {
  CONVOLUTION = 1,
  ENGINE,
  CONFIG,
  HEURISTICS,
  PLAN,
  FORWARD = 10,
  BACKWARD_FILTER,
  BACKWARD_DATA,
  STATISTICS = 14,
  GRAPH = 15,
  PACK,
  TENSOR
};
enum {
  T_HANDLE,
  T_DATA_TYPE,
  T_INT64 = 3,
  T_FLOAT,
  T_POINTER = 6,
  T_MODE,
  T_HEURISTIC,
  T_NOTE = 11,
  T_DESCRIPTOR = 15,
  T_STATISTICS_MODE
};
// As numbered in the log.
enum { NO_PLANS, FAILS, DOWN_CONVERTS, TENSOR_CORES, EXACT, NAIVE, LOOPS, ENGINES };
enum { NOTE_TENSOR_CORE = 0, NOTE_DOWN_CONVERT = 1, NOTE_STRICT_NAN = 9 };

// What may be set: of which descriptor, by what name, type and count, and whether it is required.
typedef struct {
  int kind, name, type, least, most, needed;
} rule;
static const rule rules[] = {
    {CONVOLUTION, 100, T_DATA_TYPE, 1, 1, 1},
    {CONVOLUTION, 101, T_MODE, 1, 1, 1},
    {CONVOLUTION, 102, T_INT64, 2, 2, 1},
    {CONVOLUTION, 103, T_INT64, 2, 2, 1},
    {CONVOLUTION, 104, T_INT64, 2, 2, 1},
    {CONVOLUTION, 105, T_INT64, 2, 2, 1},
    {CONVOLUTION, 106, T_INT64, 1, 1, 1},
    {HEURISTICS, 200, T_HEURISTIC, 1, 1, 1},
    {HEURISTICS, 201, T_DESCRIPTOR, 1, 1, 1},
    {PLAN, 400, T_HANDLE, 1, 1, 1},
    {PLAN, 401, T_DESCRIPTOR, 1, 1, 1},
    {FORWARD, 700, T_FLOAT, 1, 1, 1},
    {FORWARD, 701, T_FLOAT, 1, 1, 1},
    {FORWARD, 702, T_DESCRIPTOR, 1, 1, 1},
    {FORWARD, 703, T_DESCRIPTOR, 1, 1, 1},
    {FORWARD, 704, T_DESCRIPTOR, 1, 1, 1},
    {FORWARD, 705, T_DESCRIPTOR, 1, 1, 1},
    {BACKWARD_DATA, 706, T_FLOAT, 1, 1, 1},
    {BACKWARD_DATA, 707, T_FLOAT, 1, 1, 1},
    {BACKWARD_DATA, 708, T_DESCRIPTOR, 1, 1, 1},
    {BACKWARD_DATA, 709, T_DESCRIPTOR, 1, 1, 1},
    {BACKWARD_DATA, 710, T_DESCRIPTOR, 1, 1, 1},
    {BACKWARD_DATA, 711, T_DESCRIPTOR, 1, 1, 1},
    {BACKWARD_FILTER, 712, T_FLOAT, 1, 1, 1},
    {BACKWARD_FILTER, 713, T_FLOAT, 1, 1, 1},
    {BACKWARD_FILTER, 714, T_DESCRIPTOR, 1, 1, 1},
    {BACKWARD_FILTER, 715, T_DESCRIPTOR, 1, 1, 1},
    {BACKWARD_FILTER, 716, T_DESCRIPTOR, 1, 1, 1},
    {BACKWARD_FILTER, 717, T_DESCRIPTOR, 1, 1, 1},
    {GRAPH, 800, T_HANDLE, 1, 1, 1},
    {STATISTICS, 770, T_STATISTICS_MODE, 1, 1, 1},
    {STATISTICS, 771, T_DATA_TYPE, 1, 1, 1},
    {STATISTICS, 772, T_DESCRIPTOR, 1, 1, 1},
    {STATISTICS, 773, T_DESCRIPTOR, 1, 1, 1},
    {STATISTICS, 774, T_DESCRIPTOR, 1, 1, 1},
    {GRAPH, 801, T_DESCRIPTOR, 1, 2, 1},
    {TENSOR, 900, T_INT64, 1, 1, 1},
    {TENSOR, 901, T_DATA_TYPE, 1, 1, 1},
    {TENSOR, 902, T_INT64, 4, 4, 1},
    {TENSOR, 903, T_INT64, 4, 4, 1},
    {TENSOR, 906, T_INT64, 1, 1, 1},
    {PACK, 1000, T_INT64, 3, 5, 1},
    {PACK, 1001, T_POINTER, 3, 5, 1},
    {PACK, 1003, T_POINTER, 1, 1, 1},
};
enum { RULES = sizeof rules / sizeof *rules };

typedef struct descriptor {
  int kind, final, engine;
  struct descriptor *graph; // for descriptors derived from a graph
  char set[RULES];
  int64_t values[RULES][5];
} descriptor;

static size_t size_of(int type) {
  return type == T_DATA_TYPE || type == T_MODE || type == T_STATISTICS_MODE || type == T_HEURISTIC || type == T_FLOAT || type == T_NOTE ? 4 : 8;
}

static const rule *find(const descriptor *d, int name) {
  for (const rule *r = rules; r < rules + RULES; r++)
    if (r->kind == d->kind && r->name == name) return r;
  return NULL;
}

// value points to what was set.
static const void *value(const descriptor *d, int name) { return d->values[find(d, name) - rules]; }
static int64_t int_of(const descriptor *d, int name) { return *(const int64_t *)value(d, name); }
static int enum_of(const descriptor *d, int name) { return *(const int *)value(d, name); }
static descriptor *child(const descriptor *d, int name) { return *(descriptor *const *)value(d, name); }

static int alive;
int cudnnBackendCreateDescriptor(int kind, descriptor **d) {
  *d = calloc(1, sizeof **d);
  (*d)->kind = kind;
  alive++;
  return SUCCESS;
}
int cudnnBackendDestroyDescriptor(descriptor *d) {
  // Makes use after free noticeable.
  memset(d, 0xff, sizeof *d);
  free(d);
  if (--alive == 0) note("no descriptor is left\n");
  return SUCCESS;
}

int cudnnBackendSetAttribute(descriptor *d, int name, int type, int64_t count, const void *values) {
  const rule *r = find(d, name);
  if (d->final) return refuse(BAD_PARAM, "set after the end");
  if (r == NULL) return refuse(NOT_SUPPORTED, "attribute");
  if (r->type != type) return refuse(ATTRIBUTE_TYPE, "type of an attribute");
  if (count < r->least || count > r->most) return refuse(OUT_OF_BOUND, "count of an attribute");
  if (type == T_DESCRIPTOR && !(*(descriptor *const *)values)->final)
    return refuse(NOT_FINALIZED, "a descriptor that is not at its end");
  memcpy(d->values[r - rules], values, count * size_of(type));
  d->set[r - rules] = count;
  return SUCCESS;
}

static descriptor *operation(const descriptor *graph) { return child(graph, 801); }
// statistics returns the second operation of a graph, NULL if there is none.
static descriptor *statistics(const descriptor *graph) { return ((descriptor *const *)value(graph, 801))[1]; }
static int first(const descriptor *op) { return op->kind == FORWARD ? 700 : op->kind == BACKWARD_DATA ? 706 : 712; }

static tensor tensor_of(const descriptor *d) {
  tensor t = {enum_of(d, 901)};
  memcpy(t.dims, value(d, 902), sizeof t.dims);
  memcpy(t.strides, value(d, 903), sizeof t.strides);
  return t;
}

typedef struct {
  tensor x, w, y;
  int64_t strides[2], pads[2];
  int kind;
} convolution;

static const int places[3][3] = {{704, 703, 705}, {716, 715, 717}, {710, 709, 711}}; // x, w, y

static convolution convolution_of(const descriptor *op) {
  const int *at = places[op->kind - FORWARD];
  const descriptor *window = child(op, first(op) + 2);
  convolution c = {.x = tensor_of(child(op, at[0])),
                   .w = tensor_of(child(op, at[1])),
                   .y = tensor_of(child(op, at[2])),
                   .kind = op->kind};
  memcpy(c.strides, value(window, 103), sizeof c.strides);
  memcpy(c.pads, value(window, 105), sizeof c.pads);
  return c;
}

static int check_operation(const descriptor *op) {
  convolution c = convolution_of(op);
  const descriptor *window = child(op, first(op) + 2);
  const int64_t *dilations = value(window, 102);
  if (*(const float *)value(op, first(op)) != 1 || *(const float *)value(op, first(op) + 1) != 0)
    return refuse(NOT_SUPPORTED, "alpha or beta");
  if (enum_of(window, 100) != FLOAT || enum_of(window, 101) != 1 || int_of(window, 106) != 2 || dilations[0] != 1 ||
      dilations[1] != 1 || memcmp(value(window, 104), value(window, 105), sizeof c.pads))
    return refuse(NOT_SUPPORTED, "window");
  if (c.x.type != c.w.type || c.x.type != c.y.type) return refuse(NOT_SUPPORTED, "mixed types");
  if (c.x.dims[N] != c.y.dims[N] || c.x.dims[C] != c.w.dims[C] || c.w.dims[N] != c.y.dims[C])
    return refuse(BAD_PARAM, "dimensions");
  for (int i = 0; i < 2; i++)
    if (c.y.dims[H + i] != (c.x.dims[H + i] + 2 * c.pads[i] - c.w.dims[H + i]) / c.strides[i] + 1)
      return refuse(BAD_PARAM, "output size");
  return SUCCESS;
}

// A graph is a convolution, alone or with sums of its result: in float32, one per channel.
static int check_graph(const descriptor *graph) {
  const descriptor *op = operation(graph), *sums = statistics(graph);
  if (op->kind != FORWARD && op->kind != BACKWARD_DATA && op->kind != BACKWARD_FILTER)
    return refuse(NOT_SUPPORTED, "graph");
  if (sums == NULL) return SUCCESS;
  if (op->kind != FORWARD || sums->kind != STATISTICS || child(sums, 772) != child(op, 705))
    return refuse(NOT_SUPPORTED, "graph");
  for (int name = 773; name <= 774; name++) {
    tensor sum = tensor_of(child(sums, name));
    if (sum.type != FLOAT || elements(&sum) != sum.dims[C] || sum.dims[C] != tensor_of(child(op, 705)).dims[C])
      return refuse(BAD_PARAM, "tensor of sums");
  }
  return SUCCESS;
}

int cudnnBackendFinalize(descriptor *d) {
  for (int i = 0; i < RULES; i++)
    if (rules[i].kind == d->kind && rules[i].needed && !d->set[i]) return refuse(BAD_PARAM, "an attribute is missing");
  int status = SUCCESS;
  switch (d->kind) {
    case FORWARD:
    case BACKWARD_DATA:
    case BACKWARD_FILTER: status = check_operation(d); break;
    case STATISTICS:
      if (enum_of(d, 770) != 0 || enum_of(d, 771) != FLOAT) status = refuse(NOT_SUPPORTED, "statistics");
      break;
    case GRAPH: status = check_graph(d); break;
    case TENSOR:
      if (int_of(d, 900) < 1) status = refuse(BAD_PARAM, "alignment");
      break;
    case HEURISTICS:
      d->graph = child(d, 201);
      note("heuristics %d\n", enum_of(d, 200));
      break;
    case PLAN:
      d->engine = child(d, 401)->engine, d->graph = child(d, 401)->graph;
      if (d->engine == NO_PLANS) status = refuse(NOT_SUPPORTED, "no plan");
      break;
    case ENGINE:
    case CONFIG: status = refuse(BAD_PARAM, "read only here"); break;
  }
  d->final = status == SUCCESS;
  return status;
}

// workspace_of returns the bytes of workspace that a plan needs.
static int64_t workspace_of(const descriptor *plan) {
  const char *bytes = getenv("VICREG_STANDIN_WORKSPACE");
  if (plan->engine >= EXACT) return 0;
  if (statistics(plan->graph) != NULL && getenv("VICREG_STANDIN_SUMS_WORKSPACE") != NULL)
    bytes = getenv("VICREG_STANDIN_SUMS_WORKSPACE");
  return bytes ? atoll(bytes) : 4096 << plan->engine;
}

// sums_fit reports whether there are kernels for the sums of a graph.
static int sums_fit(const descriptor *graph) {
  convolution c = convolution_of(operation(graph));
  return c.x.dims[C] % 8 == 0 && c.y.dims[C] % 8 == 0 && getenv("VICREG_STANDIN_NO_SUMS") == NULL;
}

int cudnnBackendGetAttribute(descriptor *d, int name, int type, int64_t room, int64_t *count, void *values) {
  if (d->kind == HEURISTICS && name == 202 && type == T_DESCRIPTOR && d->final) {
    const char *naive = getenv("VICREG_STANDIN_NAIVE");
    int64_t alone = getenv("VICREG_STANDIN_LOOPS") != NULL, more = naive ? atoi(naive) : 0;
    int64_t all = alone ? 1 : ENGINES + more;
    const int sums = statistics(d->graph) != NULL;
    if (sums) all = sums_fit(d->graph) ? TENSOR_CORES + 1 : 0;
    *count = all;
    if (room == 0) return SUCCESS;
    for (int i = 0; i < all && i < room; i++) {
      descriptor *config = ((descriptor **)values)[i];
      if (config->kind != CONFIG) return refuse(BAD_PARAM, "not a configuration");
      config->engine = sums ? i : alone || i == all - 1 ? LOOPS : i < LOOPS ? i : NAIVE;
      config->graph = d->graph, config->final = 1;
    }
    *count = room < all ? room : all;
    return SUCCESS;
  }
  if (d->kind == CONFIG && name == 300 && type == T_DESCRIPTOR && room == 1) {
    descriptor *engine = *(descriptor **)values;
    if (engine->kind != ENGINE) return refuse(BAD_PARAM, "not an engine");
    engine->engine = d->engine, engine->final = 1;
    return *count = 1, SUCCESS;
  }
  if (d->kind == ENGINE && name == 1303 && type == T_NOTE && d->final) {
    *count = 0;
    if (d->engine == DOWN_CONVERTS || d->engine == TENSOR_CORES) ((int *)values)[(*count)++] = NOTE_TENSOR_CORE;
    if (d->engine == DOWN_CONVERTS) ((int *)values)[(*count)++] = NOTE_DOWN_CONVERT;
    if (d->engine == LOOPS) ((int *)values)[(*count)++] = NOTE_STRICT_NAN;
    return SUCCESS;
  }
  if (d->kind == PLAN && name == 402 && type == T_INT64 && room == 1 && d->final)
    return *(int64_t *)values = workspace_of(d), *count = 1, SUCCESS;
  return refuse(BAD_PARAM, "attribute to read");
}

static double rounded(double value, int bits) {
  int exponent;
  double fraction = frexp(value, &exponent);
  return ldexp(rint(ldexp(fraction, bits + 1)), exponent - bits - 1);
}

// Adds every product of the convolution to its element of the output. The operands are rounded to
// this many bits, or not at all for 0.
static void convolve(const convolution *c, void *data[3], int bits) {
  const tensor *tensors[] = {&c->x, &c->w, &c->y};
  int output = c->kind == FORWARD         ? 2
               : c->kind == BACKWARD_DATA ? 0
                                          : 1,
      a = output == 0 ? 1 : 0, b = output == 2 ? 1 : 2;
  const tensor *out = tensors[output];
  double *sum = calloc(elements(out), sizeof *sum);
  for (int64_t i = 0, y[4]; i < elements(&c->y) && (place(&c->y, i, y), 1); i++)
    for (int64_t j = 0, w[4]; j < elements(&c->w) && (place(&c->w, j, w), 1); j++) {
      int64_t h = y[H] * c->strides[0] - c->pads[0] + w[H], v = y[W] * c->strides[1] - c->pads[1] + w[W];
      if (w[N] != y[C] || h < 0 || v < 0 || h >= c->x.dims[H] || v >= c->x.dims[W]) continue;
      const int64_t at[3][4] = {{y[N], w[C], h, v}, {w[N], w[C], w[H], w[W]}, {y[N], y[C], y[H], y[W]}};
#define AT(i) at[i][N], at[i][C], at[i][H], at[i][W]
      double left = get(tensors[a], data[a], AT(a)), right = get(tensors[b], data[b], AT(b));
      const int64_t *o = at[output];
      sum[((o[N] * out->dims[H] + o[H]) * out->dims[W] + o[W]) * out->dims[C] + o[C]] +=
          bits ? rounded(left, bits) * rounded(right, bits) : left * right;
    }
  for (int64_t i = 0, o[4]; i < elements(out) && (place(out, i, o), 1); i++)
    put(out, data[output], sum[i], o[N], o[C], o[H], o[W]);
  free(sum);
}

static float time_of(int engine) {
  static const float times[ENGINES] = {
      [DOWN_CONVERTS] = 0.5, [TENSOR_CORES] = 1, [EXACT] = 3, [NAIVE] = 150, [LOOPS] = 9000};
  const char *ms = getenv("VICREG_STANDIN_NAIVE_MS");
  return engine == NAIVE && ms ? atof(ms) : times[engine];
}

// data_of returns the pack's data for a tensor, or NULL with a reason if it may not be used.
static void *data_of(const descriptor *pack, const descriptor *of) {
  const rule *ids = find(pack, 1000);
  for (int i = 0; i < pack->set[ids - rules]; i++) {
    if (((const int64_t *)value(pack, 1000))[i] != int_of(of, 906)) continue;
    void *data = ((void *const *)value(pack, 1001))[i];
    if (data == NULL || (uintptr_t)data % int_of(of, 900) == 0) return data;
    return refuse(BAD_PARAM, "a tensor begins off its alignment"), NULL;
  }
  return refuse(BAD_PARAM, "a tensor has no data"), NULL;
}

// add_up computes the sums of y's channels, or of their squares.
static void add_up(const tensor *y, const void *data, int squares, float *to) {
  for (int64_t c = 0; c < y->dims[C]; c++) {
    double sum = 0;
    for (int64_t i = 0, at[4]; i < elements(y) && (place(y, i, at), 1); i++) {
      double v = at[C] == c ? get(y, data, at[N], at[C], at[H], at[W]) : 0;
      sum += squares ? v * v : v;
    }
    to[c] = sum;
  }
}

static float slower_by_sums(void) {
  const char *times = getenv("VICREG_STANDIN_SUMS");
  return times ? atof(times) : 0.25;
}

int cudnnBackendExecute(void *handle, descriptor *plan, descriptor *pack) {
  begin(handle);
  if (plan->kind != PLAN || !plan->final || pack->kind != PACK || !pack->final)
    return refuse(BAD_PARAM, "not a plan and a pack");
  void *workspace = *(void *const *)value(pack, 1003), *data[3] = {0}, *to[2] = {0};
  if (workspace_of(plan) > 0) {
    if (workspace == NULL) return refuse(BAD_PARAM, "no workspace");
    // All of it or, if it is large, its beginning.
    int64_t bytes = workspace_of(plan), most = 256 << 20;
    memset(workspace, 0xff, bytes < most ? bytes : most);
  }
  if (plan->engine == FAILS) return refuse(EXECUTION_FAILED, "this engine fails");
  const descriptor *op = operation(plan->graph), *sums = statistics(plan->graph);
  convolution c = convolution_of(op);
  for (int i = 0; i < 3; i++)
    if ((data[i] = data_of(pack, child(op, places[op->kind - FORWARD][i]))) == NULL) return BAD_PARAM;
  for (int i = 0; sums != NULL && i < 2; i++)
    if ((to[i] = data_of(pack, child(sums, 773 + i))) == NULL) return BAD_PARAM;
  note(sums ? "engine %d with sums\n" : "engine %d\n", plan->engine);
  take_time(time_of(plan->engine) * (sums ? slower_by_sums() : 1));
  convolve(&c, data, plan->engine == DOWN_CONVERTS ? 3 : plan->engine == TENSOR_CORES && c.x.type == FLOAT ? 10 : 0);
  for (int i = 0; sums != NULL && i < 2; i++) add_up(&c.y, data[2], i, to[i]);
  return SUCCESS;
}
