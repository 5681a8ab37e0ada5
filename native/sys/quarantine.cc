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

struct Quarantine {
  std::mutex mutex;
  std::deque<Range> ranges;
  size_t bytes = 0;
};

// Never destroyed: at process exit a worker thread may still retire a range.
Quarantine& Instance() {
  static auto* instance = new Quarantine;
  return *instance;
}

}  // namespace

void Retire(void* address, size_t length) {
  Quarantine& quarantine = Instance();
  std::lock_guard lock(quarantine.mutex);
  quarantine.ranges.push_back({address, length});
  quarantine.bytes += length;
  // The newest range always stays, or one mapping beyond the limit would have no quarantine at all.
  while (quarantine.ranges.size() > 1 &&
         (quarantine.bytes > kQuarantineBytes || quarantine.ranges.size() > kQuarantineRanges)) {
    Range oldest = quarantine.ranges.front();
    quarantine.ranges.pop_front();
    quarantine.bytes -= oldest.length;
    munmap(oldest.address, oldest.length);
  }
}

Waiting QuarantineState() {
  Quarantine& quarantine = Instance();
  std::lock_guard lock(quarantine.mutex);
  return {quarantine.bytes, quarantine.ranges.size()};
}

}  // namespace sys
