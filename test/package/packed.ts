import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Manifest {
  readonly scripts?: Readonly<Record<string, string>>
  readonly dmabuf?: { readonly glibcFloor?: string }
}

export async function manifestOf(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest
}

/** What a user gets: the package, packed and installed from its tarball in an empty project. */
export interface Installed {
  /** The user's project. */
  readonly project: string
  /** `node_modules/dmabuf` in it. */
  readonly folder: string
  readonly tarball: string
  /** Paths in the tarball. */
  readonly files: readonly string[]
  /** Runs Node in the user's project. */
  node(...args: string[]): Promise<{ readonly stdout: string; readonly stderr: string }>
  remove(): Promise<void>
}

export async function packAndInstall(): Promise<Installed> {
  const project = await mkdtemp(join(tmpdir(), 'dmabuf-package-'))
  const npm = (cwd: string, ...args: string[]) => run('npm', args, { cwd, env: cleanEnvironment() })
  const packed = await npm(
    root,
    'pack',
    '--json',
    '--foreground-scripts=false',
    '--pack-destination',
    project,
  )
  const [summary] = JSON.parse(packed.stdout) as [{ filename: string; files: { path: string }[] }]
  const tarball = join(project, summary.filename)
  await writeFile(join(project, 'package.json'), '{ "private": true }')
  // As npm 12 does for everybody: the package must need no script.
  await npm(project, 'install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball)
  return {
    project,
    folder: join(project, 'node_modules/dmabuf'),
    tarball,
    files: summary.files.map(({ path }) => path),
    node: (...args) => run(process.execPath, args, { cwd: project, env: cleanEnvironment() }),
    remove: () => rm(project, { recursive: true }),
  }
}

/** Without what the test runner and an outer npm put there, which no user has. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(npm_(package|lifecycle|config_(local_prefix|prefix))|VITEST|NODE_OPTIONS|DMABUF_|INIT_CWD)/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)))
}
