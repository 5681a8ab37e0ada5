# Steps of CI: each has a name, a time limit and a line in the results; none stops the others.
# Sourced by .ci/run and by the scripts that can also be run alone.

CI_RESULTS=${CI_RESULTS:-$(mktemp -d)}
export CI_RESULTS
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# step NAME SECONDS COMMAND...: runs COMMAND, counts it as one pass or failure.
step() {
  local name=$1 limit=$2 start=$SECONDS code=0
  shift 2
  echo "=== $name"
  timeout --kill-after=10 "$limit" "$@" </dev/null || code=$?
  [ "$code" != 124 ] || echo "$name: not done within $limit s"
  echo "=== $name: $([ "$code" = 0 ] && echo passed || echo "FAILED ($code)") in $((SECONDS - start)) s"
  echo "$code $name" >>"$CI_RESULTS/steps"
  return 0
}

# vitest_step NAME SECONDS COMMAND...: as step, but every test counts, not the run.
vitest_step() {
  local report="$CI_RESULTS/$1.json"
  step "$@" --reporter=default --reporter=json --outputFile.json="$report"
}

# Where downloaded runtimes and compilers are kept between runs.
CI_CACHE=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/dmabuf-ci

# cached NAME PACKAGE...: installs npm packages into $CI_CACHE/NAME; they carry their programs, no scripts are run.
cached() {
  local folder=$CI_CACHE/$1
  shift
  mkdir -p "$folder"
  [ -e "$folder/package.json" ] || echo '{ "private": true }' >"$folder/package.json"
  # --force: these are programs for other C libraries and machines than this one, on purpose.
  npm install --prefix "$folder" --no-save --force --ignore-scripts --no-audit --no-fund --prefer-offline --loglevel=error "$@"
}
