// eventfd CORE CORE ROUNDS: what it costs two processes to wake each other by eventfds, nanoseconds of one
// way in a line of its own for each round. The floor under every way of telling a process something.
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static void Pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) exit(1);
}

static void Tell(int fd) {
  uint64_t one = 1;
  if (write(fd, &one, sizeof one) != sizeof one) exit(1);
}

static void Wait(int fd) {
  uint64_t value;
  if (read(fd, &value, sizeof value) != sizeof value) exit(1);
}

static double Now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  int there = eventfd(0, EFD_CLOEXEC), back = eventfd(0, EFD_CLOEXEC), rounds = atoi(argv[3]);
  pid_t child = fork();
  if (child == 0) {
    Pin(atoi(argv[2]));
    for (int i = 0; i < rounds; ++i) {
      Wait(there);
      Tell(back);
    }
    return 0;
  }
  Pin(atoi(argv[1]));
  for (int i = 0; i < rounds; ++i) {
    double from = Now();
    Tell(there);
    Wait(back);
    printf("%.0f\n", (Now() - from) / 2);
  }
  return 0;
}
