/**
 * One of several processes that store into the same lines and clean them, over the file with descriptor 3. Each has bytes of its
 * own in every line. Leaves with 1 when a store is gone from the cache, or was cleaned and is not in memory.
 */
import { randomInt } from 'node:crypto'
import { cacheLayout, cacheMemory } from '../../src/memory/cache/layout.ts'
import { NativeLines } from '../../src/memory/native-lines.ts'
import { MapKind } from '../../src/native/addon.ts'
import { addon } from '../../src/native/load.ts'

export interface Cleaning {
  readonly side: number
  readonly sides: number
  readonly rounds: number
  readonly byteLength: number
  readonly lineSize: number
  /** Looks at what its own stores have become. */
  readonly checks: boolean
}

const order = JSON.parse(process.argv[2] ?? '{}') as Cleaning
const { side, sides, rounds, byteLength, lineSize, checks } = order
const native = addon()
const layout = cacheLayout(byteLength, lineSize, native.pageSize)
const file = native.map(3, 0, layout.total + native.pageSize, MapKind.shared)
if (typeof file === 'number') throw new Error(`map: ${file}`)
const view = file.view() as ArrayBuffer
const memory = cacheMemory(view, layout)
const lines = new NativeLines(memory, file, 'shared')
const stored = new Uint8Array(byteLength)
const own = (line: number) => line * lineSize + side + sides * randomInt(lineSize / sides)

function problemIn(what: Uint8Array, first: number, last: number): string | undefined {
  for (let at = first * lineSize + side; at < last * lineSize; at += sides) {
    const found = what[at]
    if (found !== stored[at]) return `byte ${at} was ${found}, and ${stored[at]} was stored`
  }
  return undefined
}

function round(): string | undefined {
  const first = randomInt(layout.lines)
  const last = Math.min(layout.lines, first + 1 + randomInt(24))
  for (let stores = 0; stores < 8; stores++) {
    const at = own(first + randomInt(last - first))
    stored[at] = randomInt(256)
    memory.cache[at] = stored[at]
  }
  if (randomInt(4) === 0) {
    lines.evict(first, last)
    const lost = checks ? problemIn(memory.cache, first, last) : undefined
    return lost === undefined ? undefined : `evicted: ${lost}`
  }
  lines.clean(first, last)
  const old = checks ? problemIn(memory.memory, first, last) : undefined
  return old === undefined ? undefined : `cleaned: ${old}`
}

// All at once, however long each took to start.
const ready = new Int32Array(view, layout.total, 1)
Atomics.add(ready, 0, 1)
while (Atomics.load(ready, 0) < sides) {}
for (let done = 0; done < rounds; done++) {
  const wrong = round()
  if (wrong === undefined) continue
  console.error(`round ${done} of side ${side}: ${wrong}`)
  process.exit(1)
}
