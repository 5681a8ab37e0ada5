#pragma once

namespace sys {

/** Installs the process-wide SIGSEGV handler once; later calls do nothing. False when there is none. */
bool InstallSegvHandler();
/**
 * Installs it too, and asks the kernel. False when there is none, or when somebody has replaced it:
 * then no page may be taken away from a thread in the hope that the handler gives it back.
 */
bool SegvReady();

}  // namespace sys
