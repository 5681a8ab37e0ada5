#pragma once

#include <cstddef>
#include <cstdint>

namespace sys {

/**
 * Writers that wait. While pages are exchanged under a range, the range is read-only, and a thread that
 * stores into it faults. The SIGSEGV handler lets that thread wait until the exchange is done and then repeat
 * its store, which goes to the new page: nothing is lost. What it does with a range is decided by the state
 * of the range alone, so that other users of the signal can have tables of their own beside this one.
 */
struct HoldSlot;

/** From now on whoever faults in the range waits. The caller then takes the right to write. Null: too many at
 * once. */
HoldSlot* Hold(void* address, size_t length);
/** Lets them go on for a moment, between two parts of the range. Writable again before this is called. */
void Release(HoldSlot* slot);
void HoldAgain(HoldSlot* slot);
/** Released for good. */
void EndHold(HoldSlot* slot);

/** For the signal handler: whether the store may be repeated, after waiting for an exchange that is under
 * way. */
bool WaitForExchange(uintptr_t address);

}  // namespace sys
