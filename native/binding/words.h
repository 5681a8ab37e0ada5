#pragma once

#include <node_api.h>

#include <cstdint>

namespace binding {

class Mapping;

// Methods of Mapping: 32-bit words of shared pages where no Uint32Array can lie over them.
napi_value MappingLoadWord(napi_env env, napi_callback_info info);
napi_value MappingStoreWord(napi_env env, napi_callback_info info);
napi_value MappingAddWord(napi_env env, napi_callback_info info);
napi_value MappingOrWord(napi_env env, napi_callback_info info);

/** Where a word of a mapping lies; null and a negative errno when there is none: -EBADF closed, -EINVAL
 * beyond the end. */
uint32_t* WordOf(const Mapping& mapping, uint32_t index, int* error);

}  // namespace binding
