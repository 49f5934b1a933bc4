#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "opclock.h"
#include "opconv.h"

// The choice among cuDNN's kernels for a convolution. Its heuristics list engines with settings,
// best guess first; the first few that work are timed on the real data, as
// torch.backends.cudnn.benchmark does.

// After ENOUGH candidates the first hopeless one ends a search, as those after it in the list are
// hardly better. ENOUGH_MS on the device end a search with the best so far, but not before
// ENOUGH_RUNS times the time of its run, for convolutions that are slow themselves.
enum { MOST_CANDIDATES = 20, ENOUGH = 8, ENOUGH_MS = 1000, ENOUGH_RUNS = 40, MOST_CONFIGS = 64, TIMED_RUNS = 3 };

typedef struct {
  vr_descriptors own;
  void *plan;
  int64_t workspace;
} candidate;

// limits restrict the candidates: to a workspace above one bound and up to another, and to the
// plain loops that cuDNN falls back on, or to all others. Those loops can take seconds where the
// others take milliseconds.
typedef struct {
  int64_t above, workspace;
  int loops;
} limits;

typedef struct {
  const vr_conv_shape *shape;
  vr_descriptors graph;
  void *operations;
  limits limits;
  candidate all[3 * MOST_CANDIDATES];
  int count, cores; // candidates, and how many of them use tensor cores
  float spent;      // ms on the device
} search;

// attribute reads an attribute into values, which has space for room of them, and returns their
// number; -1 if it cannot be read.
static int64_t attribute(void *descriptor, int name, int type, int64_t room, void *values) {
  int64_t count = 0;
  return vr_cudnn.cudnnBackendGetAttribute(descriptor, name, type, room, &count, values) == 0 ? count : -1;
}

// The properties of a configuration's engine.
typedef struct {
  int cores;  // it uses tensor cores
  int rounds; // it rounds its operands or its sums further than they do
  int loops;  // it is plain loops
} engine;

// describe reads cuDNN's notes on an engine's arithmetic. The engine that promises to propagate
// every NaN is its last resort, the loops: it supports every type and shape, and needs no
// workspace. An engine whose notes cannot be read counts as rounding.
static engine describe(void *config) {
  vr_descriptors d = {0};
  int notes[CUDNN_NOTES];
  engine e = {.rounds = 1};
  void *of = vr_descriptor_begin(&d, CUDNN_DESCRIBE_ENGINE);
  if (d.error == NULL && attribute(config, CUDNN_CONFIG_ENGINE, CUDNN_TYPE_DESCRIPTOR, 1, &of) > 0) {
    int64_t count = attribute(of, CUDNN_ENGINE_NUMERICAL_NOTES, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NOTES, notes);
    e.rounds = count < 0 || count > CUDNN_NOTES;
    for (int64_t i = 0; !e.rounds && i < count; i++) {
      e.cores |= notes[i] == CUDNN_NOTE_TENSOR_CORE;
      e.loops |= notes[i] == CUDNN_NOTE_STRICT_NAN;
      e.rounds = notes[i] == CUDNN_NOTE_DOWN_CONVERT || notes[i] == CUDNN_NOTE_REDUCED_SUMS;
    }
  }
  vr_descriptors_free(&d);
  return e;
}

// allows reports whether a convolution may use an engine. Tensor cores take half precision as it
// is and float32 as TF32; conversion to less than that loses more, as do sums in less than
// float32, and neither is ever wanted.
static int allows(const search *s, engine e) {
  return !e.rounds && (s->shape->tf32 || !e.cores) && s->limits.loops == e.loops;
}

static char *make_plan(const vr_conv_shape *s, void *config, candidate *c) {
  c->plan = vr_descriptor_begin(&c->own, CUDNN_DESCRIBE_PLAN);
  vr_descriptor_set(&c->own, c->plan, CUDNN_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &s->cudnn);
  vr_descriptor_set(&c->own, c->plan, CUDNN_PLAN_CONFIG, CUDNN_TYPE_DESCRIPTOR, 1, &config);
  vr_descriptor_end(&c->own, c->plan);
  return c->own.error;
}

// consider makes a plan of a configuration and keeps both as a candidate, or frees both.
static void consider(search *s, void *config) {
  candidate c = {.own = {.all = {config}, .count = 1}};
  engine e = describe(config);
  if (allows(s, e) && make_plan(s->shape, config, &c) == NULL &&
      attribute(c.plan, CUDNN_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &c.workspace) == 1 &&
      c.workspace > s->limits.above && c.workspace <= s->limits.workspace) {
    s->all[s->count++] = c;
    s->cores += e.cores;
  } else vr_descriptors_free(&c.own);
}

