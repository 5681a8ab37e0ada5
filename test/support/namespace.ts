import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** As root a mount namespace is enough; others need a user namespace with it, which not every system gives them. */
const flags = process.getuid?.() === 0 ? '-m' : '-rm'

/** Whether mounts of one's own can be made here. */
export const namespaces = spawnSync('unshare', [flags, 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0

/** An executable that is Node in a mount namespace in which these commands have been run. */
export function nodeIn(commands: string): { execPath: string } & Disposable {
  const directory = mkdtempSync(join(tmpdir(), 'dmabuf-node-'))
  const execPath = join(directory, 'node')
  const inner = `${commands} && exec ${process.execPath} "$@"`
  writeFileSync(execPath, `#!/bin/sh\nexec unshare ${flags} sh -c '${inner}' sh "$@"\n`)
  chmodSync(execPath, 0o755)
  return { execPath, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) }
}
