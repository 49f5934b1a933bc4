// The operators AllGather and AllReduce, on float32 of any shape. Source: ONNX Runtime's C
// API, struct OrtCustomOp.
#include "opgroup.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "optable.h"

#define DOMAIN "vicreg.collectives"
enum { FLOAT = 1 };

typedef struct {
  vr_table table;
  const char *name;
  int gathers;
} registered;

// node is one of a session: the size of the group that the graph was made for.
typedef struct {
  const registered *of;
  int64_t size;
} node;

static void *status(const registered *r, char *message) { return vr_status(r->name, DOMAIN, message); }

static const char *name(const void *r) { return ((const registered *)r)->name; }
static const char *provider(const void *r) { return "CPUExecutionProvider"; }
static int type(const void *r, size_t i) { return FLOAT; }
static size_t one(const void *r) { return 1; }
static int none(const void *r, size_t i) { return 0; }
static int no(const void *r) { return 0; }
static int version(const void *r) { return 1; }

static void *create(const void *r, void *api, void *info, void **to) {
  node *n = calloc(1, sizeof *n);
  n->of = r;
  char *error = vr_failed(STATUS(NODE_INT, void *, const char *, int64_t *)(info, "size", &n->size));
  if (error == NULL && n->size != vr_group_size())
    error = vr_error("the graph is for %lld processes, and here are %d", (long long)n->size, vr_group_size());
  int64_t rank = 0; // of which the gradient takes the rows
  if (error == NULL && n->of->gathers)
    error = vr_failed(STATUS(NODE_INT, void *, const char *, int64_t *)(info, "rank", &rank));
  if (error == NULL && n->of->gathers && rank != vr_group_rank())
    error = vr_error("the graph is for process %lld, and this is %d", (long long)rank, vr_group_rank());
  if (error != NULL) free(n), n = NULL;
  *to = n;
  return status(r, error);
}

static void destroy(void *n) { free(n); }

static char *exchange(const node *n, void *context) {
  void *value = NULL, *x = NULL, *y = NULL;
  vr_shape shape;
  char *error = vr_failed(STATUS(RUN_INPUT, void *, size_t, void **)(context, 0, &value));
  if (error == NULL) error = vr_look(value, &shape, &x);
  if (error != NULL) return error;
  size_t count = 1;
  for (size_t i = 0; i < shape.rank; i++) count *= shape.dims[i];
  if (n->of->gathers && shape.rank > 0) shape.dims[0] *= n->size;
  error = vr_failed(STATUS(RUN_OUTPUT, void *, size_t, const int64_t *, size_t, void **)(context, 0, shape.dims,
                                                                                         shape.rank, &value));
  if (error == NULL) error = vr_failed(STATUS(TENSOR_DATA, void *, void **)(value, &y));
  if (error != NULL || count == 0) return error;
  if (n->of->gathers) return vr_group_gather(x, count, y);
  if (y != x) memcpy(y, x, count * sizeof(float));
  return vr_group_reduce(y, count);
}

static void *compute(void *n, void *context) { return status(((node *)n)->of, exchange(n, context)); }

// A sum may take the place of what is summed.
static int input_0[] = {0}, output_0[] = {0};
static size_t may_share(int **inputs, int **outputs) {
  *inputs = input_0, *outputs = output_0;
  return 1;
}
static size_t shares_nothing(int **inputs, int **outputs) { return 0; }
static void release_shares(int *inputs, int *outputs) {}

static void *domain;
static char *domain_error;

static void make_domain(void) {
  static registered all[] = {{.name = "AllGather", .gathers = 1}, {.name = "AllReduce"}};
  domain_error = vr_failed(STATUS(CREATE_OPERATOR_DOMAIN, const char *, void **)(DOMAIN, &domain));
  for (int i = 0; domain_error == NULL && i < 2; i++) {
    all[i].table = (vr_table){.version = API_VERSION,
                              .name = name,
                              .provider = provider,
                              .input_type = type,
                              .input_count = one,
                              .output_type = type,
                              .output_count = one,
                              .destroy = destroy,
                              .input_characteristic = none,
                              .output_characteristic = none,
                              .input_memory = none,
                              .variadic = {no, no, no, no},
                              .create = create,
                              .compute = compute,
                              .versions = {version, NULL},
                              .may_share = all[i].gathers ? shares_nothing : may_share,
                              .release_shares = release_shares};
    domain_error = vr_failed(STATUS(ADD_OPERATOR, void *, vr_table *)(domain, &all[i].table));
  }
}

char *vr_add_collectives(void *options) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_domain);
  if (domain_error != NULL) return strdup(domain_error);
  return vr_failed(STATUS(ADD_OPERATOR_DOMAIN, void *, void *)(options, domain));
}
