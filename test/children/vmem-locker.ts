/** Exports memory under whatever limit its parent has set, and says on its output what came of it. */
import { type DmaBufError, vmemexp } from '../../src/index.ts'

const memory = vmemexp.allocate(1 << 20)
new Uint8Array(memory).fill(7)
let refused: unknown
try {
  const buffer = await vmemexp.export(memory)
  buffer.close()
} catch (error) {
  const { code, message, hint, syscall } = error as DmaBufError
  refused = { code, message, hint, syscall }
}
using unlocked = await vmemexp.export(memory, { lock: false })
const sum = unlocked.withCpuAccessSync('read', (cpu) => cpu.bytes.reduce((total, byte) => total + byte, 0))
console.log(
  JSON.stringify({ refused, sum, frames: vmemexp.frames(unlocked) === undefined ? 'hidden' : 'told' }),
)
