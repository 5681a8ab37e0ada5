# Steps of CI: each has a name, a time limit and a line in the results; none stops the others.
# Sourced by .ci/run and by the scripts that can also be run alone; whichever was started prints the total.

[ -z "${CI_RESULTS:-}" ] || return 0
CI_RESULTS=$(mktemp -d)
CI_SECONDS=2340
# Where downloaded runtimes and compilers are kept between runs.
# Where other users can go too: a test runs Node as one of them.
CI_CACHE=${CI_CACHE:-${TMPDIR:-/tmp}/dmabuf-ci-cache}
export CI_CACHE
cd "$(dirname "${BASH_SOURCE[0]}")/.."
trap total EXIT

total() {
  local code=$?
  [ "$code" = 0 ] || echo "$code $0 itself" >>"$CI_RESULTS/steps"
  node .ci/total.mjs "$CI_RESULTS" || code=1
  rm -rf "$CI_RESULTS"
  exit "$code"
}

# step NAME SECONDS COMMAND...: runs COMMAND, counts it as one pass or failure.
step() {
  local name=$1 limit=$2 start=$SECONDS code=0 left=$((CI_SECONDS - SECONDS))
  shift 2
  [ "$left" -ge 1 ] || left=1
  [ "$limit" -le "$left" ] || limit=$left
  echo "=== $name"
  timeout --kill-after=10 "$limit" "$@" </dev/null || code=$?
  [ "$code" != 124 ] || echo "$name: not done within $limit s"
  echo "=== $name: $([ "$code" = 0 ] && echo passed || echo "FAILED ($code)") in $((SECONDS - start)) s"
  echo "$code $name" >>"$CI_RESULTS/steps"
}

# vitest_step NAME SECONDS COMMAND...: as step, but every test counts, not the run.
vitest_step() {
  step "$@" --reporter=default --reporter=json --outputFile.json="$CI_RESULTS/$1.json"
}

# cached NAME PACKAGE...: installs npm packages into $CI_CACHE/NAME; they carry their programs, no scripts are run.
cached() {
  local folder=$CI_CACHE/$1
  shift
  mkdir -p "$folder"
  [ -e "$folder/package.json" ] || echo '{ "private": true }' >"$folder/package.json"
  # --force: these are programs for other machines and C libraries than this one, on purpose.
  npm install --prefix "$folder" --no-save --force --ignore-scripts --no-audit --no-fund --prefer-offline \
    --loglevel=error "$@"
}
export -f cached
