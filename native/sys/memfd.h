#pragma once

#include <cstddef>
#include <cstdint>

namespace sys {

/** A sealable memfd; `huge_page_shift` 0 means ordinary pages, 21 means 2 MiB. */
int MemfdCreate(const char* name, uint32_t huge_page_shift);
/** Sets the size alone: what is added is a hole, whose pages come with the first store. */
int Truncate(int fd, uint64_t byte_length);
/** Reserves every byte of a range, holes and a part beyond the end included. */
int Reserve(int fd, uint64_t offset, uint64_t byte_length);
/** Sets the size and reserves every byte, so that lack of memory is an errno now and no SIGBUS later. */
int Allocate(int fd, uint64_t byte_length);
/** Writes all of it into a file, or fails after a part. */
int WriteAll(int fd, uint64_t offset, const uint8_t* bytes, size_t length);
int AddSeals(int fd, uint32_t seals);
int GetSeals(int fd);

}  // namespace sys
