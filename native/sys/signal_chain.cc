#include "sys/signal_chain.h"

namespace sys {
namespace {

void RestoreDefault(int signal, const siginfo_t* info) {
  struct sigaction fallback {};
  fallback.sa_handler = SIG_DFL;
  sigaction(signal, &fallback, nullptr);
  // A real fault happens again when the handler returns; a sent signal does not.
  if (info->si_code <= 0) raise(signal);
}

}  // namespace

void ChainSignal(const struct sigaction& previous, int signal, siginfo_t* info, void* context) {
  bool with_info = (previous.sa_flags & SA_SIGINFO) != 0;
  if (!with_info && previous.sa_handler == SIG_DFL) return RestoreDefault(signal, info);
  if (!with_info && previous.sa_handler == SIG_IGN) {
    // The kernel does not let a real fault be ignored either.
    if (info->si_code > 0) RestoreDefault(signal, info);
    return;
  }
  // The mask its owner asked for; ours is NODEFER with an empty one.
  sigset_t mask = previous.sa_mask, before;
  if ((previous.sa_flags & SA_NODEFER) == 0) sigaddset(&mask, signal);
  sigprocmask(SIG_BLOCK, &mask, &before);
  if (with_info) {
    previous.sa_sigaction(signal, info, context);
  } else {
    previous.sa_handler(signal);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace sys
