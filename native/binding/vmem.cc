#include "sys/vmem.h"

#include <cerrno>

#include "binding/call.h"
#include "binding/environment.h"
#include "binding/external.h"
#include "binding/register.h"

namespace binding {
namespace {

/** Marks objects that wrap a Vmem. */
constexpr napi_type_tag kVmemTag = {0x766d656d65787021, 0x51c0a7e4f2d8936b};

// The receiver, or null with a TypeError pending.
sys::Vmem* Self(Call& call) {
  bool ours = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(call.env(), call.self(), &kVmemTag, &ours) != napi_ok || !ours ||
      napi_unwrap(call.env(), call.self(), &data) != napi_ok) {
    call.TypeError("Illegal invocation");
    return nullptr;
  }
  return static_cast<sys::Vmem*>(data);
}

napi_value Lock(napi_env env, napi_callback_info info) {
  Call call(env, info);
  sys::Vmem* self = Self(call);
  return self == nullptr ? nullptr : call.Number(self->Lock());
}

napi_value Populate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  sys::Vmem* self = Self(call);
  return self == nullptr ? nullptr : call.Number(self->Populate());
}

napi_value Share(napi_env env, napi_callback_info info) {
  Call call(env, info);
  sys::Vmem* self = Self(call);
  if (self == nullptr) return nullptr;
  int fd = call.Int(0);
  return call.ok() ? call.Number(self->Share(fd)) : call.Failure();
}

napi_value Step(napi_env env, napi_callback_info info) {
  Call call(env, info);
  if (sys::Vmem* self = Self(call)) self->Step();
  return nullptr;
}

napi_value End(napi_env env, napi_callback_info info) {
  Call call(env, info);
  sys::Vmem* self = Self(call);
  if (self == nullptr) return nullptr;
  uint64_t accessible = call.Size(0);
  return call.ok() ? call.Number(self->End(accessible)) : call.Failure();
}

napi_value Abandon(napi_env env, napi_callback_info info) {
  Call call(env, info);
  if (sys::Vmem* self = Self(call)) self->Abandon();
  return nullptr;
}

napi_value MapVmem(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  sys::VmemPlace place{};
  place.bytes = reinterpret_cast<uint8_t*>(call.Size(1));
  place.byte_length = call.Size(2);
  place.live = reinterpret_cast<uint8_t*>(call.Size(3));
  place.live_length = call.Size(4);
  place.survives = call.Bool(5);
  if (!call.ok()) return call.Failure();
  std::unique_ptr<sys::Vmem> vmem;
  int result = sys::Vmem::Map(fd, place, &vmem);
  if (result < 0) return call.Number(result);
  napi_value object = nullptr;
  napi_create_object(env, &object);
  Define(env, object,
         {{"lock", Lock},
          {"populate", Populate},
          {"share", Share},
          {"step", Step},
          {"end", End},
          {"abandon", Abandon}});
  napi_status status = napi_wrap(
      env, object, vmem.get(), [](napi_env, void* data, void*) { delete static_cast<sys::Vmem*>(data); },
      nullptr, nullptr);
  if (status != napi_ok) return call.Number(-ENOMEM);
  // The object owns it now.
  static_cast<void>(vmem.release());
  napi_type_tag_object(env, object, &kVmemTag);
  return object;
}

// Runs when the backing store is gone, wherever the memory had been transferred to.
void BlockFreed(napi_env, void*, void* hint) {
  delete static_cast<std::shared_ptr<sys::PageBlock>*>(hint);
}

napi_value AllocatePages(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t byte_length = call.Size(0);
  if (!call.ok()) return call.Failure();
  const Environment& environment = call.environment();
  if (!environment.external_buffers) return call.Number(-ENOTSUP);
  if (byte_length > environment.longest_view) return call.Number(-EFBIG);
  auto* held = new std::shared_ptr<sys::PageBlock>;
  int result = sys::PageBlock::Allocate(byte_length, held);
  if (result < 0) {
    delete held;
    return call.Number(result);
  }
  napi_value buffer = nullptr;
  result = ExternalArrayBuffer(env, (*held)->base(), byte_length, BlockFreed, held, &buffer);
  if (result == 0) return buffer;
  held->reset();
  return call.Number(result);
}

}  // namespace

void RegisterVmem(napi_env env, napi_value exports) {
  Define(env, exports, {{"mapVmem", MapVmem}, {"allocatePages", AllocatePages}});
}

}  // namespace binding
