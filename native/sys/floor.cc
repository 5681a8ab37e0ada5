#include <cstdio>
#include <cstdlib>
#include <new>

/**
 * What libstdc++.a would bring along with its exception machinery needs a glibc of the build machine's age.
 * We compile without exceptions, so the few entry points that the headers call end the process instead.
 */

// glibc 2.32's hint that there is one thread only; node has several from the start.
extern "C" {
char __libc_single_threaded = 0;
}

namespace {

[[noreturn, maybe_unused]] void Die(const char* what) {
  std::fprintf(stderr, "dmabuf: %s\n", what);
  std::abort();
}

}  // namespace

// libc++ needs no help.
#ifdef __GLIBCXX__
namespace std {

[[noreturn]] void __throw_bad_alloc() {
  Die("out of memory");
}
[[noreturn]] void __throw_bad_array_new_length() {
  Die("out of memory");
}
[[noreturn]] void __throw_length_error(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_logic_error(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_out_of_range(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_bad_function_call() {
  Die("empty function");
}
[[noreturn]] void __throw_system_error(int) {
  Die("a mutex failed");
}
[[noreturn]] void __throw_out_of_range_fmt(const char* what, ...) {
  Die(what);
}

}  // namespace std
#endif

// Memory from the C library; ASan brings its own pair, which knows more.
#ifndef __SANITIZE_ADDRESS__
void* operator new(std::size_t size) {
  void* memory = std::malloc(size != 0 ? size : 1);
  if (memory == nullptr) Die("out of memory");
  return memory;
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif
