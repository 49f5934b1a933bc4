#include "opnormshapes.h"

#include <string.h>

int64_t vr_channels(const vr_shape *x) { return x->dims[x->rank - 1]; }

int64_t vr_rows(const vr_shape *x) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < x->rank; i++) rows *= x->dims[i];
  return rows;
}

static int is_channel(const vr_shape *s, const vr_shape *x) { return s->rank == 1 && s->dims[0] == vr_channels(x); }

int64_t vr_groups(const vr_attributes *a) { return a->groups > 1 ? a->groups : 1; }

void vr_set_statistic(const vr_attributes *a, const vr_shape *x, vr_shape *s) {
  int64_t groups = vr_groups(a);
  if (groups > 1) vr_set_shape(s, 2, groups, vr_channels(x), 0, 0);
  else vr_set_shape(s, 1, vr_channels(x), 0, 0, 0);
}

static int alike(const vr_shape *a, const vr_shape *b) {
  return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

static int is_statistic(const vr_attributes *a, const vr_shape *s, const vr_shape *x) {
  vr_shape want;
  vr_set_statistic(a, x, &want);
  return alike(s, &want);
}

int vr_masked(int type, int64_t channels) {
  int most = 16 / vr_bytes(type);
  return channels % most == 0 ? most : 1;
}

// norm_shape checks what both forward normalisations share.
static char *norm_shape(const vr_attributes *a, const vr_shape *x, const vr_shape *gamma, const vr_shape *beta, const vr_shape *z) {
  if (x->rank != 4 && x->rank != 2) return strdup("x is not [N, H, W, C] or [N, C]");
  if (vr_rows(x) < 1 || vr_channels(x) < 1) return strdup("x is empty");
  if (x->dims[0] % vr_groups(a) != 0) return strdup("x does not divide into groups");
  if (!is_channel(gamma, x) || !is_channel(beta, x)) return strdup("gamma or beta is not [C]");
  if (z->rank != 0 && !a->relu) return strdup("z is added before a relu only");
  if (z->rank != 0 && !alike(z, x)) return strdup("z is not of the shape of x");
  return NULL;
}

static void set_mask(const vr_shape *x, vr_shape *mask) {
  vr_set_shape(mask, 1, vr_rows(x) * vr_channels(x) / vr_masked(x->type, vr_channels(x)), 0, 0, 0);
}

char *vr_norm_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  char *error = norm_shape(a, &in[X], &in[GAMMA], &in[BETA], &in[Z]);
  if (error != NULL) return error;
  out[Y] = in[X];
  for (int i = MEAN; i <= ISTD; i++) vr_set_statistic(a, &in[X], &out[i]);
  if (in[Z].rank != 0) set_mask(&in[X], &out[MASK]);
  return NULL;
}

char *vr_normalize_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  char *error = norm_shape(a, &in[N_X], &in[N_GAMMA], &in[N_BETA], &in[N_Z]);
  if (error != NULL) return error;
  if (!is_statistic(a, &in[N_MEAN], &in[N_X]) || !is_statistic(a, &in[N_ISTD], &in[N_X]))
    return strdup("mean or istd is not of the groups");
  out[N_Y] = in[N_X];
  if (in[N_Z].rank != 0) set_mask(&in[N_X], &out[N_MASK]);
  return NULL;
}

char *vr_norm_grad_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  const vr_shape *x = &in[G_X];
  if ((x->rank != 4 && x->rank != 2) || !alike(&in[G_DY], x)) return strdup("dy and x are not [N, H, W, C] or [N, C]");
  if (vr_rows(x) < 1 || vr_channels(x) < 1) return strdup("x is empty");
  if (in[G_MORE].rank != 0 && !alike(&in[G_MORE], x)) return strdup("the second part of dy is not of the shape of x");
  if (x->dims[0] % vr_groups(a) != 0) return strdup("x does not divide into groups");
  if (!is_channel(&in[G_GAMMA], x) || !is_channel(&in[G_BETA], x)) return strdup("gamma or beta is not [C]");
  if (!is_statistic(a, &in[G_MEAN], x) || !is_statistic(a, &in[G_ISTD], x)) return strdup("mean or istd is not of the groups");
  int64_t mask = vr_rows(x) * vr_channels(x) / vr_masked(x->type, vr_channels(x));
  if (a->residual && (in[G_MASK].rank != 1 || in[G_MASK].dims[0] != mask)) return strdup("the mask is of another x");
  out[G_DX] = *x;
  vr_set_shape(&out[G_DGAMMA], 1, vr_channels(x), 0, 0, 0);
  out[G_DBETA] = out[G_DGAMMA];
  if (a->residual) out[G_DZ] = *x;
  return NULL;
}
