// Builds the addon when no binary is there or a source is newer, as make would: `npm install`, `npm pack` and
// `npm ci` all run `prepare`, and a minute of compiling each time would make people skip it.
import { execFileSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const native = new URL('./', import.meta.url)
const built = newest(new URL(`../prebuilds/${process.platform}-${process.arch}/`, import.meta.url))

if (process.platform !== 'linux') {
  console.log('dmabuf: the addon is for Linux; nothing to build here')
} else if (built < newest(native)) {
  execFileSync('npm', ['run', 'build:native'], {
    cwd: fileURLToPath(new URL('../', native)),
    stdio: 'inherit',
  })
}

/** Time of the newest file in a folder, without build output; 0 for none. */
function newest(folder) {
  let latest = 0
  for (const entry of entries(folder)) {
    if (entry.isDirectory() && entry.name.startsWith('build')) continue
    const time = entry.isDirectory()
      ? newest(new URL(`${entry.name}/`, folder))
      : statSync(new URL(entry.name, folder)).mtimeMs
    latest = Math.max(latest, time)
  }
  return latest
}

function entries(folder) {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
}
