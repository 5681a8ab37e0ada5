#include "sys/segv.h"

#include <signal.h>

#include <atomic>
#include <cerrno>
#include <mutex>

#include "sys/access_guard.h"
#include "sys/fault.h"
#include "sys/hold.h"
#include "sys/signal_chain.h"
#include "sys/touch.h"

namespace sys {
namespace {

std::mutex mutex;
std::atomic<bool> installed{false};
struct sigaction previous;

bool Settled(const siginfo_t& info, const void* context) {
  auto address = reinterpret_cast<uintptr_t>(info.si_addr);
  if (info.si_code == SEGV_ACCERR && OpenGuarded(address, TouchOf(context))) return true;
  if (info.si_code == SEGV_ACCERR && RepairRetired(address)) return true;
  // Not mapped at all: the kernel failed half-way in an exchange, and the hole is about to be filled.
  bool fault = info.si_code == SEGV_ACCERR || info.si_code == SEGV_MAPERR;
  return fault && WaitForExchange(address);
}

void OnSegmentationFault(int signal, siginfo_t* info, void* context) {
  int saved = errno;
  if (!Settled(*info, context)) ChainSignal(previous, signal, info, context);
  errno = saved;
}

bool Current() {
  struct sigaction now {};
  return sigaction(SIGSEGV, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
         now.sa_sigaction == OnSegmentationFault;
}

}  // namespace

bool InstallSegvHandler() {
  if (installed.load()) return true;
  std::lock_guard lock(mutex);
  if (installed.load()) return true;
  // Read before ours is in place: the handler may run in another thread at once.
  if (sigaction(SIGSEGV, nullptr, &previous) != 0) return false;
  struct sigaction ours {};
  ours.sa_sigaction = OnSegmentationFault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&ours.sa_mask);
  if (sigaction(SIGSEGV, &ours, nullptr) != 0) return false;
  installed.store(true);
  return true;
}

bool SegvReady() {
  return InstallSegvHandler() && Current();
}

}  // namespace sys
