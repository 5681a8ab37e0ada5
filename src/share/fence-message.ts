import type { Access } from '../dmabuf/access.ts'
import { addon } from '../native/load.ts'
import type { Fence } from '../sync/fence.ts'
import { FENCE_BYTES } from '../transport/packet.ts'
import { fenceOf, writeFence } from './fence-list.ts'
import { readFenceRecord } from './fence-record.ts'
import { PRIVATE_BYTES } from './private-message.ts'
import type { PrivateFreight } from './private-socket.ts'
import { rx } from './scratch-views.ts'

/** An access as the kernel's flags DMA_BUF_SYNC_READ and DMA_BUF_SYNC_WRITE have it. */
const accesses: readonly (Access | undefined)[] = [undefined, 'read', 'write', 'read-write']

export function accessNumber(access: Access): number {
  return accesses.indexOf(access)
}

export function accessOf(number: number): Access | undefined {
  return accesses[number]
}

/** A fence as the freight of a private message; the copies of its descriptors are closed when it has left. */
export function fenceFreight(fence: Fence): PrivateFreight {
  const body = new Uint8Array(FENCE_BYTES)
  const descriptors = { count: 0, owned: [] as number[] }
  const close = () => {
    for (const fd of descriptors.owned.splice(0)) addon().close(fd)
  }
  try {
    writeFence(new DataView(body.buffer), 0, { file: 0, fileName: '', fence }, descriptors)
  } catch (error) {
    close()
    throw error
  }
  const [fd, second] = descriptors.owned
  return {
    body,
    ...(fd === undefined ? {} : { fd }),
    ...(second === undefined ? {} : { second }),
    sent: close,
  }
}

/** The fence of the private message just received, or what is wrong with it. Consumes the descriptors. */
export function fenceFrom(fd: number, second: number): Fence | string {
  const rest = [fd, second].filter((each) => each >= 0)
  const fence = fenceOf(readFenceRecord(rx(), PRIVATE_BYTES), () => rest.shift() ?? -1)
  if (rest.length > 0) {
    addon().closeLater(rest)
    return 'descriptors that belong to no fence'
  }
  return fence
}
