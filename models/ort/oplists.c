// Operators whose last input or output is a list, as long as each node has it.
#include <string.h>

#include "customop.h"

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
