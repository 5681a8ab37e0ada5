#pragma once

#include <cstddef>
#include <cstdint>

namespace sys {

/**
 * What a line of 16 to 4096 bytes holds, in 64 bits; 0 for zeros. Two lines that differ have the same
 * signature with a chance of about 2^-64. NH of UMAC (Black, Halevi, Krawczyk, Krovetz and Rogaway 1999; RFC
 * 4418) over 32-bit words, with two sets of keys; src/memory/cache/signature.ts has the same and
 * docs/protocol.md says it in words. It never changes: processes share what is stored.
 */
uint64_t LineSignature(const uint8_t* line, size_t size);

/**
 * The first line of [first, last) that has another signature than is stored for it, or `last`. Others may
 * store into the lines meanwhile.
 */
size_t FirstChanged(const uint8_t* lines, const uint64_t* stored, size_t size, size_t first, size_t last);

/** How far in front of its reader a stream of lines is fetched: the processor's own prefetch ends with a
 * page. */
constexpr size_t kFetchAhead = 8192;

}  // namespace sys
