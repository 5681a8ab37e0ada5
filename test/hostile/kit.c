/*
 * A hostile peer without a line of the library: says hello on the socket that it inherits as descriptor 3,
 * and sends one buffer whose storage is what its argument names. Exits with 77 where this kernel does not
 * have it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { kChannel = 3, kUnsupported = 77, kHeader = 32, kHandle = 96 };

static int Fifo(void) {
  char path[64];
  snprintf(path, sizeof(path), "/tmp/dmabuf-fifo-%d", (int)getpid());
  if (mkfifo(path, 0600) < 0) return -1;
  int fd = open(path, O_RDWR);
  unlink(path);
  return fd;
}

static int SharedFile(void) {
  char path[64];
  snprintf(path, sizeof(path), "/dev/shm/dmabuf-kit-%d", (int)getpid());
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  unlink(path);
  if (fd >= 0 && ftruncate(fd, 4096) < 0) return -1;
  return fd;
}

static int Sealed(int flags, unsigned seals) {
  int fd = memfd_create("kit", MFD_CLOEXEC | MFD_ALLOW_SEALING | (unsigned)flags);
  if (fd < 0 || ftruncate(fd, 4096) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0) return -1;
  return fd;
}

/* Write-only: sealed as it must be, and nobody can read it through this descriptor. */
static int WriteOnly(void) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", Sealed(0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  return open(path, O_WRONLY);
}

static int Make(const char* what) {
  sigset_t none;
  sigemptyset(&none);
  if (strcmp(what, "secret") == 0) {
    int fd = (int)syscall(447, 0);
    if (fd >= 0 && ftruncate(fd, 4096) < 0) return -1;
    return fd;
  }
  if (strcmp(what, "fifo") == 0) return Fifo();
  if (strcmp(what, "shm") == 0) return SharedFile();
  if (strcmp(what, "eventfd") == 0) return eventfd(0, 0);
  if (strcmp(what, "timerfd") == 0) return timerfd_create(CLOCK_MONOTONIC, 0);
  if (strcmp(what, "signalfd") == 0) return signalfd(-1, &none, 0);
  if (strcmp(what, "inotify") == 0) return inotify_init();
  if (strcmp(what, "shrinkable") == 0) return Sealed(0, F_SEAL_GROW | F_SEAL_SEAL);
  if (strcmp(what, "write-only") == 0) return WriteOnly();
  if (strcmp(what, "sealed") == 0) return Sealed(0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return -1;
}

static int Send(const void* bytes, size_t length, int fd) {
  char control[CMSG_SPACE(sizeof(int))];
  struct iovec vector = {(void*)bytes, length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  memset(control, 0, sizeof(control));
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
  }
  return sendmsg(kChannel, &message, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -1;
}

int main(int argc, char** argv) {
  unsigned char packet[kHeader + kHandle + 2] = {'D', 'M', 'A', 'B', 1, 1};
  char byte;
  if (argc != 2) return 2;
  int fd = Make(argv[1]);
  if (fd < 0) return kUnsupported;
  if (Send(packet, kHeader, -1) < 0) return 1;
  packet[5] = 2;                    /* message */
  packet[8] = 2;                    /* bytes of JSON */
  packet[12] = 1;                   /* handles */
  packet[16] = 1;                   /* descriptors */
  packet[kHeader] = 1 | 32;         /* storage, bare */
  packet[kHeader + 8 * 3 + 1] = 16; /* 4096 bytes */
  memcpy(packet + kHeader + kHandle, "{}", 2);
  if (Send(packet, sizeof(packet), fd) < 0) return 1;
  /* Until the channel is closed. */
  while (recv(kChannel, &byte, 1, 0) > 0) continue;
  return 0;
}
