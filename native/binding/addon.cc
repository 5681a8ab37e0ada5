#include <napi.h>
#include <unistd.h>

#include "binding/environment.h"
#include "binding/register.h"
#include "shm/layout.h"

namespace {

constexpr int kAbi = 2;

Napi::Object Layout(Napi::Env env) {
  using shm::HolderHeader, shm::HolderSlot, shm::StateHeader, shm::StateRecord;
  Napi::Object layout = Napi::Object::New(env);
  auto add = [&](const char* name, size_t value) { layout.Set(name, Napi::Number::New(env, double(value))); };
  add("stateMagic", shm::kStateMagic);
  add("holderMagic", shm::kHolderMagic);
  add("version", shm::kVersion);
  add("segmentBytes", shm::kSegmentBytes);
  add("stateRecords", shm::kStateRecords);
  add("stateHeaderBytes", sizeof(StateHeader));
  add("stateRecordBytes", sizeof(StateRecord));
  add("stateExporter", offsetof(StateHeader, exporter));
  add("stateDoorDevice", offsetof(StateHeader, door_device));
  add("stateDoorInode", offsetof(StateHeader, door_inode));
  add("recordMoving", offsetof(StateRecord, moving));
  add("recordGeneration", offsetof(StateRecord, generation));
  add("recordFences", offsetof(StateRecord, fences));
  add("recordBroken", offsetof(StateRecord, broken));
  add("recordId", offsetof(StateRecord, id));
  add("recordStorageDevice", offsetof(StateRecord, storage_device));
  add("recordStorageInode", offsetof(StateRecord, storage_inode));
  add("recordFlags", offsetof(StateRecord, flags));
  add("recordWriteSequence", offsetof(StateRecord, write_sequence));
  add("holderHeaderBytes", sizeof(HolderHeader));
  add("holderSlotBytes", sizeof(HolderSlot));
  add("slotCount", offsetof(HolderSlot, count));
  add("slotWriters", offsetof(HolderSlot, writers));
  add("slotWriteSequence", offsetof(HolderSlot, write_sequence));
  add("slotMapped", offsetof(HolderSlot, mapped));
  return layout;
}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  binding::Environment::Create(env);
  exports.Set("abi", Napi::Number::New(env, kAbi));
  exports.Set("pageSize", Napi::Number::New(env, static_cast<double>(sysconf(_SC_PAGESIZE))));
  exports.Set("scratch", Napi::Object(env, binding::Environment::Of(env).scratch.Create(env)));
  exports.Set("layout", Layout(env));
  binding::RegisterCache(env, exports);
  binding::RegisterDescriptors(env, exports);
  binding::RegisterMemory(env, exports);
  binding::RegisterMapping(env);
  binding::RegisterCopy(env, exports);
  binding::RegisterSockets(env, exports);
  binding::RegisterDoor(env, exports);
  binding::RegisterWaiting(env, exports);
  binding::RegisterPoll(env, exports);
  binding::RegisterVmem(env, exports);
  binding::RegisterVmemFacts(env, exports);
  binding::RegisterGuard(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Initialize)
