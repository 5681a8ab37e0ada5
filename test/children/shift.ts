import type { PageSource } from '../../src/dma/page-source.ts'
import { PhysicalMemory } from '../../src/dma.ts'
import { coreOf, type DmaBuf } from '../../src/dmabuf/dmabuf.ts'
import { Placement } from '../../src/dmabuf/placement.ts'

const source = (memory: PhysicalMemory): PageSource => ({
  allocate: (bytes, constraints) => memory.allocate(bytes, { constraints }),
})
const places = [source(new PhysicalMemory()), source(new PhysicalMemory())] as const

/** Makes a placed buffer of this process move, once. */
export async function shift(buffer: DmaBuf): Promise<void> {
  const { host } = coreOf(buffer)
  if (!(host instanceof Placement)) throw new Error('it is no placed buffer of this process')
  await host.moveTo(host.source === places[0] ? places[1] : places[0])
}
