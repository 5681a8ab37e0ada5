#pragma once

#include <cstddef>
#include <cstdint>

namespace sys {

/**
 * Replaces private pages by those of a file, and the other way round, under the same addresses and with the
 * same contents. Part by part, so that a writer waits only as long as one part takes. Contents pass through
 * `window`, where the same range of the file is mapped too.
 */
constexpr size_t kExchangePart = size_t{1} << 20;

/** `done` says how many bytes are exchanged, also after a failure. */
int ShareRange(uint8_t* address, size_t length, int fd, uint64_t offset, uint8_t* window, size_t* done);
int PrivatizeRange(uint8_t* address, size_t length, const uint8_t* window, size_t* done);

}  // namespace sys
