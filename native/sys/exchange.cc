#include "sys/exchange.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "sys/hold.h"
#include "sys/segv.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

namespace sys {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

/**
 * For a kernel that ran out of memory after it had taken the old pages away: whoever touches the hole would
 * die. True when there was one; private pages with the contents are there now.
 */
bool FillHole(uint8_t* address, size_t length, const uint8_t* contents) {
  constexpr int kIfFree = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  void* filled = mmap(address, length, kReadWrite, kIfFree, -1, 0);
  if (filled == MAP_FAILED) return false;
  if (filled != address) {
    // A kernel before 4.17 takes the address for a wish.
    munmap(filled, length);
    return false;
  }
  memcpy(address, contents, length);
  return true;
}

}  // namespace

int ShareRange(uint8_t* address, size_t length, int fd, uint64_t offset, uint8_t* window, size_t* done) {
  *done = 0;
  if (!SegvReady()) return -EDEADLK;
  HoldSlot* slot = Hold(address, length);
  if (slot == nullptr) return -EAGAIN;
  int result = 0;
  // No lock and no allocation in here: who waits may be inside malloc.
  for (size_t at = 0; at < length && result == 0; at += kExchangePart) {
    size_t part = std::min(kExchangePart, length - at);
    if (at > 0) HoldAgain(slot);
    if (mprotect(address + at, part, PROT_READ) != 0) {
      result = -errno;
    } else {
      // What was stored before is in the copy, what is stored later waits.
      memcpy(window + at, address + at, part);
      void* mapped =
          mmap(address + at, part, kReadWrite, MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(offset + at));
      if (mapped == MAP_FAILED) {
        result = -errno;
        FillHole(address + at, part, window + at);
        mprotect(address + at, part, kReadWrite);
      } else {
        *done = at + part;
      }
    }
    Release(slot);
  }
  EndHold(slot);
  return result;
}

int PrivatizeRange(uint8_t* address, size_t length, const uint8_t* window, size_t* done) {
  *done = 0;
  // Without the handler a writer would die of the fault. Better that it may lose a store.
  HoldSlot* slot = SegvReady() ? Hold(address, length) : nullptr;
  if (slot != nullptr) Release(slot);
  int result = 0;
  for (size_t at = 0; at < length && result == 0; at += kExchangePart) {
    size_t part = std::min(kExchangePart, length - at);
    void* fresh = mmap(nullptr, part, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED) {
      result = -errno;
      break;
    }
    // Best effort: pages that are there already shorten the time in which writers wait.
    madvise(fresh, part, MADV_POPULATE_WRITE);
    if (slot != nullptr) {
      HoldAgain(slot);
      mprotect(address + at, part, PROT_READ);
    }
    memcpy(fresh, window + at, part);
    if (mremap(fresh, part, part, MREMAP_MAYMOVE | MREMAP_FIXED, address + at) == MAP_FAILED) {
      int error = -errno;
      if (!FillHole(address + at, part, window + at)) result = error;
      if (slot != nullptr) mprotect(address + at, part, kReadWrite);
      munmap(fresh, part);
    }
    if (result == 0) *done = at + part;
    if (slot != nullptr) Release(slot);
  }
  if (slot != nullptr) EndHold(slot);
  return result;
}

}  // namespace sys
