#pragma once

#include <cstddef>
#include <cstdint>

namespace sys {

/** One range that a signal handler may repair. */
struct FaultSlot;

/** Installs the process-wide SIGBUS handler once; later calls do nothing. */
void InstallFaultHandler();
bool FaultHandlerInstalled();
/** Asks the kernel: somebody may have replaced ours. */
bool FaultHandlerCurrent();

/** Null when the table is full. `granularity` is the size of the pages that can be replaced. */
FaultSlot* WatchRange(void* address, size_t length, size_t granularity, int protection);
/**
 * For addresses that are about to be made inaccessible, while native code may still work on what was there:
 * zero pages come for whoever touches them. Null when the table is full.
 */
FaultSlot* WatchRetired(void* address, size_t length);
/** For the SIGSEGV handler. False when the address is in no range of these. */
bool RepairRetired(uintptr_t address);
/** Returns when no handler works on the range any more. */
void UnwatchRange(FaultSlot* slot);
/**
 * Around putting other pages at the addresses: in between nothing is repaired, and a thread that faults tries
 * again until it is over. `replaced`: the pages are others now, and none of them was repaired yet.
 */
void SuspendRepair(FaultSlot* slot);
void ResumeRepair(FaultSlot* slot, bool replaced);
/** For pages moved here from a range that was repaired already. */
void MarkFaulted(FaultSlot* slot, size_t intact);
bool Faulted(const FaultSlot* slot);
/** The length of the head that still shows the file; behind it are zero pages. */
size_t IntactLength(const FaultSlot* slot);

}  // namespace sys
