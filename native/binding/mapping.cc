#include "binding/mapping.h"

#include <cerrno>

#include "binding/environment.h"
#include "binding/external.h"

namespace binding {
namespace {

using Shared = std::shared_ptr<sys::Region>;

// Runs when the backing store is gone: after detach, after collection, or after the end of whatever buffer
// the memory was transferred to.
void StoreFreed(napi_env, void*, void* hint) {
  auto* region = static_cast<Shared*>(hint);
  if (*region != nullptr) --(*region)->views;
  delete region;
}

}  // namespace

Mapping::~Mapping() {
  ForgetView();
}

Mapping* Mapping::Of(napi_env env, napi_value value) {
  bool ours = false;
  void* data = nullptr;
  // Before unwrapping: another addon's object would unwrap too, into something else.
  if (value == nullptr || napi_check_object_type_tag(env, value, &kMappingTag, &ours) != napi_ok || !ours)
    return nullptr;
  return napi_unwrap(env, value, &data) == napi_ok ? static_cast<Mapping*>(data) : nullptr;
}

napi_value Mapping::New(napi_env env, Shared region) {
  Environment& environment = Environment::Of(env);
  napi_value constructor = nullptr, object = nullptr;
  environment.newborn = std::move(region);
  napi_get_reference_value(env, environment.mapping_class, &constructor);
  napi_new_instance(env, constructor, 0, nullptr, &object);
  environment.newborn.reset();
  return object;
}

void Mapping::ForgetView() {
  if (view_ != nullptr) napi_delete_reference(env_, view_);
  view_ = nullptr;
}

Mapping::Reach Mapping::WhoReaches(napi_value* view) const {
  if (region_->views == 0) return Reach::kNobody;
  napi_value buffer = nullptr;
  if (view_ != nullptr) napi_get_reference_value(env_, view_, &buffer);
  // Collected, and its memory either waits to be freed or lives on in a buffer it was transferred to.
  if (buffer == nullptr) return Reach::kUnknown;
  size_t length = 0;
  void* data = nullptr;
  napi_get_arraybuffer_info(env_, buffer, &data, &length);
  if (length == 0) return Reach::kTransferred;
  *view = buffer;
  return region_->views == 1 ? Reach::kView : Reach::kUnknown;
}

bool Mapping::DetachView(napi_value view) {
  ForgetView();
  return napi_detach_arraybuffer(env_, view) == napi_ok;
}

napi_value Mapping::MakeView(int* error) {
  const Environment& environment = Environment::Of(env_);
  if (!environment.external_buffers || region_->byte_length() > environment.longest_view) {
    *error = environment.external_buffers ? -EFBIG : -ENOTSUP;
    return nullptr;
  }
  napi_value buffer = nullptr;
  auto* held = new Shared(region_);
  ++region_->views;
  *error = ExternalArrayBuffer(env_, region_->bytes(), region_->byte_length(), StoreFreed, held, &buffer);
  if (*error < 0) {
    --region_->views;
    held->reset();
    return nullptr;
  }
  ForgetView();
  napi_create_reference(env_, buffer, 0, &view_);
  return buffer;
}

napi_value Mapping::View(int* error) {
  *error = -EBADF;
  if (region_ == nullptr) return nullptr;
  if (region_->views > 0) {
    napi_value buffer = nullptr;
    if (view_ != nullptr) napi_get_reference_value(env_, view_, &buffer);
    if (buffer != nullptr) {
      size_t length = 0;
      void* data = nullptr;
      napi_get_arraybuffer_info(env_, buffer, &data, &length);
      if (length != 0) return buffer;
      *error = -EBUSY;
      return nullptr;
    }
    // Two buffers are never made over one address where it can be helped. The pages cannot be moved away,
    // since a buffer that took them over may be in use; so the new view gets a second mapping of them.
    // Private copies cannot be had twice: there the engine gets the same address again, which it accepts.
    Shared second;
    if (region_->kind() != sys::MapKind::kPrivate) {
      int result = region_->Duplicate(0, region_->byte_length(), &second);
      if (result < 0) {
        *error = result;
        return nullptr;
      }
      second->WatchAs(*region_);
      region_ = std::move(second);
    }
  }
  return MakeView(error);
}

void Mapping::Close() {
  if (region_ == nullptr) return;
  napi_value view = nullptr;
  Reach reach = WhoReaches(&view);
  faulted_ = region_->faulted();
  // The guard only after the detach, and only when nobody else has the memory: native I/O that still holds
  // the raw address then gets EFAULT. Without any view there is no such I/O, and the destructor unmaps.
  bool detached = view != nullptr && DetachView(view);
  if (reach == Reach::kView && detached) region_->Guard();
  ForgetView();
  region_.reset();
}

int Mapping::Relocate() {
  if (region_ == nullptr) return -EBADF;
  napi_value view = nullptr;
  Reach reach = WhoReaches(&view);
  if (reach == Reach::kTransferred || reach == Reach::kUnknown) return -EBUSY;
  if (reach == Reach::kView && !DetachView(view)) return -EBUSY;
  Shared moved;
  int result = region_->Move(&moved);
  if (result == 0) region_ = std::move(moved);
  return result;
}

int Mapping::TakeOver(Mapping& other) {
  if (region_ == nullptr || other.region_ == nullptr) return -EBADF;
  if (&other == this) return -EINVAL;
  napi_value view = nullptr;
  if (other.WhoReaches(&view) != Reach::kNobody || WhoReaches(&view) == Reach::kTransferred) return -EBUSY;
  int result = region_->CanTakeOver(*other.region_);
  if (result < 0) return result;
  if (view == nullptr) {
    // Nobody holds our address. What the collector has not freed yet stays with the old region until then.
    ForgetView();
    other.region_->WatchAs(*region_);
    region_ = std::move(other.region_);
    return 0;
  }
  // Linux before 5.16 refuses to move huge pages, and says so after it has unmapped the target. Tried where
  // nothing is lost by it.
  if (region_->huge()) result = other.Relocate();
  if (result == 0) result = region_->TakeOver(*other.region_);
  if (result == 0) other.region_.reset();
  return result;
}

}  // namespace binding
