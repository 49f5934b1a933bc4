// Runs kernels on the CPU: the blocks of a grid one after the other, and the threads of a block
// one at a time, each until it ends or waits for the others.
//
// Threads run on fibers. A fiber goes from one thread to the next; if a thread waits, its fiber
// waits with it and another one takes the next thread. So without __syncthreads one fiber runs
// them all as plain calls.
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE // it takes a jump to another stack for an error
#include "launch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { STACK = 64 << 10 };

typedef struct {
  jmp_buf at;
  int made, waits;
  dim3 thread; // the one that waits
} fiber;

// The launch that runs; lock is held throughout. A fiber may be reused by a launch of another
// thread of the process.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const launch *now;
static standin_threads *threads;
static fiber fibers[MOST_THREADS], *running;
static jmp_buf scheduler;
static unsigned count, next; // threads of a block, and the next one to start
static int backwards;

static void leave(int waits) {
  running->waits = waits;
  if (_setjmp(running->at) == 0) _longjmp(scheduler, 1);
}

static void sync(void) {
  running->thread = threads->thread;
  leave(1);
}

static dim3 place(dim3 size, unsigned long i) { return (dim3){i % size.x, i / size.x % size.y, i / size.x / size.y}; }

// Every other block, alternating from launch to launch, begins with its last thread: a thread
// that reads too early then gets a wrong value in one of them.
static dim3 thread(unsigned i) { return place(now->block, backwards ? count - 1 - i : i); }

static void run_threads(void) {
  for (;; leave(0))
    while (next < count) {
      threads->thread = thread(next++);
      now->kernel(now->argument);
    }
}

static void make(fiber *f) {
  static ucontext_t context; // not on the stack, which is left at once
  char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) abort();
  f->made = 1;
  getcontext(&context);
  context.uc_stack.ss_sp = stack, context.uc_stack.ss_size = STACK;
  makecontext(&context, run_threads, 0);
  setcontext(&context);
}

static void enter(fiber *f) {
  running = f;
  if (_setjmp(scheduler) != 0) return;
  if (!f->made) make(f);
  _longjmp(f->at, 1);
}

static void wrong(unsigned waiting) {
  dim3 b = threads->block;
  fprintf(stderr, "stand-in for cuda: kernel %s: in block %u,%u,%u %u of %u threads wait in __syncthreads and the others have ended\n",
          now->name, b.x, b.y, b.z, waiting, count);
  abort();
}

static void run_block(void) {
  unsigned used = 0, waiting = 0;
  memset(threads->shared, 0xff, threads->shared_end - threads->shared); // NaN
  for (next = 0; next < count; used++) {
    enter(&fibers[used]);
    waiting += fibers[used].waits;
  }
  while (waiting > 0) {
    if (waiting < count) wrong(waiting);
    waiting = 0;
    for (fiber *f = fibers; f < fibers + used; f++) {
      threads->thread = f->thread;
      enter(f);
      waiting += f->waits;
    }
  }
}

void run_launch(const launch *l) {
  pthread_mutex_lock(&lock);
  now = l;
  threads = l->threads;
  threads->sync = sync, threads->block_size = l->block, threads->grid_size = l->grid;
  count = l->block.x * l->block.y * l->block.z;
  unsigned long blocks = (unsigned long)l->grid.x * l->grid.y * l->grid.z;
  static unsigned launches;
  launches++;
  for (unsigned long i = 0; i < blocks; i++) {
    threads->block = place(l->grid, i);
    backwards = (i + launches) % 2;
    run_block();
  }
  pthread_mutex_unlock(&lock);
}
