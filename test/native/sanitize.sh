#!/bin/sh
# Builds the addon with ASan and UBSan in a folder of its own and runs its tests against that binary; arguments
# go to vitest. Started by npm, whose settings tell node-gyp where Node's headers are.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
copy=$root/native/build-sanitize
mkdir -p "$copy"
cp -r "$root/native/binding.gyp" "$root/native/binding" "$root/native/sys" "$root/native/shm" "$copy"
"$root/node_modules/.bin/node-gyp" rebuild -C "$copy" -j 2 -- -Dsanitize=1 >"$copy/build.log" 2>&1 || {
  tail -40 "$copy/build.log"
  exit 1
}
cd "$root"
# Only the test's Node gets the library: one thread, since forked runners would mix their reports.
DMABUF_ADDON=$copy/build/Release/dmabuf.node \
  DMABUF_STRESS_SECONDS=60 \
  LD_PRELOAD=$(gcc -print-file-name=libasan.so) \
  ASAN_OPTIONS=detect_leaks=0:allow_user_segv_handler=1:handle_sigbus=0:abort_on_error=1 \
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
  node node_modules/vitest/vitest.mjs run test/native --maxWorkers=1 --testTimeout=60000 "$@"
