#pragma once

#include <cstdint>

namespace sys {

/** A sealable memfd; `huge_page_shift` 0 means ordinary pages, 21 means 2 MiB. */
int MemfdCreate(const char* name, uint32_t huge_page_shift);
/** Sets the size and reserves every byte, so that lack of memory is an errno now and no SIGBUS later. */
int Allocate(int fd, uint64_t byte_length);
int AddSeals(int fd, uint32_t seals);
int GetSeals(int fd);

}  // namespace sys
