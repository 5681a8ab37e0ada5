#include "sys/quarantine.h"

#include <sys/mman.h>

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

Waiting QuarantineState() {
  std::lock_guard lock(mutex);
  return {bytes, ranges == nullptr ? 0 : ranges->size()};
}

}  // namespace sys
