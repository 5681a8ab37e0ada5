#include "sys/quarantine.h"

#include <sys/mman.h>

#include <cstdint>
#include <deque>
#include <mutex>

#include "sys/fault.h"
#include "sys/segv.h"

namespace sys {
namespace {

struct Range {
  void* address;
  size_t length;
  FaultSlot* slot;  // null: the table was full
};

std::mutex mutex;
// Never destroyed: at process exit a worker thread may still retire a range.
constinit std::deque<Range>* ranges = nullptr;
constinit size_t bytes = 0;

void MakeInaccessible(void* address, size_t length) {
  constexpr int kReserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (mmap(address, length, PROT_NONE, kReserved, -1, 0) != MAP_FAILED) return;
  // Too many mappings: an inaccessible range needs no new one when the whole is one mapping.
  if (mprotect(address, length, PROT_NONE) != 0) munmap(address, length);
}

void Forget(const Range& range) {
  if (range.slot != nullptr) UnwatchRange(range.slot);
}

}  // namespace

void Retire(void* address, size_t length) {
  // Before the pages go: a thread that is at work on them must not come too early.
  FaultSlot* slot = InstallSegvHandler() ? WatchRetired(address, length) : nullptr;
  MakeInaccessible(address, length);
  std::lock_guard lock(mutex);
  if (ranges == nullptr) ranges = new std::deque<Range>;
  ranges->push_back({address, length, slot});
  bytes += length;
  // The newest range always stays, or one mapping beyond the limit would have no quarantine at all.
  while (ranges->size() > 1 && (bytes > kQuarantineBytes || ranges->size() > kQuarantineRanges)) {
    Range oldest = ranges->front();
    ranges->pop_front();
    bytes -= oldest.length;
    Forget(oldest);
    munmap(oldest.address, oldest.length);
  }
}

void* TakeRetired(size_t length, size_t alignment) {
  std::lock_guard lock(mutex);
  if (ranges == nullptr || ranges->empty()) return nullptr;
  bool waited = bytes + length > kQuarantineBytes || ranges->size() >= kQuarantineRanges;
  Range oldest = ranges->front();
  if (!waited || oldest.length != length) return nullptr;
  if (reinterpret_cast<uintptr_t>(oldest.address) % alignment != 0) return nullptr;
  ranges->pop_front();
  bytes -= oldest.length;
  Forget(oldest);
  return oldest.address;
}

Waiting QuarantineState() {
  std::lock_guard lock(mutex);
  return {bytes, ranges == nullptr ? 0 : ranges->size()};
}

}  // namespace sys
