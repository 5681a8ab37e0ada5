import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('..', import.meta.url))
const nodeGyp = fileURLToPath(new URL('../../node_modules/node-gyp/bin/node-gyp.js', import.meta.url))

/** Loads a package of bench/package.json; `T` is what the caller uses of it, typed by hand. */
export function load<T>(name: string): T {
  return createRequire(join(folder, 'package.json'))(name) as T
}

function compile(name: string): void {
  const headers = dirname(dirname(process.execPath))
  const local = existsSync(join(headers, 'include/node/node.h')) ? [`--nodedir=${headers}`] : []
  execFileSync(process.execPath, [nodeGyp, 'rebuild', '-C', join(folder, 'node_modules', name), ...local], {
    stdio: 'pipe',
  })
}

function explain(error: unknown): string {
  const stderr = (error as { stderr?: Buffer }).stderr?.toString().trim()
  return stderr ? stderr.split('\n').slice(-8).join('\n') : String(error)
}

/**
 * Installs what we compare with, on first use. Install scripts are off because npm 12 no longer runs them
 * unasked: zeromq ships its binary, and shm-typed-array is compiled here by name.
 * Returns why a package can't be had; the benchmark then goes on without it.
 */
export function ensurePackages(names: readonly string[]): Map<string, string> {
  const missing = new Map<string, string>()
  if (names.some((name) => !existsSync(join(folder, 'node_modules', name)))) {
    console.error(`First use: installing ${names.join(' and ')} into bench/node_modules …`)
    try {
      execFileSync('npm', ['ci', '--prefix', folder, '--ignore-scripts'], { stdio: 'pipe' })
    } catch (error) {
      for (const name of names) missing.set(name, `npm ci --prefix bench failed: ${explain(error)}`)
      return missing
    }
  }
  for (const name of names) {
    const tried = tryLoad(name)
    if (tried === undefined) continue
    if (name !== 'shm-typed-array') missing.set(name, tried)
    else compileOrExplain(name, missing)
  }
  return missing
}

function tryLoad(name: string): string | undefined {
  try {
    load(name)
    return undefined
  } catch (error) {
    return String(error)
  }
}

function compileOrExplain(name: string, missing: Map<string, string>): void {
  console.error(`Compiling ${name} with node-gyp …`)
  try {
    compile(name)
  } catch (error) {
    missing.set(name, `node-gyp could not compile it: ${explain(error)}`)
  }
}
