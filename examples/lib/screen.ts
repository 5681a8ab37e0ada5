import { writeFileSync } from 'node:fs'
import type { Picture } from 'dmabuf/drm'
import { checksum } from '../demo/lib/picture.ts'
import { writePng } from '../demo/lib/png.ts'
import { measureMemory } from '../demo/lib/pss.ts'

/** Says what is to be seen on a display, and writes it to a PNG if there is a file for it. */
export function look({ width, height, format, planes }: Picture, file?: string): void {
  const [pixels] = planes
  if (pixels === undefined) return
  console.log(`display: ${width}x${height} ${format.fourcc}, checksum ${checksum(pixels).toString(16)}`)
  if (file !== undefined) writeFileSync(file, writePng({ width, height, rgba: pixels }))
}

/** Says how much shared memory the processes have mapped, and how much of it there is: less, where they share pages. */
export async function count(pids: readonly number[]): Promise<void> {
  const use = await measureMemory(pids)
  if (use === undefined) return
  const mapped = use.processes.map((each) => `${each.mapped >> 10} KiB`).join(' and ')
  const there = use.processes.reduce((sum, { share }) => sum + share, 0)
  console.log(`memory: the processes map ${mapped}; there are ${Math.round(there / 1024)} KiB of it`)
}
