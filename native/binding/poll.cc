#include <cerrno>
#include <iterator>

#include "binding/call.h"
#include "binding/environment.h"
#include "binding/register.h"

namespace binding {
namespace {

constexpr napi_type_tag kTag = {0x706f6c6c696e6721, 0x4b1d6e90a7c258f3};
constexpr int kEveryEvent = 7;

/**
 * What JavaScript's Poll wraps. The callback hangs on the JavaScript object, not on a global reference: an
 * idle Poll that nobody holds can be collected although its callback closes over it. While it is started, the
 * loop holds the object.
 */
class Poll {
 public:
  Poll(napi_env env, int fd) : env_(env), fd_(fd) {}
  ~Poll() {
    Close();
    if (self_ != nullptr) napi_delete_reference(env_, self_);
    if (callback_ != nullptr) napi_delete_reference(env_, callback_);
  }

  bool Bind(napi_value self, napi_value callback) {
    napi_value key = nullptr;
    if (napi_create_symbol(env_, nullptr, &key) != napi_ok) return false;
    napi_property_descriptor property{};
    property.name = key;
    property.value = callback;
    return napi_define_properties(env_, self, 1, &property) == napi_ok &&
           napi_create_reference(env_, self, 0, &self_) == napi_ok &&
           napi_create_reference(env_, callback, 0, &callback_) == napi_ok;
  }

  int Start(int events) {
    if (closed_) return -EBADF;
    if (handle_ == nullptr) {
      int result = Handle::Watch(Environment::Of(env_).loop, fd_, OnEvents, this, &handle_);
      if (result < 0) return result;
      if (!referenced_) handle_->Unref();
    }
    if (events == 0) {
      Stop();
      return 0;
    }
    int result = handle_->Start(events);
    if (result == 0) Hold(true);
    return result;
  }

  void Stop() {
    if (handle_ != nullptr) handle_->Stop();
    Hold(false);
  }

  void Close() {
    closed_ = true;
    if (handle_ != nullptr) handle_->Close();
    Hold(false);
  }

  void Reference(bool on) {
    referenced_ = on;
    if (handle_ != nullptr) on ? handle_->Ref() : handle_->Unref();
  }

 private:
  void Hold(bool on) {
    if (held_ == on) return;
    held_ = on;
    on ? napi_reference_ref(env_, self_, nullptr) : napi_reference_unref(env_, self_, nullptr);
  }

  static void OnEvents(void* owner, int events) {
    auto* poll = static_cast<Poll*>(owner);
    napi_env env = poll->env_;
    napi_handle_scope scope = nullptr;
    napi_value self = nullptr, callback = nullptr, argument = nullptr, unused = nullptr;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return;
    napi_get_reference_value(env, poll->self_, &self);
    napi_get_reference_value(env, poll->callback_, &callback);
    napi_create_int32(env, events, &argument);
    // From here on `poll` may be closed by the callback. Deno writes a result whether one is wanted or not.
    if (self != nullptr && callback != nullptr &&
        napi_make_callback(env, Environment::Of(env).context, self, callback, 1, &argument, &unused) ==
            napi_pending_exception) {
      napi_value error = nullptr;
      if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
    }
    napi_close_handle_scope(env, scope);
  }

  napi_env env_;
  int fd_;
  napi_ref self_ = nullptr;      // strong while started
  napi_ref callback_ = nullptr;  // weak
  Handle* handle_ = nullptr;
  bool held_ = false;
  bool referenced_ = true;
  bool closed_ = false;
};

napi_value Construct(napi_env env, napi_callback_info info) {
  Call call(env, info);
  napi_value target = nullptr;
  napi_valuetype type = napi_undefined;
  napi_get_new_target(env, info, &target);
  if (target == nullptr) return call.TypeError("Poll must be called with new");
  int fd = call.Int(0);
  if (call.Value(1) != nullptr) napi_typeof(env, call.Value(1), &type);
  if (type != napi_function) call.TypeError("expected a function");
  // No errno can come out of a constructor: a number that is no descriptor shows at start().
  if (!call.ok()) fd = -1;
  if (!call.ok() && call.Failure() == nullptr) return nullptr;
  auto* poll = new Poll(env, fd);
  bool bound =
      poll->Bind(call.self(), call.Value(1)) &&
      napi_wrap(
          env, call.self(), poll, [](napi_env, void* data, void*) { delete static_cast<Poll*>(data); },
          nullptr, nullptr) == napi_ok;
  if (!bound) {
    delete poll;
    return call.TypeError("Poll: cannot be constructed");
  }
  napi_type_tag_object(env, call.self(), &kTag);
  return call.self();
}

// The receiver, or null with a TypeError pending.
Poll* Self(Call& call) {
  bool ours = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(call.env(), call.self(), &kTag, &ours) != napi_ok || !ours ||
      napi_unwrap(call.env(), call.self(), &data) != napi_ok) {
    call.TypeError("Illegal invocation");
    return nullptr;
  }
  return static_cast<Poll*>(data);
}

napi_value Start(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Poll* self = Self(call);
  if (self == nullptr) return nullptr;
  int events = call.Int(0);
  if (events < 0 || events > kEveryEvent) call.Fail(-EINVAL);
  return call.ok() ? call.Number(self->Start(events)) : call.Failure();
}

template <void (*function)(Poll&)>
napi_value Act(napi_env env, napi_callback_info info) {
  Call call(env, info);
  if (Poll* self = Self(call)) function(*self);
  return nullptr;
}

void Stop(Poll& poll) {
  poll.Stop();
}
void Close(Poll& poll) {
  poll.Close();
}
void Ref(Poll& poll) {
  poll.Reference(true);
}
void Unref(Poll& poll) {
  poll.Reference(false);
}

}  // namespace

void RegisterPoll(napi_env env, napi_value exports) {
  auto method = [](const char* name, napi_callback function) {
    return napi_property_descriptor{name,    nullptr, function,     nullptr,
                                    nullptr, nullptr, napi_default, nullptr};
  };
  const napi_property_descriptor methods[] = {
      method("start", Start),  method("stop", Act<Stop>),   method("close", Act<Close>),
      method("ref", Act<Ref>), method("unref", Act<Unref>),
  };
  napi_value constructor = nullptr;
  napi_define_class(env, "Poll", NAPI_AUTO_LENGTH, Construct, nullptr, std::size(methods), methods,
                    &constructor);
  napi_set_named_property(env, exports, "Poll", constructor);
}

}  // namespace binding
