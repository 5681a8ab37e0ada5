#include "sys/fd.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "sys/errno.h"

// musl before 1.2.5 leaves statx to the kernel's header; with a later one the two would collide.
#ifndef STATX_BASIC_STATS
#include <linux/stat.h>
#endif

#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif

namespace sys {
namespace {

constexpr int kEmptyPath = 0x1000;
constexpr int kDontSync = 0x4000;

struct ProcPath {
  explicit ProcPath(int fd) { std::snprintf(text, sizeof(text), "/proc/self/fd/%d", fd); }
  char text[32];
};

// The raw call: glibc's fstat became a symbol of its own only in 2.33, statx in 2.28.
int Stat(int fd, int flags, Facts* facts) {
  struct statx stat {};
  int result =
      Retry([&] { return syscall(SYS_statx, fd, "", kEmptyPath | flags, STATX_BASIC_STATS, &stat); });
  if (result < 0) return result;
  facts->mode = stat.stx_mode;
  facts->links = stat.stx_nlink;
  facts->size = stat.stx_size;
  facts->device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
  facts->inode = stat.stx_ino;
  return 0;
}

}  // namespace

int Close(int fd) {
  return fd < 0 ? -EBADF : Result(::close(fd));
}

int Duplicate(int fd) {
  return Result(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

int SetCloseOnExec(int fd, bool on) {
  int flags = fcntl(fd, F_GETFD);
  if (flags < 0) return -errno;
  return Result(fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC));
}

int Reopen(int fd, int flags) {
  // Else a closed descriptor would look like a missing /proc.
  if (fcntl(fd, F_GETFD) < 0) return -errno;
  return Open(ProcPath(fd).text, flags & ~O_CREAT, 0);
}

int Open(const char* path, int flags, uint32_t mode) {
  return Retry([&] { return ::open(path, flags | O_CLOEXEC, mode); });
}

int Inspect(int fd, StatAnyway anyway, Facts* facts) {
  *facts = Facts{};
  if (fd < 0) return -EBADF;
  int seals = fcntl(fd, F_GET_SEALS);
  int status = fcntl(fd, F_GETFL);
  if (status < 0) return -EBADF;
  facts->status_flags = static_cast<uint32_t>(status);
  if (seals >= 0) facts->seals = static_cast<uint32_t>(seals);
  if (seals < 0 && anyway == StatAnyway::kNo) return 0;
  struct statfs system {};
  if (Retry([&] { return fstatfs(fd, &system); }) == 0) {
    facts->file_system = static_cast<uint32_t>(system.f_type);
  }
  Stat(fd, 0, facts);
  return 0;
}

int InspectDoor(int fd, Facts* facts) {
  *facts = Facts{};
  if (fd < 0) return -EBADF;
  int status = fcntl(fd, F_GETFL);
  if (status < 0) return -EBADF;
  if ((status & O_PATH) == 0) return -ENOTSOCK;
  facts->status_flags = static_cast<uint32_t>(status);
  int result = Stat(fd, kDontSync, facts);
  if (result < 0) return result;
  return S_ISSOCK(facts->mode) ? 0 : -ENOTSOCK;
}

int PipeAccess(int fd) {
  // Only a pipe has a size, and it is the kernel itself that answers.
  if (fcntl(fd, F_GETPIPE_SZ) < 0) return -EBADF;
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -errno : flags & O_ACCMODE;
}

int LinkTarget(int fd, std::string* target) {
  if (fd < 0) return -EBADF;
  char buffer[4096];
  ssize_t length = readlink(ProcPath(fd).text, buffer, sizeof(buffer));
  if (length < 0) return errno == ENOENT ? -EBADF : -errno;
  target->assign(buffer, static_cast<size_t>(length));
  return 0;
}

int SameFile(int a, int b) {
  if (a < 0 || b < 0) return -EBADF;
  Facts first, second;
  // A FIFO passes for a pipe, and may be a file of a hostile server: what the kernel knows is enough, as
  // device and inode never change.
  int result = Stat(a, kDontSync, &first);
  if (result == 0) result = Stat(b, kDontSync, &second);
  if (result < 0) return result;
  return first.device == second.device && first.inode == second.inode;
}

int Lock(int fd) {
  return Retry([&] { return flock(fd, LOCK_EX | LOCK_NB); });
}

int PollFor(int fd, short events, int milliseconds) {
  if (fd < 0) return -EBADF;
  struct pollfd entry {
    fd, events, 0
  };
  // A signal may cut the waiting short: whoever waits in slices does not mind, and nobody waits longer than
  // asked.
  int result = ::poll(&entry, 1, milliseconds);
  if (result < 0) result = errno == EINTR ? 0 : -errno;
  if (result < 0) return result;
  return entry.revents & POLLNVAL ? -EBADF : entry.revents;
}

int DmaBufSync(int fd, uint64_t flags) {
  struct dma_buf_sync sync {
    flags
  };
  return Retry([&] { return ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync); });
}

// Kernel headers before 6.0 lack these two.
struct SyncFileOfDmaBuf {
  uint32_t flags;
  int32_t fd;
};

int DmaBufExportSyncFile(int fd, uint32_t flags) {
  SyncFileOfDmaBuf argument{flags, -1};
  int result = Retry([&] { return ioctl(fd, _IOWR(DMA_BUF_BASE, 2, SyncFileOfDmaBuf), &argument); });
  return result < 0 ? result : argument.fd;
}

int DmaBufImportSyncFile(int fd, uint32_t flags, int sync_file) {
  SyncFileOfDmaBuf argument{flags, sync_file};
  return Retry([&] { return ioctl(fd, _IOW(DMA_BUF_BASE, 3, SyncFileOfDmaBuf), &argument); });
}

int SyncFileInfo(int fd, uint8_t* bytes, uint32_t room) {
  struct sync_file_info info {};
  info.num_fences = room;
  info.sync_fence_info = reinterpret_cast<uintptr_t>(bytes + sizeof info);
  int result = Retry([&] { return ioctl(fd, SYNC_IOC_FILE_INFO, &info); });
  if (result < 0) return result;
  memcpy(bytes, &info, sizeof info);
  return static_cast<int>(info.num_fences);
}

// Kernel headers before 6.4 lack it.
struct DeadlineOfSyncFile {
  uint64_t nanoseconds;
  uint64_t zero;
};

int SyncFileSetDeadline(int fd, uint64_t microseconds) {
  DeadlineOfSyncFile argument{microseconds * 1000, 0};
  return Retry([&] { return ioctl(fd, _IOW(SYNC_IOC_MAGIC, 5, DeadlineOfSyncFile), &argument); });
}

}  // namespace sys
