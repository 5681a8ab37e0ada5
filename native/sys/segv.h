#pragma once

namespace sys {

/**
 * Installs the process-wide SIGSEGV handler once. False when there is none, or when somebody has replaced it:
 * then no page may be taken away from a thread in the hope that the handler gives it back.
 */
bool SegvReady();

}  // namespace sys
