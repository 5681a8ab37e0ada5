#!/usr/bin/env bash
# Checks that musl has every symbol that the musl binary of this machine wants. There is no Node for musl here
# to load it with, and musl binds every symbol at once: one that is missing is a binary that does not load.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=$(comm -23 \
  <(nm -D --undefined-only prebuilds/linux-x64/dmabuf.musl.node | awk '{ print $2 }' | grep -vE '^(napi|uv|node)_' | sort -u) \
  <(nm -D --defined-only /lib/ld-musl-x86_64.so.1 | awk '{ print $3 }' | sort -u))
[ -z "$missing" ] || { printf 'musl lacks: %s\n' $missing; exit 1; }
