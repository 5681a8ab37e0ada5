#pragma once

#include <node_api.h>

namespace binding {

// Each adds one area of the interface to the exports.
void RegisterCache(napi_env env, napi_value exports);
void RegisterDescriptors(napi_env env, napi_value exports);
void RegisterMemory(napi_env env, napi_value exports);
void RegisterMapping(napi_env env);
void RegisterCopy(napi_env env, napi_value exports);
void RegisterSockets(napi_env env, napi_value exports);
void RegisterDoor(napi_env env, napi_value exports);
void RegisterWaiting(napi_env env, napi_value exports);
void RegisterPoll(napi_env env, napi_value exports);
void RegisterVmem(napi_env env, napi_value exports);
void RegisterVmemFacts(napi_env env, napi_value exports);
void RegisterGuard(napi_env env, napi_value exports);

}  // namespace binding
