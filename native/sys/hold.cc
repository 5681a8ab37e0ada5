#include "sys/hold.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>

namespace sys {

struct HoldSlot {
  // They stay when the hold is over: a thread may have faulted in time and get to its handler late.
  std::atomic<uintptr_t> base{0};
  std::atomic<size_t> length{0};
  /** Odd while writers have to wait. */
  std::atomic<uint32_t> turn{0};
  bool used = false;  // under the mutex
};

namespace {

// One for each thread that exchanges pages at this moment; the others remember what was exchanged last.
constexpr size_t kSlots = 128;
HoldSlot slots[kSlots];
size_t next_slot = 0;  // under the mutex

std::mutex mutex;

static_assert(std::atomic<uintptr_t>::is_always_lock_free && sizeof(std::atomic<uint32_t>) == 4,
              "a signal handler must not wait for a lock, and the kernel waits on the word itself");

long Futex(void* word, int operation, uint32_t value, void* second = nullptr, uint32_t third = 0) {
  return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, second, third);
}

// Asks the kernel to add 0 to a word there, which changes nothing and fails where a store would.
bool Writable(uintptr_t address) {
  uint32_t unused = 0;
  constexpr uint32_t kAddNothing = uint32_t{FUTEX_OP_ADD} << 28;
  return Futex(&unused, FUTEX_WAKE_OP, 0, reinterpret_cast<void*>(address & ~uintptr_t{3}), kAddNothing) >= 0;
}

bool Contains(const HoldSlot& slot, uintptr_t address) {
  uintptr_t base = slot.base.load();
  return base != 0 && address >= base && address - base < slot.length.load();
}

/** True: the store may be repeated. */
bool Wait(HoldSlot& slot, uintptr_t address) {
  for (;;) {
    uint32_t turn = slot.turn.load();
    if ((turn & 1) != 0 && Contains(slot, address)) {
      Futex(&slot.turn, FUTEX_WAIT, turn);
      continue;
    }
    if (Writable(address)) return true;
    // Nothing has happened in between: whoever faulted may really not write there.
    if (slot.turn.load() == turn) return false;
  }
}

}  // namespace

bool WaitForExchange(uintptr_t address) {
  for (HoldSlot& slot : slots) {
    if (Contains(slot, address) && Wait(slot, address)) return true;
  }
  return false;
}

HoldSlot* Hold(void* address, size_t length) {
  std::lock_guard lock(mutex);
  for (size_t tried = 0; tried < kSlots; ++tried) {
    // In turn, so that a range is remembered as long as can be.
    HoldSlot& slot = slots[next_slot++ % kSlots];
    if (slot.used) continue;
    slot.used = true;
    slot.base.store(0);
    slot.length.store(length);
    slot.turn.fetch_add(1);
    slot.base.store(reinterpret_cast<uintptr_t>(address));
    return &slot;
  }
  return nullptr;
}

void Release(HoldSlot* slot) {
  slot->turn.fetch_add(1);
  Futex(&slot->turn, FUTEX_WAKE, INT32_MAX);
}

void HoldAgain(HoldSlot* slot) {
  slot->turn.fetch_add(1);
}

void EndHold(HoldSlot* slot) {
  if ((slot->turn.load() & 1) != 0) Release(slot);
  std::lock_guard lock(mutex);
  slot->used = false;
}

}  // namespace sys
