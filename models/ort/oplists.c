// Operators whose last input or output is a list, of a length that each node chooses.
#include <string.h>

#include "api.h"
#include "oplists.h"

size_t vr_places(const char *letters) { return strcspn(letters, "*"); }

char vr_letter(const char *letters, size_t i) {
  size_t places = vr_places(letters);
  return letters[i < places ? i : places - 1];
}

int vr_listed(const char *letters, size_t i) { return letters[i] != 0 && letters[i + 1] == '*'; }

size_t vr_room(const vr_operator *op, size_t inputs) {
  size_t places = vr_places(op->inputs);
  return inputs < places ? places : inputs;
}

size_t vr_outputs(const vr_operator *op, size_t inputs) {
  return vr_places(op->outputs) + (strchr(op->outputs, '*') ? vr_room(op, inputs) : 0);
}

int64_t vr_list_length(const vr_operator *op, size_t inputs) {
  size_t places = vr_places(op->inputs);
  return strchr(op->inputs, '*') == NULL || inputs < places ? 0 : inputs - places + 1;
}

int64_t vr_elements(const vr_shape *s) {
  int64_t n = 1;
  for (size_t i = 0; i < s->rank; i++) n *= s->dims[i];
  return n;
}

char *vr_variables(const vr_attributes *a, const vr_shape *list, int lists, int64_t *n) {
  *n = a->listed / lists;
  if (*n < 1 || a->listed % lists != 0) return vr_error("%lld tensors are not %d for each variable", (long long)a->listed, lists);
  for (int64_t i = 0; i < a->listed; i++) {
    const vr_shape *p = &list[i % *n];
    if (p->rank == 0) return vr_error("variable %lld has no shape", (long long)(i % *n));
    if (vr_elements(p) < 1) return vr_error("variable %lld is empty", (long long)(i % *n));
    if (list[i].rank != p->rank || memcmp(list[i].dims, p->dims, p->rank * sizeof *p->dims) != 0)
      return vr_error("tensor %lld is not of the shape of its variable", (long long)i);
  }
  return NULL;
}

void vr_lay_out(const vr_shape *shapes, int tensors, int chunk, int64_t *count, int *first) {
  first[0] = 0;
  for (int i = 0; i < tensors; i++) {
    count[i] = vr_elements(&shapes[i]);
    first[i + 1] = first[i] + (count[i] + chunk - 1) / chunk;
  }
}

char *vr_whole(const vr_call *run, int64_t outputs) {
  for (int64_t i = 0; i < outputs; i++)
    if (run->y[i] == NULL) return strdup("an output is left out");
  return NULL;
}
