#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "opconv.h"

// Plans, their execution, and their users.

// Identifiers of the tensors; see describe_tensor.
static const int64_t ids[] = {'x', 'w', 'y', 's', 'q'};

// execute runs one group of a convolution.
static char *execute(const vr_conv_shape *s, void *plan, const vr_conv_data *data, void *workspace) {
  vr_descriptors d = {0};
  void *pointers[] = {data->x, data->w, data->y, data->sum, data->squares};
  const int tensors = s->groups ? 5 : 3;
  void *pack = vr_descriptor_begin(&d, CUDNN_DESCRIBE_PACK);
  vr_descriptor_set(&d, pack, CUDNN_PACK_IDS, CUDNN_TYPE_INT64, tensors, ids);
  vr_descriptor_set(&d, pack, CUDNN_PACK_POINTERS, CUDNN_TYPE_POINTER, tensors, pointers);
  vr_descriptor_set(&d, pack, CUDNN_PACK_WORKSPACE, CUDNN_TYPE_POINTER, 1, &workspace);
  vr_descriptor_end(&d, pack);
  if (d.error == NULL)
    d.error = vr_cudnn_failed(vr_cudnn.cudnnBackendExecute(s->cudnn, plan, pack), "cudnnBackendExecute");
  char *error = d.error;
  d.error = NULL;
  vr_descriptors_free(&d);
  return error;
}

// bytes returns the size of one group's part of a tensor.
static int64_t bytes(const vr_conv_shape *s, const int64_t dims[4]) {
  return dims[0] / s->groups * dims[1] * dims[2] * dims[3] * (s->type == CUDNN_FLOAT ? 4 : 2);
}

char *vr_execute(const vr_conv_shape *s, void *plan, const vr_conv_data *data, void *workspace) {
  if (s->groups == 0) return execute(s, plan, data, workspace);
  char *error = NULL;
  for (int64_t i = 0; error == NULL && i < s->groups; i++)
    error = execute(s, plan,
                    &(vr_conv_data){.x = (char *)data->x + i * bytes(s, s->x),
                                    .w = data->w,
                                    .y = (char *)data->y + i * bytes(s, s->y),
                                    .sum = data->sum + i * s->y[3],
                                    .squares = data->squares + i * s->y[3]},
                    workspace);
  return error;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static vr_plan *plans; // those with users
static vr_searches searches;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

// searched adds a search to the account.
static void searched(const vr_conv_shape *shape, double seconds) {
  searches.count++;
  searches.seconds += seconds;
  if (seconds > searches.longest) searches.longest = seconds, searches.of = *shape;
}

void vr_moments_chosen(int fused) {
  pthread_mutex_lock(&lock);
  searches.moments++;
  searches.fused += fused;
  pthread_mutex_unlock(&lock);
}

void vr_take_searches(vr_searches *to) {
  pthread_mutex_lock(&lock);
  *to = searches;
  searches = (vr_searches){0};
  pthread_mutex_unlock(&lock);
}

char *vr_plan_take(vr_call *run, const vr_conv_shape *shape, const vr_conv_data *data, vr_plan **to) {
  char *error = NULL;
  pthread_mutex_lock(&lock); // held while searching, too, so that only one search is timed at once
  vr_plan *plan = plans;
  while (plan != NULL && memcmp(&plan->shape, shape, sizeof *shape) != 0) plan = plan->next;
  if (plan == NULL) {
    double start = now();
    plan = calloc(1, sizeof *plan);
    error = vr_plan_search(run, shape, data, plan);
    if (error == NULL) searched(shape, now() - start);
    else if (shape->groups) *plan = (vr_plan){.shape = *shape}, free(error), error = NULL; // remember that there is no kernel
    if (error == NULL) plan->next = plans, plans = plan;
    else free(plan), plan = NULL;
  }
  if (plan != NULL) plan->users++;
  pthread_mutex_unlock(&lock);
  *to = plan;
  return error;
}

void vr_plan_leave(vr_plan *plan) {
  pthread_mutex_lock(&lock);
  if (--plan->users == 0) {
    vr_plan **at = &plans;
    while (*at != plan) at = &(*at)->next;
    *at = plan->next;
    vr_descriptors_free(&plan->own);
    vr_descriptors_free(&plan->graph);
    free(plan);
  }
  pthread_mutex_unlock(&lock);
}
