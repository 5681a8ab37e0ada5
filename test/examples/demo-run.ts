import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { frameBytes, type Size } from '../../examples/demo/lib/picture.ts'
import { drawTestCard } from '../../examples/demo/lib/test-card.ts'

const root = resolve(import.meta.dirname, '../..')

export type Result = { status: number | null; signal: string | null; out: string; err: string }

/** The demo as a user starts it, but as the leader of a process group of its own. */
export class DemoRun {
  /** For the demo's sockets, because a demo that is killed leaves their folder. */
  readonly #tmp = mkdtempSync(join(tmpdir(), 'demo-sockets-'))
  readonly #child: ChildProcess
  readonly #end: Promise<unknown[]>
  #out = ''
  #err = ''

  constructor(args: string[]) {
    this.#child = spawn(process.execPath, ['--import', 'tsx', join(root, 'examples/demo/main.ts'), ...args], {
      cwd: root,
      env: { ...process.env, TMPDIR: this.#tmp },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child.stdout?.on('data', (chunk) => {
      this.#out += chunk
    })
    this.#child.stderr?.on('data', (chunk) => {
      this.#err += chunk
    })
    this.#end = once(this.#child, 'close')
  }

  get pid(): number {
    return this.#child.pid!
  }

  async result(): Promise<Result> {
    const [status, signal] = (await this.#end) as [number | null, string | null]
    return { status, signal, out: this.#out, err: this.#err }
  }

  /** Waits for a progress line that counts frames. */
  async playing(): Promise<void> {
    const ended = this.#end.then(() => true)
    while (!/^frame [1-9]/m.test(this.#out)) {
      const over = await Promise.race([
        ended,
        new Promise<false>((resolve) => setTimeout(resolve, 50, false)),
      ])
      if (over) throw new Error(`the demo ended before it played:\n${this.#out}${this.#err}`)
    }
  }

  /** Every process of the demo's group that is still there. */
  leftovers(): string[] {
    return processes().flatMap(({ pid, group, command }) => (group === this.pid ? [`${pid} ${command}`] : []))
  }

  stage(name: string): number {
    const found = processes().find(
      ({ group, command }) => group === this.pid && command.includes(`demo/${name}.ts`),
    )
    if (!found) throw new Error(`no ${name} process`)
    return found.pid
  }

  /** Ends a run that its test did not end, and tidies up. */
  end(): void {
    rmSync(this.#tmp, { recursive: true })
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      // All gone already.
    }
  }
}

function processes(): { pid: number; group: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'latin1')
        // Behind the command's name, which may hold anything: state, parent, group.
        const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        if (state === 'Z') return []
        const command = readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ')
        return [{ pid: Number(name), group: Number(group), command }]
      } catch {
        return []
      }
    })
}

/** A walk of single steps between two walls: the lens's path, found in another way than the demo does. */
function walk(steps: number, end: number): number {
  let [place, direction] = [0, 1]
  for (let step = 0; step < steps && end > 0; step++) {
    place += direction
    if (place === 0 || place === end) direction = -direction
  }
  return place
}

/** What the filter must make of `rgba`, asked for every single pixel. */
export function expectedLens(rgba: Uint8Array, { width, height }: Size, frame: number): Uint8Array {
  const least = Math.min(width, height)
  const radius = Math.max(1, Math.floor(least / 5))
  const rim = Math.max(1, Math.floor(radius / 24))
  const steps = frame * Math.max(1, Math.floor(least / 90))
  const [x, y] = [radius + walk(steps, width - 1 - 2 * radius), radius + walk(steps, height - 1 - 2 * radius)]
  return rgba.map((value, at) => {
    if (at % 4 === 3) return value
    const pixel = Math.floor(at / 4)
    const away = Math.hypot((pixel % width) - x, Math.floor(pixel / width) - y)
    if (away > radius + 1e-9) return value
    return away > radius - rim + 1e-9 ? 255 : 255 - value
  })
}

export function expectedCard(size: Size, frame: number): Uint8Array {
  const rgba = new Uint8Array(frameBytes(size))
  drawTestCard(rgba, size, frame)
  return expectedLens(rgba, size, frame)
}

/** Frames, frames/s, copied and file data of one stage, as the summary prints them. */
export function stageRow(out: string, stage: string): string[] {
  const row = out.split('\n').find((line) => line.startsWith(`${stage} `))
  if (!row) throw new Error(`no row for ${stage} in:\n${out}`)
  return row.trim().split(/ {3,}/).slice(1)
}