// results creates descriptors for the heuristics' results, and has them filled.
static int64_t results(void *heuristics, void *configs[MOST_CONFIGS]) {
  int64_t found = attribute(heuristics, CUDNN_HEURISTICS_RESULTS, CUDNN_TYPE_DESCRIPTOR, 0, NULL);
  if (found > MOST_CONFIGS) found = MOST_CONFIGS;
  int64_t made = 0, filled = 0;
  while (made < found && vr_cudnn.cudnnBackendCreateDescriptor(CUDNN_DESCRIBE_CONFIG, &configs[made]) == 0) made++;
  if (made > 0) filled = attribute(heuristics, CUDNN_HEURISTICS_RESULTS, CUDNN_TYPE_DESCRIPTOR, made, configs);
  if (filled < 0) filled = 0;
  if (filled > made) filled = made;
  for (int64_t i = filled; i < made; i++) vr_cudnn.cudnnBackendDestroyDescriptor(configs[i]);
  return filled;
}

// gather adds the candidates of one heuristic, which may have none.
static void gather(search *s, int heuristic) {
  vr_descriptors d = {0};
  void *configs[MOST_CONFIGS], *h = vr_descriptor_begin(&d, CUDNN_DESCRIBE_HEURISTICS);
  vr_descriptor_set(&d, h, CUDNN_HEURISTICS_GRAPH, CUDNN_TYPE_DESCRIPTOR, 1, &s->operations);
  vr_descriptor_set(&d, h, CUDNN_HEURISTICS_MODE, CUDNN_TYPE_HEURISTIC, 1, &heuristic);
  vr_descriptor_end(&d, h);
  int64_t count = d.error ? 0 : results(h, configs);
  for (int64_t i = 0; i < count; i++) {
    if (s->count < MOST_CANDIDATES) consider(s, configs[i]);
    else vr_cudnn.cudnnBackendDestroyDescriptor(configs[i]);
  }
  vr_descriptors_free(&d);
}

// gather_more finds candidates within the limits, at most MOST_CANDIDATES, puts them before the
// existing ones and returns their number.
static int gather_more(search *s) {
  candidate before[sizeof s->all / sizeof *s->all];
  int old = s->count;
  memcpy(before, s->all, old * sizeof *before);
  s->count = 0;
  gather(s, CUDNN_HEURISTIC_B);
  // A supports convolutions that B does not, and otherwise lists the same.
  if (s->count == 0) gather(s, CUDNN_HEURISTIC_A);
  if (s->count == 0) gather(s, CUDNN_HEURISTIC_FALLBACK);
  int found = s->count;
  memcpy(&s->all[found], before, old * sizeof *before);
  s->count += old;
  return found;
}

// trial is one candidate, what it computes on and what measures it.
typedef struct {
  vr_call *run;
  search *search;
  const candidate *candidate;
  const vr_conv_data *data;
  void *workspace;
  const vr_clock *clock;
} trial;

static char *execute(void *of) {
  const trial *t = of;
  return vr_execute(t->search->shape, t->candidate->plan, t->data, t->workspace);
}

// timed returns the total time of some runs.
static char *timed(trial *t, int runs, float *ms) {
  char *error = vr_time(t->run, t->clock, execute, t, runs, ms);
  if (error == NULL) t->search->spent += *ms;
  return error;
}

// hopeless reports whether a kernel's first run is so much slower than the fastest so far that no
// other run is needed: ten times, plus what loading the kernel may take.
static int hopeless(float ms, float least) { return ms > 10 * least + 50; }

// measure returns the time of a run, the mean of a few after a warm-up. A kernel that takes more
// than twice the least time so far is not timed again, and a hopeless one stops after the
// warm-up: slow kernels are what a search spends its time on.
static char *measure(trial *t, float least, float *ms) {
  float rest = 0;
  char *error = timed(t, 1, ms);
  if (error != NULL || hopeless(*ms, least)) return error;
  error = timed(t, 1, ms);
  if (error != NULL || *ms > 2 * least) return error;
  error = timed(t, TIMED_RUNS - 1, &rest);
  *ms = (*ms + rest) / TIMED_RUNS;
  return error;
}

