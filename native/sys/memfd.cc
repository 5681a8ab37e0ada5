#include "sys/memfd.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "sys/errno.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#endif

namespace sys {
namespace {

// 0 when a file of this size may be tried.
int CheckSize(uint64_t byte_length) {
  if (byte_length == 0 || byte_length > INT64_MAX) return -EINVAL;
  // Beyond RLIMIT_FSIZE the kernel sends SIGXFSZ besides the errno, and that kills the process.
  struct rlimit limit {};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && byte_length > limit.rlim_cur) return -EFBIG;
  // A memfd has no file system limit: fallocate would go on until the kernel kills processes for memory.
  struct sysinfo machine {};
  if (sysinfo(&machine) == 0 && byte_length / machine.mem_unit > machine.totalram + machine.totalswap) {
    return -ENOSPC;
  }
  return 0;
}

int CheckRange(uint64_t offset, uint64_t byte_length) {
  if (byte_length == 0 || offset > UINT64_MAX - byte_length) return -EINVAL;
  return CheckSize(offset + byte_length);
}

}  // namespace

int MemfdCreate(const char* name, uint32_t huge_page_shift) {
  uint32_t flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (huge_page_shift != 0) flags |= MFD_HUGETLB | huge_page_shift << 26;
  // NOEXEC_SEAL came with Linux 6.3; an older kernel refuses the whole call.
  int fd = Result(syscall(SYS_memfd_create, name, flags | MFD_NOEXEC_SEAL));
  return fd == -EINVAL ? Result(syscall(SYS_memfd_create, name, flags)) : fd;
}

int Allocate(int fd, uint64_t byte_length) {
  int result = Truncate(fd, byte_length);
  return result < 0 ? result : Reserve(fd, 0, byte_length);
}

int Truncate(int fd, uint64_t byte_length) {
  int result = CheckSize(byte_length);
  return result < 0 ? result : Retry([&] { return ftruncate(fd, static_cast<off_t>(byte_length)); });
}

int Reserve(int fd, uint64_t offset, uint64_t byte_length) {
  int result = CheckRange(offset, byte_length);
  if (result < 0) return result;
  auto first = static_cast<off_t>(offset), length = static_cast<off_t>(byte_length);
  return Retry([&] { return fallocate(fd, 0, first, length); });
}

int WriteAll(int fd, uint64_t offset, const uint8_t* bytes, size_t length) {
  int result = CheckRange(offset, length);
  if (result < 0) return result;
  while (length > 0) {
    ssize_t written = pwrite(fd, bytes, length, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -errno;
    if (written == 0) return -EIO;
    bytes += written;
    offset += static_cast<uint64_t>(written);
    length -= static_cast<size_t>(written);
  }
  return 0;
}

int AddSeals(int fd, uint32_t seals) {
  return Result(fcntl(fd, F_ADD_SEALS, seals));
}

int GetSeals(int fd) {
  return Result(fcntl(fd, F_GET_SEALS));
}

}  // namespace sys
