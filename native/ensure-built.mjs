// Builds the addon when no binary is there or a source is newer, as make would: `npm install`, `npm pack` and
// `npm ci` all run `prepare`, and a minute of compiling each time would make people skip it.
import { execFileSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { prebuild } from './prebuild.mjs'

const native = new URL('./', import.meta.url)
const built = statSync(prebuild, { throwIfNoEntry: false })?.mtimeMs ?? 0

if (process.platform !== 'linux') {
  console.log('dmabuf: the addon is for Linux; nothing to build here')
} else if (built < newest(native)) {
  execFileSync('npm', ['run', 'build:native'], {
    cwd: fileURLToPath(new URL('../', native)),
    stdio: 'inherit',
  })
}

/** Time of the newest file in a folder, without build output. */
function newest(folder) {
  const times = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !(entry.isDirectory() && entry.name.startsWith('build')))
    .map((entry) => {
      if (entry.isDirectory()) return newest(new URL(`${entry.name}/`, folder))
      return statSync(new URL(entry.name, folder)).mtimeMs
    })
  return Math.max(0, ...times)
}