void *vr_try_memory(size_t bytes) {
  void *memory = NULL;
  if (vr_cudnn.cudaMalloc(&memory, bytes) == 0) return memory;
  vr_cudnn.cudaGetLastError(); // else the runtime's next kernel would report it
  return NULL;
}

// workspace_for allocates enough for all candidates, dropping the greediest until it can.
static void *workspace_for(search *s) {
  for (;;) {
    int most = 0;
    for (int i = 1; i < s->count; i++)
      if (s->all[i].workspace > s->all[most].workspace) most = i;
    void *memory = s->count && s->all[most].workspace ? vr_try_memory(s->all[most].workspace) : NULL;
    if (memory != NULL || s->count == 0 || s->all[most].workspace == 0) return memory;
    vr_descriptors_free(&s->all[most].own);
    memmove(&s->all[most], &s->all[most + 1], (--s->count - most) * sizeof *s->all);
  }
}

// enough reports whether to settle for the best so far.
static int enough(const search *s, int best, float least) {
  return best >= 0 && s->spent >= ENOUGH_MS && s->spent >= ENOUGH_RUNS * least;
}

// fastest returns the candidate that takes the least time, or -1 with an error.
static int fastest(vr_call *run, search *s, const vr_conv_data *data, void *workspace, const vr_clock *clock,
                   char **error) {
  int best = -1;
  float least = FLT_MAX;
  for (int i = 0; i < s->count && !enough(s, best, least); i++) {
    float ms = 0;
    char *failed = measure(&(trial){run, s, &s->all[i], data, workspace, clock}, least, &ms);
    if (failed != NULL) {
      vr_cudnn.cudaGetLastError(); // else the runtime's next kernel would report it
      free(*error);
      *error = failed;
    } else if (ms < least) {
      best = i, least = ms;
    } else if (i >= ENOUGH && hopeless(ms, least)) {
      break;
    }
  }
  if (best >= 0) free(*error), *error = NULL;
  return best;
}

static int choose(vr_call *run, search *s, const vr_conv_data *data, char **error) {
  void *workspace = workspace_for(s);
  vr_clock clock = {0};
  int best = -1;
  if (s->count == 0) *error = strdup("the device has no memory left to work in");
  else *error = vr_clock_make(&clock);
  if (*error == NULL) best = fastest(run, s, data, workspace, &clock, error);
  vr_clock_free(&clock);
  // The last candidate may still be running if it failed; cudaFree waits for it.
  if (workspace != NULL) vr_cudnn.cudaFree(workspace);
  return best;
}

// find returns the fastest candidate with little workspace. If none of them uses tensor cores,
// although it might, much workspace will do: in float32 and with few channels cuDNN's only such
// kernels first convert the data to another layout, which takes 2 GiB for the gradient of a
// ResNet-50's first convolution, at the end of the step, when most of its memory is free. The
// loops come last, if nothing else works.
static int find(vr_call *run, search *s, const vr_conv_data *data, char **error) {
  static const int64_t little = (int64_t)1 << 30, much = (int64_t)8 << 30;
  const limits tries[] = {{-1, little, 0}, {little, much, 0}, {-1, much, 1}};
  enum { TRIES = sizeof tries / sizeof *tries };
  int best = -1;
  for (int i = 0; i < TRIES && best < 0; i++) {
    s->limits = tries[i];
    int found = gather_more(s), wants = s->shape->tf32 && s->cores == 0;
    if (s->count == 0 || (i == 0 && wants) || (i > 1 && found == 0)) continue;
    free(*error), *error = NULL;
    best = choose(run, s, data, error);
  }
  if (best < 0 && *error == NULL) *error = strdup("cuDNN has no kernel for this convolution");
  return best;
}

char *vr_plan_search(vr_call *run, const vr_conv_shape *shape, const vr_conv_data *data, vr_plan *plan) {
  search s = {.shape = shape};
  s.operations = vr_describe_conv(&s.graph, shape);
  char *error = s.graph.error;
  s.graph.error = NULL;
  int best = error ? -1 : find(run, &s, data, &error);
  for (int i = 0; i < s.count; i++)
    if (i != best) vr_descriptors_free(&s.all[i].own);
  if (best < 0) {
    vr_descriptors_free(&s.graph);
    return error;
  }
  *plan = (vr_plan){.shape = *shape,
                    .graph = s.graph,
                    .own = s.all[best].own,
                    .plan = s.all[best].plan,
                    .workspace = s.all[best].workspace};
  return NULL;
}
