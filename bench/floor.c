// The floor of the benchmark: what the kernel alone asks for handing a buffer over, with no Node.js and no
// library. Two processes, one SOCK_SEQPACKET pair, one message of about 100 bytes per hand-over; the buffer
// is a sealed memfd and a pipe's write end goes with it, so that its end of file tells the producer that the
// consumer has let go.
//
//   floor MODE COUNT SIZE SLOTS TOUCH PRODUCER_CORE CONSUMER_CORE
//
// MODE   roundtrip-known  one descriptor each way, of a buffer that both have mapped
//        roundtrip-new    a buffer and a pipe made for each message, closed on both sides, a short answer
//        stream           SLOTS buffers in turn, the producer writing the first word of each
// TOUCH  page | all       what the consumer of a stream reads: one word of every page, or every word
//
// Prints {"pids":[P,C]} first and the figures last, one JSON object a line.
#include "floor-wire.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PAGE = 4096, MAX_SLOTS = 1024, WARM_UP = 100 };

static size_t size;
static int consumer_reads_all;
static uint8_t* mapped[MAX_SLOTS];

static int new_buffer(void) {
  int fd = (int)check(memfd_create("floor", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create");
  check(ftruncate(fd, (off_t)size), "ftruncate");
  check(fallocate(fd, 0, 0, (off_t)size), "fallocate");
  check(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), "F_ADD_SEALS");
  return fd;
}

static uint8_t* map(int fd) {
  void* p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) die("mmap");
  return p;
}

// What any receiver of a stranger's memory has to ask before it maps it.
static void gate(int fd) {
  struct stat st;
  int seals = (int)check(fcntl(fd, F_GET_SEALS), "F_GET_SEALS");
  check(fstat(fd, &st), "fstat");
  if ((seals & F_SEAL_SHRINK) == 0 || (size_t)st.st_size < size) {
    errno = EINVAL;
    die("gate");
  }
}

static uint32_t word(const uint8_t* p) {
  return *(const volatile uint32_t*)p;
}

static void write_word(uint8_t* p, uint32_t value) {
  *(volatile uint32_t*)p = value;
}

static uint32_t read_frame(const uint8_t* bytes) {
  uint32_t sum = 0;
  if (consumer_reads_all) {
    const uint32_t* words = (const uint32_t*)bytes;
    for (size_t i = 0; i < size / 4; i++) sum += words[i];
  } else {
    for (size_t at = 0; at + 4 <= size; at += PAGE) sum += word(bytes + at);
  }
  return sum;
}

static void consume(int sock) {
  struct message m;
  int fds[2];
  uint32_t sum = 0;
  for (;;) {
    int count = receive_message(sock, &m, fds);
    if (count < 0) exit(0);
    if (m.kind != NEW && m.kind != LAST && mapped[m.slot] == NULL) {
      gate(fds[0]);
      mapped[m.slot] = map(fds[0]);
    }
    if (m.kind == KNOWN) {
      m.sum = word(mapped[m.slot]);
      send_message(sock, &m, fds, 1);
    } else if (m.kind == NEW) {
      gate(fds[0]);
      uint8_t* bytes = map(fds[0]);
      m.sum = word(bytes);
      check(munmap(bytes, size), "munmap");
      send_message(sock, &m, NULL, 0);
    } else if (m.kind == FRAME) {
      sum += read_frame(mapped[m.slot]);
    } else {
      m.sum = sum;
      m.cpu_micros = cpu_micros();
      send_message(sock, &m, NULL, 0);
      sum = 0;
    }
    for (int i = 0; i < count; i++) close(fds[i]);
  }
}

static void trip_known(int sock, int fd, uint32_t seq) {
  struct message m = {.kind = KNOWN, .seq = seq};
  int back[2];
  write_word(mapped[0], seq);
  send_message(sock, &m, &fd, 1);
  if (receive_message(sock, &m, back) != 1 || m.sum != seq) die("wrong answer");
  close(back[0]);
}

