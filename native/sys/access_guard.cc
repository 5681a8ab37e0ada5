#include "sys/access_guard.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <mutex>

namespace sys {

struct GuardSlot {
  // They stay when the guard is over: a thread may have faulted in time and get to its handler late.
  std::atomic<uintptr_t> base{0};
  std::atomic<size_t> length{0};
  std::atomic<bool> live{false};
  std::atomic<int> handlers{0};
  std::atomic<int> late{0};
  // Written before `live`, read behind it.
  int protection = 0;
  uintptr_t origin = 0;
  uint64_t token = 0;
  ViolationRing* ring = nullptr;
};

namespace {

// As many as mappings can be watched for SIGBUS. Untouched slots cost address space only.
constexpr size_t kSlots = 65536;
// A thread that comes late needs one more try. More of them mean that the address is not ours any more.
constexpr int kLateTries = 64;
GuardSlot slots[kSlots];
std::atomic<size_t> used_slots{0};

// For those who register; the handler takes no lock.
std::mutex mutex;
// First in, first out, so that a range is remembered as long as can be. Never destroyed: at process exit a
// worker thread may still give a slot back.
constinit std::deque<GuardSlot*>* free_slots = nullptr;

uint64_t Now() {
  struct timespec now {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

bool Contains(const GuardSlot& slot, uintptr_t address) {
  uintptr_t base = slot.base.load();
  return base != 0 && address >= base && address - base < slot.length.load();
}

bool Open(GuardSlot& slot, uintptr_t address, Touch touch) {
  // First: one that is live while its handlers are counted stays what it is.
  bool live = slot.live.load();
  if (!Contains(slot, address)) return false;
  if (!live) return slot.late.fetch_add(1) < kLateTries;
  auto* base = reinterpret_cast<void*>(slot.base.load());
  if (mprotect(base, slot.length.load(), slot.protection) != 0) return false;
  auto thread = static_cast<int32_t>(syscall(SYS_gettid));
  slot.ring->Put({slot.token, static_cast<int64_t>(address - slot.origin), touch, thread, Now()});
  return true;
}

}  // namespace

bool OpenGuarded(uintptr_t address, Touch touch) {
  size_t used = used_slots.load();
  GuardSlot* late = nullptr;
  for (size_t i = 0; i < used; ++i) {
    GuardSlot& slot = slots[i];
    if (!Contains(slot, address)) continue;
    // One that remembers the range of before: another may have it now.
    if (!slot.live.load()) {
      late = &slot;
      continue;
    }
    // Announce first, look again afterwards: UnguardRange waits for whoever got in before.
    slot.handlers.fetch_add(1);
    bool opened = Open(slot, address, touch);
    slot.handlers.fetch_sub(1);
    if (opened) return true;
  }
  return late != nullptr && Open(*late, address, touch);
}

GuardSlot* GuardRange(const GuardedRange& range) {
  std::lock_guard lock(mutex);
  GuardSlot* slot = nullptr;
  if (size_t next = used_slots.load();
      free_slots != nullptr && (free_slots->size() >= 64 || next == kSlots)) {
    if (free_slots->empty()) return nullptr;
    slot = free_slots->front();
    free_slots->pop_front();
  } else if (next < kSlots) {
    slot = &slots[next];
    used_slots.store(next + 1);
  } else {
    return nullptr;
  }
  slot->base.store(0);
  slot->length.store(range.length);
  slot->late.store(0);
  slot->protection = range.protection;
  slot->origin = reinterpret_cast<uintptr_t>(range.origin);
  slot->token = range.token;
  slot->ring = range.ring;
  slot->live.store(true);
  slot->base.store(reinterpret_cast<uintptr_t>(range.address));
  return slot;
}

void UnguardRange(GuardSlot* slot) {
  slot->live.store(false);
  while (slot->handlers.load() != 0) sched_yield();
  std::lock_guard lock(mutex);
  if (free_slots == nullptr) free_slots = new std::deque<GuardSlot*>;
  free_slots->push_back(slot);
}

}  // namespace sys
