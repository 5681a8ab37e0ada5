#include "sys/touch.h"

#include <signal.h>
#include <ucontext.h>

#include <cstring>

namespace sys {

#if defined(__x86_64__)

Touch TouchOf(const void* context) {
  // Bit 1 of the page fault's error code (Intel SDM volume 3, 4.7).
  constexpr long long kWrite = 2;
  const auto* machine = static_cast<const ucontext_t*>(context);
  return (machine->uc_mcontext.gregs[REG_ERR] & kWrite) != 0 ? Touch::kWrite : Touch::kRead;
}

#elif defined(__aarch64__)

Touch TouchOf(const void* context) {
  // struct _aarch64_ctx and esr_context of the kernel's asm/sigcontext.h: records behind one another.
  constexpr uint32_t kEsrMagic = 0x45535201;
  struct Record {
    uint32_t magic;
    uint32_t size;
  } record;
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
  // Bytes in glibc, long doubles in musl.
  const auto* bytes = reinterpret_cast<const unsigned char*>(&machine.__reserved);
  size_t left = sizeof(machine.__reserved);
  while (left >= sizeof(record)) {
    memcpy(&record, bytes, sizeof(record));
    if (record.magic == 0 || record.size < sizeof(record) || record.size > left) break;
    if (record.magic == kEsrMagic && record.size >= sizeof(record) + sizeof(uint64_t)) {
      uint64_t syndrome = 0;
      memcpy(&syndrome, bytes + sizeof(record), sizeof(syndrome));
      // Data aborts only; WnR is bit 6 (Arm ARM, ESR_EL1).
      uint64_t exception_class = syndrome >> 26 & 0x3f;
      if (exception_class != 0x24 && exception_class != 0x25) return Touch::kUnknown;
      return (syndrome >> 6 & 1) != 0 ? Touch::kWrite : Touch::kRead;
    }
    bytes += record.size;
    left -= record.size;
  }
  return Touch::kUnknown;
}

#else

Touch TouchOf(const void*) {
  return Touch::kUnknown;
}

#endif

}  // namespace sys