static void trip_new(int sock, uint32_t seq) {
  struct message m = {.kind = NEW, .seq = seq};
  int none[2], leash[2];
  int fd = new_buffer();
  uint8_t* bytes = map(fd);
  check(pipe2(leash, O_CLOEXEC), "pipe2");
  write_word(bytes, seq);
  send_message(sock, &m, (int[]){fd, leash[1]}, 2);
  close(leash[1]);
  if (receive_message(sock, &m, none) != 0 || m.sum != seq) die("wrong answer");
  close(leash[0]);
  check(munmap(bytes, size), "munmap");
  close(fd);
}

static void round_trips(int sock, int is_new, long count) {
  int fd = new_buffer();
  mapped[0] = map(fd);
  double* micros = calloc((size_t)count, sizeof *micros);
  for (long i = -WARM_UP; i < count; i++) {
    double from = now_micros();
    if (is_new) {
      trip_new(sock, (uint32_t)i);
    } else {
      trip_known(sock, fd, (uint32_t)i);
    }
    if (i >= 0) micros[i] = now_micros() - from;
  }
  printf("{\"micros\":[");
  for (long i = 0; i < count; i++) printf("%s%.2f", i ? "," : "", micros[i]);
  printf("]}\n");
}

// The consumer's answer after the last of `count` frames. A slot's turn comes again once the end of file on
// its pipe has said that the consumer closed its descriptors.
static struct message run_stream(int sock, const int* fds, int* leash, uint32_t slots, long count) {
  struct message m;
  int none[2];
  char byte;
  for (long i = 0; i < count; i++) {
    uint32_t slot = (uint32_t)i % slots;
    int ends[2];
    if (leash[slot] >= 0) {
      check(read(leash[slot], &byte, 1), "read of the leash");
      close(leash[slot]);
    }
    write_word(mapped[slot], (uint32_t)i);
    check(pipe2(ends, O_CLOEXEC), "pipe2");
    m = (struct message){.kind = FRAME, .slot = slot, .seq = (uint32_t)i};
    send_message(sock, &m, (int[]){fds[slot], ends[1]}, 2);
    close(ends[1]);
    leash[slot] = ends[0];
  }
  m = (struct message){.kind = LAST};
  send_message(sock, &m, NULL, 0);
  receive_message(sock, &m, none);
  return m;
}

static void stream(int sock, uint32_t slots, long count) {
  static int fds[MAX_SLOTS], leash[MAX_SLOTS];
  for (uint32_t i = 0; i < slots; i++) {
    fds[i] = new_buffer();
    mapped[i] = map(fds[i]);
    leash[i] = -1;
  }
  uint64_t theirs = run_stream(sock, fds, leash, slots, slots).cpu_micros;
  uint64_t mine = cpu_micros();
  double from = now_micros();
  struct message m = run_stream(sock, fds, leash, slots, count);
  double seconds = (now_micros() - from) / 1e6;
  double cpu = (double)(m.cpu_micros - theirs + cpu_micros() - mine) / 1e6;
  printf("{\"seconds\":%.9f,\"cpuSeconds\":%.6f,\"sum\":%u}\n", seconds, cpu, m.sum);
}

int main(int argc, char** argv) {
  if (argc != 8) {
    fprintf(stderr, "usage: floor MODE COUNT SIZE SLOTS page|all PRODUCER_CORE CONSUMER_CORE\n");
    return 2;
  }
  long count = atol(argv[2]);
  size = strtoull(argv[3], NULL, 10);
  uint32_t slots = (uint32_t)atoi(argv[4]);
  consumer_reads_all = strcmp(argv[5], "all") == 0;
  if (count < 1 || size < 4 || slots < 1 || slots > MAX_SLOTS) {
    errno = EINVAL;
    die("arguments");
  }
  int sock[2];
  check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), "socketpair");
  pid_t consumer = (pid_t)check(fork(), "fork");
  if (consumer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(sock[0]);
    pin(atoi(argv[7]));
    consume(sock[1]);
  }
  close(sock[1]);
  pin(atoi(argv[6]));
  printf("{\"pids\":[%d,%d]}\n", getpid(), consumer);
  fflush(stdout);
  if (strcmp(argv[1], "stream") == 0) {
    stream(sock[0], slots, count);
  } else {
    round_trips(sock[0], strcmp(argv[1], "roundtrip-new") == 0, count);
  }
  close(sock[0]);
  waitpid(consumer, NULL, 0);
  return 0;
}
