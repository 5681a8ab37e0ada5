#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>

#include "sys/fd.h"
#include "sys/socket.h"

namespace binding {

/** The native side of `scratch`: hot calls pass their data here, so no crossing converts an argument. */
struct Scratch {
  static constexpr size_t kPacketBytes = size_t{256} << 10;
  static constexpr size_t kFacts = 11;
  static constexpr size_t kMeta = 6;

  uint8_t* tx = nullptr;
  uint8_t* rx = nullptr;
  int32_t* outgoing = nullptr;
  int32_t* incoming = nullptr;
  int32_t* descriptors = nullptr;
  int32_t* meta = nullptr;
  uint32_t* facts = nullptr;
  uint32_t* tokens = nullptr;

  /** Makes the buffers; a strong reference keeps each alive as long as the environment. */
  napi_value Create(napi_env env);
  void Put(const sys::Facts& facts);
  void Put(const sys::Credentials& credentials);
};

}  // namespace binding
