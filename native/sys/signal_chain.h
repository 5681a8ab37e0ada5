#pragma once

#include <signal.h>

namespace sys {

/** Passes a fault that is not ours on to whoever handled the signal before, as the kernel would have called
 * it. */
void ChainSignal(const struct sigaction& previous, int signal, siginfo_t* info, void* context);

}  // namespace sys
