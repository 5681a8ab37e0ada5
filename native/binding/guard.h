#pragma once

#include <node_api.h>

namespace binding {

// Methods of Mapping for guarded mode.
napi_value MappingGuard(napi_env env, napi_callback_info info);
napi_value MappingAllow(napi_env env, napi_callback_info info);
napi_value MappingUnguard(napi_env env, napi_callback_info info);

}  // namespace binding
