#include "sys/socket.h"

#include <cerrno>

#include "binding/call.h"
#include "binding/environment.h"
#include "binding/register.h"

namespace binding {
namespace {

enum { kMetaDescriptors, kMetaFlags, kMetaHasCredentials };

napi_value KeepPair(Call& call, int result, sys::Pair pair) {
  if (result < 0) return call.Number(result);
  Environment& environment = call.environment();
  environment.scratch.descriptors[0] = environment.Keep(pair.first.Release());
  environment.scratch.descriptors[1] = environment.Keep(pair.second.Release());
  return call.Number(0);
}

napi_value Socket(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.Number(call.environment().Keep(sys::Socket()));
}

napi_value SocketPair(napi_env env, napi_callback_info info) {
  Call call(env, info);
  sys::Pair pair;
  int result = sys::SocketPair(&pair);
  return KeepPair(call, result, std::move(pair));
}

napi_value Pipe(napi_env env, napi_callback_info info) {
  Call call(env, info);
  sys::Pair pair;
  int result = sys::Pipe(&pair);
  return KeepPair(call, result, std::move(pair));
}

template <int (*function)(int, std::string_view, sys::Namespace)>
napi_value WithAddress(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  std::string name = call.Text(1);
  bool abstract = call.Bool(2);
  if (!call.ok()) return call.Failure();
  return call.Number(function(fd, name, abstract ? sys::Namespace::kAbstract : sys::Namespace::kFileSystem));
}

napi_value Listen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0), backlog = call.Int(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::Listen(fd, backlog));
}

template <int (*function)(int)>
napi_value MakeFrom(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int number = call.Int(0);
  if (!call.ok()) return call.Failure();
  return call.Number(call.environment().Keep(function(number)));
}

napi_value PeerCredentials(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  if (!call.ok()) return call.Failure();
  sys::Credentials credentials{};
  int result = sys::PeerCredentials(fd, &credentials);
  if (result == 0) call.environment().scratch.Put(credentials);
  return call.Number(result);
}

napi_value PassCredentials(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  bool on = call.Bool(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::PassCredentials(fd, on));
}

napi_value Send(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint64_t byte_length = call.Size(1);
  int count = call.Int(2);
  bool with_credentials = call.Bool(3);
  if (byte_length > Scratch::kPacketBytes) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  const Scratch& scratch = call.environment().scratch;
  return call.Number(sys::Send(fd, scratch.tx, byte_length, scratch.outgoing, count, with_credentials));
}

napi_value Receive(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  if (!call.ok()) return call.Failure();
  Environment& environment = call.environment();
  Scratch& scratch = environment.scratch;
  sys::Packet packet;
  int result = sys::Receive(fd, scratch.rx, Scratch::kPacketBytes, scratch.incoming, &packet);
  for (int i = 0; i < packet.descriptors; ++i) environment.Keep(scratch.incoming[i]);
  scratch.meta[kMetaDescriptors] = packet.descriptors;
  scratch.meta[kMetaFlags] = packet.flags;
  scratch.meta[kMetaHasCredentials] = packet.has_credentials;
  scratch.Put(packet.credentials);
  return call.Number(result);
}

}  // namespace

void RegisterSockets(napi_env env, napi_value exports) {
  Define(env, exports,
         {{"socket", Socket},
          {"socketPair", SocketPair},
          {"pipe", Pipe},
          {"bind", WithAddress<sys::Bind>},
          {"connect", WithAddress<sys::Connect>},
          {"listen", Listen},
          {"accept", MakeFrom<sys::Accept>},
          {"peerPidfd", MakeFrom<sys::PeerPidfd>},
          {"pidfdOpen", MakeFrom<sys::PidfdOpen>},
          {"peerCredentials", PeerCredentials},
          {"passCredentials", PassCredentials},
          {"send", Send},
          {"receive", Receive}});
}

}  // namespace binding
