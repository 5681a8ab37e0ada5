#pragma once

#include <node_api.h>

#include <memory>

#include "sys/region.h"

namespace binding {

/** Marks objects that wrap a Mapping. */
constexpr napi_type_tag kMappingTag = {0x6d617070696e6721, 0x9c2f0b51d3a84e77};

/**
 * What JavaScript's Mapping wraps. An ArrayBuffer's memory may outlive it in a buffer that is not known here
 * (`ab.transfer()`), so a region is given up by hand only when none of its views can reach it; else it is
 * left to the finalizer of the view's backing store, which holds the region too.
 */
class Mapping {
 public:
  Mapping(napi_env env, std::shared_ptr<sys::Region> region)
      : env_(env), region_(std::move(region)), byte_length_(region_->byte_length()) {}
  ~Mapping();

  /** Makes the JavaScript object; null with an exception pending when that fails. */
  static napi_value New(napi_env env, std::shared_ptr<sys::Region> region);
  /** Null when the value is no Mapping. */
  static Mapping* Of(napi_env env, napi_value value);

  /** The ArrayBuffer, or null and a negative errno. */
  napi_value View(int* error);
  void Close();
  int Relocate();
  int TakeOver(Mapping& other);
  /** Null after close. */
  sys::Region* region() const { return region_.get(); }
  const std::shared_ptr<sys::Region>& shared_region() const { return region_; }
  size_t byte_length() const { return byte_length_; }
  bool faulted() const { return region_ != nullptr ? region_->faulted() : faulted_; }

 private:
  enum class Reach { kNobody, kView, kTransferred, kUnknown };
  /** Who can reach the region's memory; `view` is set for kView. */
  Reach WhoReaches(napi_value* view) const;
  bool DetachView(napi_value view);
  void ForgetView();
  napi_value MakeView(int* error);

  napi_env env_;
  std::shared_ptr<sys::Region> region_;  // null: closed
  napi_ref view_ = nullptr;              // weak
  size_t byte_length_;
  bool faulted_ = false;  // as it was at close
};

}  // namespace binding
