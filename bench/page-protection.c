// What it costs to find and write back the dirty lines of a shared 33 MiB view by page protection, by the
// kernel's soft-dirty bits or by a compare with a twin, for bench/micro/cache.ts. Prints `best median name`
// in microseconds. Tracking is paid for by whoever stores: stores and cleaning are measured together, and
// stores without tracking beside them.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, LINE = 64, BYTES = 33 << 20, PAGES = BYTES / PAGE, LINES = BYTES / LINE, ROUNDS = 15 };

static uint8_t *cache, *twin, *memory, dirty[PAGES];
static uint64_t words[PAGES];

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return at.tv_sec * 1e6 + at.tv_nsec / 1e3;
}

static void fault(int number, siginfo_t* info, void* context) {
  (void)number, (void)context;
  size_t page = ((uint8_t*)info->si_addr - cache) / PAGE;
  dirty[page] = 1;
  mprotect(cache + page * PAGE, PAGE, PROT_READ | PROT_WRITE);
}

enum stores { NONE, TOGETHER, SCATTERED, ALL };
static const char* const stores[] = {"nothing dirty", "1 % dirty, together", "1 % dirty, scattered",
                                     "all dirty"};

// One line in a hundred is in one place, or all over the view.
static void store(enum stores which, uint8_t value) {
  size_t lines = which == NONE ? 0 : which == ALL ? LINES : LINES / 100;
  for (size_t i = 0; i < lines; ++i) cache[(which == SCATTERED ? (i * 7919 * 13) % LINES : i) * LINE] = value;
}

static void clean(size_t page) {
  for (size_t at = page * PAGE; at < (page + 1) * PAGE; at += LINE) {
    if (memcmp(cache + at, twin + at, LINE) == 0) continue;
    memcpy(twin + at, cache + at, LINE);
    memcpy(memory + at, twin + at, LINE);
  }
}

static int ascending(const void* a, const void* b) {
  double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static void tell(const char* name, const char* kind, double* values) {
  qsort(values, ROUNDS, sizeof *values, ascending);
  // Not to be had on this kernel.
  if (values[0] < 0) return;
  printf("%.0f %.0f %s%s%s\n", values[0], values[ROUNDS / 2], name, *kind ? ", " : "", kind);
}

static uint8_t* region(int fd, size_t index) {
  return mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)(index * BYTES));
}

static double copied(void) {
  double from = now();
  memcpy(memory, cache, BYTES);
  return now() - from;
}

static double stored(enum stores which, uint8_t value) {
  double from = now();
  store(which, value);
  return now() - from;
}

static double compared(enum stores which, uint8_t value) {
  store(which, value);
  double from = now();
  for (size_t page = 0; page < PAGES; ++page) {
    if (memcmp(cache + page * PAGE, twin + page * PAGE, PAGE) != 0) clean(page);
  }
  return now() - from;
}

static double protected(enum stores which, uint8_t value) {
  memset(dirty, 0, sizeof dirty);
  double from = now();
  mprotect(cache, BYTES, PROT_READ);
  store(which, value);
  for (size_t page = 0; page < PAGES; ++page) {
    if (dirty[page]) clean(page);
  }
  double took = now() - from;
  mprotect(cache, BYTES, PROT_READ | PROT_WRITE);
  return took;
}

static int refs, map;

static double soft_dirty(enum stores which, uint8_t value) {
  double from = now();
  if (write(refs, "4", 1) != 1) return -1;
  store(which, value);
  off_t at = (off_t)((uintptr_t)cache / PAGE * sizeof(uint64_t));
  if (pread(map, words, sizeof words, at) != (ssize_t)sizeof words) return -1;
  size_t found = 0;
  for (size_t page = 0; page < PAGES; ++page) {
    if (!(words[page] >> 55 & 1)) continue;
    clean(page);
    ++found;
  }
  // A kernel without soft-dirty bits says that every page is dirty, or none.
  bool told = found > 0 && (which == ALL || found < PAGES);
  return told ? now() - from : -1;
}

static const struct {
  const char* name;
  double (*once)(enum stores which, uint8_t value);
  enum stores first;
} ways[] = {
    {"stores alone", stored, TOGETHER},
    {"twin", compared, NONE},
    {"page protection", protected, NONE},
    {"soft-dirty", soft_dirty, TOGETHER},
};
enum { WAYS = sizeof ways / sizeof *ways, KINDS = ALL + 1 };

int main(void) {
  static double copies[ROUNDS], took[WAYS][KINDS][ROUNDS];
  int fd = memfd_create("bench", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 3L * BYTES) != 0) return 1;
  cache = region(fd, 0), twin = region(fd, 1), memory = region(fd, 2);
  refs = open("/proc/self/clear_refs", O_WRONLY), map = open("/proc/self/pagemap", O_RDONLY);
  struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  uint8_t value = 0;
  for (int round = 0; round < ROUNDS; ++round) {
    copies[round] = copied();
    for (int way = 0; way < WAYS; ++way) {
      for (enum stores kind = ways[way].first; kind <= ALL; ++kind) {
        took[way][kind][round] = ways[way].once(kind, ++value);
        memcpy(twin, cache, BYTES);
      }
    }
  }
  tell("copy", "", copies);
  for (int way = 0; way < WAYS; ++way) {
    for (enum stores kind = ways[way].first; kind <= ALL; ++kind)
      tell(ways[way].name, stores[kind], took[way][kind]);
  }
  return 0;
}
