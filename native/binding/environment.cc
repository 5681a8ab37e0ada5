#include "binding/environment.h"

#include <unistd.h>

#include <bit>
#include <cerrno>

#include "binding/external.h"

namespace binding {
namespace {

// Node 20 does not refuse a longer external buffer but dies: its error path finalizes a buffer it never made.
uint64_t LongestView(napi_env env) {
  const napi_node_version* version = nullptr;
  napi_get_node_version(env, &version);
  bool old = version != nullptr && version->major < 22;
  return old ? uint64_t{1} << 32 : uint64_t{1} << 53;
}

}  // namespace

void DescriptorSet::Add(int fd) {
  size_t word = static_cast<size_t>(fd) / 64;
  if (word >= bits_.size()) bits_.resize(word + 1);
  bits_[word] |= uint64_t{1} << (fd % 64);
}

void DescriptorSet::Remove(int fd) {
  if (fd < 0) return;
  size_t word = static_cast<size_t>(fd) / 64;
  if (word < bits_.size()) bits_[word] &= ~(uint64_t{1} << (fd % 64));
}

void DescriptorSet::CloseAll() {
  for (size_t word = 0; word < bits_.size(); ++word) {
    for (; bits_[word] != 0; bits_[word] &= bits_[word] - 1) {
      ::close(static_cast<int>(word * 64) + std::countr_zero(bits_[word]));
    }
  }
  bits_.clear();
}

int Environment::StoreAtEnd(const std::shared_ptr<sys::Region>& region, uint32_t word) {
  if (region == nullptr || region->bytes() == nullptr) return -EBADF;
  if (region->kind() != sys::MapKind::kShared) return -EACCES;
  if (word >= region->byte_length() / sizeof(uint32_t)) return -EINVAL;
  at_end.emplace_back(region, word);
  return 0;
}

void Environment::StoreEnds() {
  for (auto& [region, word] : at_end) {
    if (region->bytes() == nullptr) continue;
    auto* words = reinterpret_cast<uint32_t*>(region->bytes());
    // std::atomic_ref, in a way that every C++20 library has.
    __atomic_store_n(&words[word], 1, __ATOMIC_SEQ_CST);
  }
  at_end.clear();
}

Environment& Environment::Of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

void Environment::Create(napi_env env) {
  auto* self = new Environment(env);
  napi_set_instance_data(
      env, self, [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); }, nullptr);
  self->longest_view = LongestView(env);
  self->external_buffers = !ExternalForbidden(env);
  napi_value name = nullptr;
  napi_create_string_utf8(env, "dmabuf", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, nullptr, name, &self->context);
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle handle, void* data) {
        auto* environment = static_cast<Environment*>(data);
        environment->closing = true;
        environment->StoreEnds();
        // The handles first: libuv must leave a descriptor before its number is free again.
        std::shared_ptr<Loop> loop = environment->loop;
        loop->CloseAll();
        environment->descriptors.CloseAll();
        // Deno wants a handle scope for the first, and cannot open one here; the second it does itself, and
        // would free twice. Its environments end with their thread.
        if (loop->deno()) return;
        if (environment->context != nullptr) napi_async_destroy(environment->env, environment->context);
        environment->context = nullptr;
        loop->WhenClosed(
            [](void* hook) {
              napi_remove_async_cleanup_hook(static_cast<napi_async_cleanup_hook_handle>(hook));
            },
            handle);
      },
      self, nullptr);
}

}  // namespace binding
