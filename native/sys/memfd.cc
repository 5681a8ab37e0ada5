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

int MemfdCreate(const char* name, uint32_t huge_page_shift) {
  uint32_t flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (huge_page_shift != 0) flags |= MFD_HUGETLB | huge_page_shift << 26;
  // NOEXEC_SEAL came with Linux 6.3; an older kernel refuses the whole call.
  int fd = Result(syscall(SYS_memfd_create, name, flags | MFD_NOEXEC_SEAL));
  return fd == -EINVAL ? Result(syscall(SYS_memfd_create, name, flags)) : fd;
}

int Allocate(int fd, uint64_t byte_length) {
  if (byte_length == 0) return -EINVAL;
  // Beyond RLIMIT_FSIZE the kernel sends SIGXFSZ besides the errno, and that kills the process.
  struct rlimit limit {};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && byte_length > limit.rlim_cur) return -EFBIG;
  // A memfd has no file system limit: fallocate would go on until the kernel kills processes for memory.
  struct sysinfo machine {};
  if (sysinfo(&machine) == 0 && byte_length / machine.mem_unit > machine.totalram + machine.totalswap) {
    return -ENOSPC;
  }
  auto size = static_cast<off_t>(byte_length);
  int result = Retry([&] { return ftruncate(fd, size); });
  return result < 0 ? result : Retry([&] { return fallocate(fd, 0, 0, size); });
}

int AddSeals(int fd, uint32_t seals) {
  return Result(fcntl(fd, F_ADD_SEALS, seals));
}

int GetSeals(int fd) {
  return Result(fcntl(fd, F_GET_SEALS));
}

}  // namespace sys
