#include <cerrno>
#include <iterator>

#include "binding/call.h"
#include "binding/environment.h"
#include "binding/guard.h"
#include "binding/mapping.h"
#include "binding/register.h"
#include "binding/words.h"

namespace binding {
namespace {

napi_value Construct(napi_env env, napi_callback_info info) {
  Call call(env, info);
  napi_value target = nullptr;
  napi_get_new_target(env, info, &target);
  std::shared_ptr<sys::Region> region = std::move(call.environment().newborn);
  if (target == nullptr || region == nullptr) return call.TypeError("Mapping: Illegal constructor");
  auto* mapping = new Mapping(env, std::move(region));
  napi_status status = napi_wrap(
      env, call.self(), mapping, [](napi_env, void* data, void*) { delete static_cast<Mapping*>(data); },
      nullptr, nullptr);
  if (status != napi_ok) {
    delete mapping;
    return call.TypeError("Mapping: cannot be constructed");
  }
  napi_type_tag_object(env, call.self(), &kMappingTag);
  return call.self();
}

// The receiver, or null with a TypeError pending.
Mapping* Self(Call& call) {
  Mapping* self = Mapping::Of(call.env(), call.self());
  if (self == nullptr) call.TypeError("Illegal invocation");
  return self;
}

napi_value GetByteLength(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Mapping* self = Self(call);
  return self == nullptr ? nullptr : call.Number(static_cast<int64_t>(self->byte_length()));
}

napi_value GetFaulted(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Mapping* self = Self(call);
  napi_value result = nullptr;
  if (self != nullptr) napi_get_boolean(env, self->faulted(), &result);
  return result;
}

napi_value View(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Mapping* self = Self(call);
  if (self == nullptr) return nullptr;
  int error = 0;
  napi_value buffer = self->View(&error);
  return buffer != nullptr ? buffer : call.Number(error);
}

napi_value Close(napi_env env, napi_callback_info info) {
  Call call(env, info);
  if (Mapping* self = Self(call)) self->Close();
  return nullptr;
}

napi_value Relocate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Mapping* self = Self(call);
  return self == nullptr ? nullptr : call.Number(self->Relocate());
}

napi_value TakeOver(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Mapping* self = Self(call);
  if (self == nullptr) return nullptr;
  Mapping* other = Mapping::Of(env, call.Value(0));
  return other == nullptr ? call.TypeError("expected a Mapping") : call.Number(self->TakeOver(*other));
}

napi_value Duplicate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Mapping* self = Self(call);
  if (self == nullptr) return nullptr;
  uint64_t offset = call.Size(0), byte_length = call.Size(1);
  if (!call.ok()) return call.Failure();
  if (self->region() == nullptr) return call.Number(-EBADF);
  std::shared_ptr<sys::Region> copy;
  int result = self->region()->Duplicate(offset, byte_length, &copy);
  return result < 0 ? call.Number(result) : Mapping::New(env, std::move(copy));
}

template <int (*advise)(sys::Region&)>
napi_value Advise(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Mapping* self = Self(call);
  if (self == nullptr) return nullptr;
  return call.Number(self->region() == nullptr ? -EBADF : advise(*self->region()));
}

napi_value Populate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Mapping* self = Self(call);
  if (self == nullptr) return nullptr;
  bool for_writing = call.Bool(0);
  if (!call.ok()) return call.Failure();
  return call.Number(self->region() == nullptr ? -EBADF : self->region()->Populate(for_writing));
}

int Refresh(sys::Region& region) {
  return region.Refresh();
}
int AdviseHugePages(sys::Region& region) {
  return region.AdviseHugePages();
}

}  // namespace

void RegisterMapping(napi_env env) {
  auto method = [](const char* name, napi_callback function) {
    return napi_property_descriptor{name,    nullptr, function,     nullptr,
                                    nullptr, nullptr, napi_default, nullptr};
  };
  auto getter = [](const char* name, napi_callback function) {
    return napi_property_descriptor{name,    nullptr, nullptr,      function,
                                    nullptr, nullptr, napi_default, nullptr};
  };
  const napi_property_descriptor properties[] = {
      getter("byteLength", GetByteLength),
      getter("faulted", GetFaulted),
      method("view", View),
      method("close", Close),
      method("relocate", Relocate),
      method("takeOver", TakeOver),
      method("duplicate", Duplicate),
      method("refresh", Advise<Refresh>),
      method("populate", Populate),
      method("adviseHugePages", Advise<AdviseHugePages>),
      method("guard", MappingGuard),
      method("allow", MappingAllow),
      method("unguard", MappingUnguard),
      method("loadWord", MappingLoadWord),
      method("storeWord", MappingStoreWord),
      method("addWord", MappingAddWord),
      method("orWord", MappingOrWord),
  };
  napi_value constructor = nullptr;
  napi_define_class(env, "Mapping", NAPI_AUTO_LENGTH, Construct, nullptr, std::size(properties), properties,
                    &constructor);
  napi_create_reference(env, constructor, 1, &Environment::Of(env).mapping_class);
}

}  // namespace binding
