// What floor.c says to the kernel but does not measure for its own sake: the message, its descriptors, the
// clocks, the pinning. Every failure ends the program.
#ifndef FLOOR_WIRE_H
#define FLOOR_WIRE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum kind { KNOWN, NEW, FRAME, LAST };

struct message {
  uint32_t kind, slot, seq, sum;
  uint64_t cpu_micros;
  char rest[80];  // as much text as a small message of the library has
};

static inline void die(const char* what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static inline long check(long result, const char* what) {
  if (result < 0) die(what);
  return result;
}

static inline void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  check(sched_setaffinity(0, sizeof set, &set), "sched_setaffinity");
}

static inline double now_micros(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static inline uint64_t cpu_micros(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
         (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static inline void send_message(int sock, const struct message* m, const int* fds, size_t count) {
  union {
    char space[CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct iovec part = {(void*)m, sizeof *m};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    header.msg_control = control.space;
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
  }
  check(sendmsg(sock, &header, MSG_NOSIGNAL), "sendmsg");
}

// The count of descriptors that came along, or -1 at the end of the connection.
static inline int receive_message(int sock, struct message* m, int fds[2]) {
  union {
    char space[CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec part = {m, sizeof *m};
  struct msghdr header = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof control.space};
  ssize_t n = check(recvmsg(sock, &header, MSG_CMSG_CLOEXEC), "recvmsg");
  if (n == 0) return -1;
  struct cmsghdr* c = CMSG_FIRSTHDR(&header);
  if (c == NULL) return 0;
  size_t bytes = c->cmsg_len - CMSG_LEN(0);
  memcpy(fds, CMSG_DATA(c), bytes);
  return (int)(bytes / sizeof(int));
}

#endif
