#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

/**
 * The pages that processes share besides the storage itself. Layout is protocol: every offset is fixed by an
 * assertion, and every word is read once, into a local.
 */
namespace shm {

constexpr uint32_t kStateMagic = 0x53424d44;   // 'DMBS'
constexpr uint32_t kHolderMagic = 0x48424d44;  // 'DMBH'
constexpr uint16_t kVersion = 1;
constexpr size_t kSegmentBytes = 65536;
constexpr uint32_t kStateRecords = 1023;

struct StateHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t record_size;
  uint32_t records;
  uint32_t reserved;
  uint8_t exporter[16];
  uint64_t door_device;
  uint64_t door_inode;
  uint8_t padding[16];
};

/** One buffer of the exporter. The exporter alone writes. */
struct StateRecord {
  uint32_t moving;
  uint32_t generation;
  uint32_t fences;
  uint32_t broken;
  uint64_t id;
  uint64_t storage_device;
  uint64_t storage_inode;
  uint32_t flags;
  uint32_t write_sequence;
  uint8_t padding[16];
};

struct HolderHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t slot_size;
  uint32_t slots;
  uint32_t reserved;
};

/** One holder's brackets on one buffer. The holder alone writes. */
struct HolderSlot {
  uint32_t count;
  uint32_t writers;
  uint32_t write_sequence;
  uint32_t mapped;
};

static_assert(sizeof(StateHeader) == 64);
static_assert(offsetof(StateHeader, version) == 4 && offsetof(StateHeader, record_size) == 6);
static_assert(offsetof(StateHeader, records) == 8 && offsetof(StateHeader, exporter) == 16);
static_assert(offsetof(StateHeader, door_device) == 32 && offsetof(StateHeader, door_inode) == 40);

static_assert(sizeof(StateRecord) == 64);
static_assert(offsetof(StateRecord, generation) == 4 && offsetof(StateRecord, fences) == 8);
static_assert(offsetof(StateRecord, broken) == 12 && offsetof(StateRecord, id) == 16);
static_assert(offsetof(StateRecord, storage_device) == 24 && offsetof(StateRecord, storage_inode) == 32);
static_assert(offsetof(StateRecord, flags) == 40 && offsetof(StateRecord, write_sequence) == 44);
static_assert(sizeof(StateHeader) + kStateRecords * sizeof(StateRecord) == kSegmentBytes);

static_assert(sizeof(HolderHeader) == 16 && sizeof(HolderSlot) == 16);
static_assert(offsetof(HolderHeader, version) == 4 && offsetof(HolderHeader, slot_size) == 6);
static_assert(offsetof(HolderHeader, slots) == 8);
static_assert(offsetof(HolderSlot, writers) == 4 && offsetof(HolderSlot, write_sequence) == 8);
static_assert(offsetof(HolderSlot, mapped) == 12);

static_assert(std::atomic<uint32_t>::is_always_lock_free, "words are shared with other processes");

}  // namespace shm
