#include "sys/quarantine.h"

#include <sys/mman.h>

#include <cstdint>
#include <deque>
#include <mutex>

namespace sys {
namespace {

struct Range {
  void* address;
  size_t length;
};

std::mutex mutex;
// Never destroyed: at process exit a worker thread may still retire a range.
constinit std::deque<Range>* ranges = nullptr;
constinit size_t bytes = 0;

}  // namespace

void Retire(void* address, size_t length) {
  std::lock_guard lock(mutex);
  if (ranges == nullptr) ranges = new std::deque<Range>;
  ranges->push_back({address, length});
  bytes += length;
  // The newest range always stays, or one mapping beyond the limit would have no quarantine at all.
  while (ranges->size() > 1 && (bytes > kQuarantineBytes || ranges->size() > kQuarantineRanges)) {
    Range oldest = ranges->front();
    ranges->pop_front();
    bytes -= oldest.length;
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
  return oldest.address;
}

Waiting QuarantineState() {
  std::lock_guard lock(mutex);
  return {bytes, ranges == nullptr ? 0 : ranges->size()};
}

}  // namespace sys
