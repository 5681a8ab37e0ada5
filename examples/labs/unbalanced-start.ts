/** An unbalanced START: an early return leaves the bracket open, and what was stored never reaches the device. */
import { bufinfo, type DmaBuf, SystemHeap } from 'dmabuf'
import { Camera } from './lib/camera.ts'

using frame = await new SystemHeap().allocate(4096, { coherency: 'non-coherent' })
using display = await Camera.of(frame)
const open = () => bufinfo()[0]?.openBrackets

function title(buffer: DmaBuf, text: string): void {
  const cpu = buffer.beginCpuAccessSync('write')
  cpu.bytes[0] = text.length
  if (text.length < 10) return
  cpu.end()
}

function titleMended(buffer: DmaBuf, text: string): void {
  using cpu = buffer.beginCpuAccessSync('write')
  cpu.bytes[0] = text.length
  if (text.length < 10) return
}

title(frame, 'short')
console.log(`failing: the display shows ${await display.load(0)}, ${open()} bracket is open`)

titleMended(frame, 'shorter')
console.log(`mended:  the display shows ${await display.load(0)}, ${open()} is still from before`)

// prints:
// failing: the display shows 0, 1 bracket is open
// mended:  the display shows 7, 1 is still from before
