#pragma once

#include <cstddef>
#include <cstdint>

#include "sys/touch.h"
#include "sys/violation_ring.h"

namespace sys {

/** One range whose pages are taken away while nobody may touch them. */
struct GuardSlot;

struct GuardedRange {
  void* address;
  size_t length;
  /** What a violation opens it to: all the rights that its mapping has. */
  int protection;
  /** The byte that violations count from. */
  const void* origin;
  uint64_t token;
  /** Stays until `UnguardRange` has returned. */
  ViolationRing* ring;
};

/** Null when the table is full. The rights of the pages are the caller's business. */
GuardSlot* GuardRange(const GuardedRange& range);
/** Returns when no handler works on the range any more. */
void UnguardRange(GuardSlot* slot);

/**
 * For the signal handler: a touch in a guarded range is put into its ring, the whole range is opened, and the
 * instruction may be repeated. False when the address is in none.
 */
bool OpenGuarded(uintptr_t address, Touch touch);

}  // namespace sys
