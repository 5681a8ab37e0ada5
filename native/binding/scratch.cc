#include "binding/scratch.h"

#include "sys/epoll.h"

namespace binding {
namespace {

// From V8's own allocator and not external memory: some runtimes forbid that.
template <typename T>
T* Add(napi_env env, napi_value object, const char* name, napi_typedarray_type type, size_t length) {
  void* data = nullptr;
  napi_value buffer = nullptr, array = nullptr;
  napi_ref reference = nullptr;
  if (napi_create_arraybuffer(env, length * sizeof(T), &data, &buffer) != napi_ok) return nullptr;
  napi_create_reference(env, buffer, 1, &reference);
  napi_create_typedarray(env, type, length, buffer, 0, &array);
  napi_set_named_property(env, object, name, array);
  return static_cast<T*>(data);
}

}  // namespace

napi_value Scratch::Create(napi_env env) {
  napi_value object = nullptr;
  napi_create_object(env, &object);
  tx = Add<uint8_t>(env, object, "tx", napi_uint8_array, kPacketBytes);
  rx = Add<uint8_t>(env, object, "rx", napi_uint8_array, kPacketBytes);
  outgoing = Add<int32_t>(env, object, "outgoing", napi_int32_array, sys::kMaxDescriptors);
  incoming = Add<int32_t>(env, object, "incoming", napi_int32_array, sys::kIncomingCapacity);
  descriptors = Add<int32_t>(env, object, "descriptors", napi_int32_array, 2);
  meta = Add<int32_t>(env, object, "meta", napi_int32_array, kMeta);
  facts = Add<uint32_t>(env, object, "facts", napi_uint32_array, kFacts);
  tokens = Add<uint32_t>(env, object, "tokens", napi_uint32_array, sys::kEpollBatch);
  return object;
}

void Scratch::Put(const sys::Facts& found) {
  auto low = [](uint64_t value) { return static_cast<uint32_t>(value); };
  auto high = [](uint64_t value) { return static_cast<uint32_t>(value >> 32); };
  const uint32_t words[kFacts] = {found.seals,      found.file_system, found.mode,        found.links,
                                  low(found.size),  high(found.size),  low(found.device), high(found.device),
                                  low(found.inode), high(found.inode), found.status_flags};
  for (size_t i = 0; i < kFacts; ++i) facts[i] = words[i];
}

void Scratch::Put(const sys::Credentials& credentials) {
  meta[3] = credentials.pid;
  meta[4] = credentials.uid;
  meta[5] = credentials.gid;
}

}  // namespace binding
