#pragma once

#include <cstdint>

namespace sys {

enum class Touch : uint32_t { kUnknown = 0, kRead = 1, kWrite = 2 };

/** What the instruction that faulted wanted, from the context that the kernel gave the signal handler. */
Touch TouchOf(const void* context);

}  // namespace sys
