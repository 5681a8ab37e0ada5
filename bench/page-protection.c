// What it costs to find the dirty lines of a shared 33 MiB view by page protection, or by the kernel's
// soft-dirty bits, for bench/micro/cache.ts. Prints `name microseconds` of stores and cleaning together, and
// of the stores alone without tracking.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
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

// One line in a hundred: all over the view, or in one place.
static void store(int scattered, uint8_t value) {
  for (size_t i = 0; i < LINES / 100; ++i) cache[(scattered ? (i * 7919 * 13) % LINES : i) * LINE] = value;
}

static void clean(size_t page) {
  for (size_t at = page * PAGE; at < (page + 1) * PAGE; at += LINE) {
    if (memcmp(cache + at, twin + at, LINE) == 0) continue;
    memcpy(twin + at, cache + at, LINE);
    memcpy(memory + at, twin + at, LINE);
  }
}

static double best(const double* values) {
  double least = values[0];
  for (int i = 1; i < ROUNDS; ++i) least = values[i] < least ? values[i] : least;
  return least;
}

static uint8_t* region(int fd, size_t index) {
  return mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)(index * BYTES));
}

static void protection(int scattered) {
  double took[ROUNDS], bare[ROUNDS];
  for (int round = 0; round < ROUNDS; ++round) {
    double from = now();
    store(scattered, (uint8_t)(2 * round));
    bare[round] = now() - from;
    memcpy(twin, cache, BYTES);
    memset(dirty, 0, sizeof dirty);
    from = now();
    mprotect(cache, BYTES, PROT_READ);
    store(scattered, (uint8_t)(2 * round + 1));
    for (size_t page = 0; page < PAGES; ++page) {
      if (dirty[page]) clean(page);
    }
    took[round] = now() - from;
    mprotect(cache, BYTES, PROT_READ | PROT_WRITE);
  }
  const char* where = scattered ? "scattered" : "together";
  printf("stores-%s %.0f\nprotection-%s %.0f\n", where, best(bare), where, best(took));
}

static void soft_dirty(int scattered) {
  double took[ROUNDS];
  int refs = open("/proc/self/clear_refs", O_WRONLY), map = open("/proc/self/pagemap", O_RDONLY);
  for (int round = 0; round < ROUNDS; ++round) {
    memcpy(twin, cache, BYTES);
    double from = now();
    if (refs < 0 || map < 0 || write(refs, "4", 1) != 1) return;
    store(scattered, (uint8_t)(round + 101));
    off_t at = (off_t)((uintptr_t)cache / PAGE * sizeof(uint64_t));
    if (pread(map, words, sizeof words, at) != (ssize_t)sizeof words) return;
    size_t found = 0;
    for (size_t page = 0; page < PAGES; ++page) {
      if (!(words[page] >> 55 & 1)) continue;
      clean(page);
      ++found;
    }
    took[round] = now() - from;
    // A kernel without soft-dirty bits says that every page is dirty, or none.
    if (found == 0 || found == PAGES) return;
  }
  close(refs);
  close(map);
  printf("soft-dirty-%s %.0f\n", scattered ? "scattered" : "together", best(took));
}

int main(void) {
  int fd = memfd_create("bench", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 3L * BYTES) != 0) return 1;
  cache = region(fd, 0), twin = region(fd, 1), memory = region(fd, 2);
  struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  for (int scattered = 0; scattered < 2; ++scattered) {
    protection(scattered);
    soft_dirty(scattered);
  }
  return 0;
}
