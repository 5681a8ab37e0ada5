#include "binding/words.h"

#include <cerrno>

#include "binding/call.h"
#include "binding/mapping.h"

namespace binding {
namespace {

enum class Operation { kLoad, kStore, kAdd, kOr };

// As Atomics has them. The builtins and not std::atomic_ref, which not every C++20 library has.
template <Operation operation>
uint32_t Perform(uint32_t* word, uint32_t value) {
  if constexpr (operation == Operation::kAdd) return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);
  if constexpr (operation == Operation::kOr) return __atomic_fetch_or(word, value, __ATOMIC_SEQ_CST);
  if constexpr (operation == Operation::kLoad) return __atomic_load_n(word, __ATOMIC_SEQ_CST);
  __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
  return 0;
}

template <Operation operation>
napi_value OnWord(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Mapping* self = Mapping::Of(env, call.self());
  if (self == nullptr) return call.TypeError("Illegal invocation");
  uint32_t index = call.Uint(0);
  uint32_t value = operation == Operation::kLoad ? 0 : call.Uint(1);
  if (!call.ok()) return call.Failure();
  int error = 0;
  uint32_t* word = WordOf(*self, index, &error);
  if (word == nullptr) return call.Number(error);
  bool writes = operation != Operation::kLoad;
  if (writes && self->region()->kind() == sys::MapKind::kSharedReadOnly) return call.Number(-EACCES);
  return call.Number(Perform<operation>(word, value));
}

}  // namespace

uint32_t* WordOf(const Mapping& mapping, uint32_t index, int* error) {
  const sys::Region* region = mapping.region();
  *error = -EBADF;
  if (region == nullptr) return nullptr;
  *error = -EINVAL;
  auto address = reinterpret_cast<uintptr_t>(region->bytes());
  if (index >= mapping.byte_length() / sizeof(uint32_t) || address % alignof(uint32_t) != 0) return nullptr;
  return reinterpret_cast<uint32_t*>(region->bytes()) + index;
}

napi_value MappingLoadWord(napi_env env, napi_callback_info info) {
  return OnWord<Operation::kLoad>(env, info);
}

napi_value MappingStoreWord(napi_env env, napi_callback_info info) {
  return OnWord<Operation::kStore>(env, info);
}

napi_value MappingAddWord(napi_env env, napi_callback_info info) {
  return OnWord<Operation::kAdd>(env, info);
}

napi_value MappingOrWord(napi_env env, napi_callback_info info) {
  return OnWord<Operation::kOr>(env, info);
}

}  // namespace binding
