#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "binding/call.h"
#include "binding/mapping.h"
#include "binding/register.h"
#include "binding/words.h"
#include "sys/memfd.h"

namespace binding {
namespace {

constexpr uint32_t kMostWords = 4096;

struct Word {
  napi_value words;
  uint32_t index;
  const uint32_t* address;
  uint32_t before;
};

// Reading properties may run JavaScript, which may close a mapping or detach a buffer. So first everything is
// read, and only afterwards is any address asked for.
int ReadSequence(napi_env env, napi_value list, std::vector<Word>* sequence) {
  bool is_array = false;
  uint32_t length = 0;
  if (list == nullptr || napi_is_array(env, list, &is_array) != napi_ok || !is_array) return -1;
  napi_get_array_length(env, list, &length);
  if (length > kMostWords) return -1;
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element = nullptr, index = nullptr;
    Word word{};
    double number = -1;
    napi_valuetype type = napi_undefined;
    if (napi_get_element(env, list, i, &element) != napi_ok) return -1;
    if (napi_typeof(env, element, &type) != napi_ok || type != napi_object) return -1;
    if (napi_get_named_property(env, element, "words", &word.words) != napi_ok) return -1;
    if (napi_get_named_property(env, element, "index", &index) != napi_ok) return -1;
    if (napi_get_value_double(env, index, &number) != napi_ok) return -1;
    if (!(number >= 0 && number < UINT32_MAX)) return -1;
    word.index = static_cast<uint32_t>(number);
    sequence->push_back(word);
  }
  return 0;
}

bool Locate(napi_env env, Word* word) {
  if (const Mapping* mapping = Mapping::Of(env, word->words)) {
    int error = 0;
    word->address = WordOf(*mapping, word->index, &error);
    return word->address != nullptr;
  }
  bool is_typed_array = false;
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  if (napi_is_typedarray(env, word->words, &is_typed_array) != napi_ok || !is_typed_array) return false;
  if (napi_get_typedarray_info(env, word->words, &type, &length, &data, nullptr, nullptr) != napi_ok)
    return false;
  if (type != napi_uint32_array || word->index >= length) return false;
  word->address = static_cast<const uint32_t*>(data) + word->index;
  return reinterpret_cast<uintptr_t>(word->address) % alignof(uint32_t) == 0;
}

uint32_t Load(const uint32_t* address) {
  // std::atomic_ref, in a way that every C++20 library has and that takes a pointer to const.
  return __atomic_load_n(address, __ATOMIC_ACQUIRE);
}

// One writer's word that is odd, or that moved, spoils the copy; the bytes are delivered all the same.
bool SeqlockCopy(void* target, const void* source, size_t length, std::vector<Word>* sequence) {
  bool verified = !sequence->empty();
  for (Word& word : *sequence) {
    word.before = Load(word.address);
    if (word.before & 1) verified = false;
  }
  std::memmove(target, source, length);
  std::atomic_thread_fence(std::memory_order_acquire);
  for (const Word& word : *sequence) {
    if (Load(word.address) != word.before) verified = false;
  }
  return verified;
}

bool InRange(uint64_t offset, uint64_t length, const Mapping& mapping) {
  return length <= mapping.byte_length() && offset <= mapping.byte_length() - length;
}

napi_value CopyOut(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t offset = call.Size(1);
  std::vector<Word> sequence;
  if (call.ok() && ReadSequence(env, call.Value(3), &sequence) < 0) {
    // A getter's own exception is the better one.
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    return pending ? nullptr : call.TypeError("expected an array of sequence words");
  }
  Mapping* mapping = Mapping::Of(env, call.Value(0));
  if (mapping == nullptr) return call.TypeError("expected a Mapping");
  const Bytes target = call.Uint8Array(2);
  const size_t length = target.length;
  for (Word& word : sequence) {
    if (!Locate(env, &word)) call.Fail(-EINVAL);
  }
  sys::Region* region = mapping->region();
  if (region == nullptr) call.Fail(-EBADF);
  if (!InRange(offset, length, *mapping)) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  bool verified = length == 0 ? SeqlockCopy(&offset, &offset, 0, &sequence)
                              : SeqlockCopy(target.data, region->bytes() + offset, length, &sequence);
  return call.Number(region->faulted() ? -EFAULT : verified);
}

napi_value CopyIn(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t offset = call.Size(1);
  Mapping* mapping = Mapping::Of(env, call.Value(0));
  if (mapping == nullptr) return call.TypeError("expected a Mapping");
  const Bytes source = call.Uint8Array(2);
  sys::Region* region = mapping->region();
  if (region == nullptr) call.Fail(-EBADF);
  if (!InRange(offset, source.length, *mapping)) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  if (region->kind() == sys::MapKind::kSharedReadOnly) return call.Number(-EACCES);
  if (source.length > 0) std::memmove(region->bytes() + offset, source.data, source.length);
  return call.Number(region->faulted() ? -EFAULT : 0);
}

// What others have stored beside the changed bytes stays: those are not even loaded.
void StoreChanged(uint8_t* target, const uint8_t* now, const uint8_t* before, size_t length) {
  constexpr size_t kBlock = 64;
  for (size_t at = 0; at < length; at += kBlock) {
    size_t count = std::min(kBlock, length - at);
    if (std::memcmp(now + at, before + at, count) == 0) continue;
    for (size_t i = at; i < at + count; ++i) {
      if (now[i] != before[i]) target[i] = now[i];
    }
  }
}

napi_value CopyChanged(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t offset = call.Size(1);
  Mapping* mapping = Mapping::Of(env, call.Value(0));
  if (mapping == nullptr) return call.TypeError("expected a Mapping");
  const Bytes now = call.Uint8Array(2), before = call.Uint8Array(3);
  sys::Region* region = mapping->region();
  if (region == nullptr) call.Fail(-EBADF);
  if (now.length != before.length || !InRange(offset, now.length, *mapping)) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  if (region->kind() == sys::MapKind::kSharedReadOnly) return call.Number(-EACCES);
  if (now.length > 0) StoreChanged(region->bytes() + offset, now.data, before.data, now.length);
  return call.Number(region->faulted() ? -EFAULT : 0);
}

napi_value CopyToFile(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t offset = call.Size(1), length = call.Size(2);
  int fd = call.Int(3);
  uint64_t file_offset = call.Size(4);
  Mapping* mapping = Mapping::Of(env, call.Value(0));
  if (mapping == nullptr) return call.TypeError("expected a Mapping");
  if (fd < 0 || mapping->region() == nullptr) call.Fail(-EBADF);
  if (!InRange(offset, length, *mapping)) call.Fail(-EINVAL);
  if (!call.ok() || length == 0) return call.ok() ? call.Number(0) : call.Failure();
  const sys::Region& region = *mapping->region();
  int result = sys::WriteAll(fd, file_offset, region.bytes() + offset, length);
  return call.Number(region.faulted() ? -EFAULT : result);
}

napi_value CopyMapping(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t from_offset = call.Size(1), to_offset = call.Size(3), length = call.Size(4);
  Mapping* from = Mapping::Of(env, call.Value(0));
  Mapping* to = Mapping::Of(env, call.Value(2));
  if (from == nullptr || to == nullptr) return call.TypeError("expected a Mapping");
  if (from->region() == nullptr || to->region() == nullptr) call.Fail(-EBADF);
  if (!InRange(from_offset, length, *from) || !InRange(to_offset, length, *to)) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  const sys::Region &source = *from->region(), &target = *to->region();
  if (target.kind() == sys::MapKind::kSharedReadOnly) return call.Number(-EACCES);
  std::memmove(target.bytes() + to_offset, source.bytes() + from_offset, length);
  return call.Number(source.faulted() || target.faulted() ? -EFAULT : 0);
}

}  // namespace

void RegisterCopy(napi_env env, napi_value exports) {
  Define(env, exports,
         {{"copyOut", CopyOut},
          {"copyIn", CopyIn},
          {"copyChanged", CopyChanged},
          {"copyToFile", CopyToFile},
          {"copyMapping", CopyMapping}});
}

}  // namespace binding
