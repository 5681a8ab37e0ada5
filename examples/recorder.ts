/**
 * A camera is shown live; in mid-stream somebody presses "record", and an encoder joins that needs contiguous memory
 * below 4 GiB. Three ways to cope with it: new buffers, attaching everybody beforehand, moving what is there.
 */
import { type AllocateOptions, bufinfo, type DmaBuf, DmaBufError, SystemHeap } from 'dmabuf'
import { type Attachment, Device, DmaEngine } from 'dmabuf/dma'

const FRAME = 1920 * 1080 * 2
const FRAMES = 12
const RECORD_FROM = 6

const camera = new Device('camera')
const display = new Device('display')
const encoder = new Device('encoder', { dmaMask: 0xffff_ffffn, maxSegments: 1 })
const heap = new SystemHeap()

type Policy = 'new buffers' | 'attach early' | 'migrate'

/** A buffer of the stream and the devices that are attached to it. */
interface Slot {
  readonly buffer: DmaBuf
  readonly attachments: Map<Device, Attachment>
}

async function newSlot(options: AllocateOptions, devices: Device[]): Promise<Slot> {
  const buffer = await heap.allocate(FRAME, { name: 'frame', movable: true, ...options })
  const slot = { buffer, attachments: new Map() }
  for (const device of devices) await attach(slot, device)
  return slot
}

async function attach({ buffer, attachments }: Slot, device: Device): Promise<void> {
  if (!attachments.has(device)) attachments.set(device, await buffer.attach(device))
}

function closeSlot({ buffer, attachments }: Slot): void {
  for (const attachment of attachments.values()) attachment.detach()
  buffer.close()
}

/** What a device makes of a frame: it writes `value` everywhere, or reads the last byte. */
async function use({ attachments }: Slot, device: Device, value?: number): Promise<number> {
  const direction = value === undefined ? 'to-device' : 'from-device'
  const table = await attachments.get(device)!.map(direction)
  const engine = new DmaEngine(device)
  if (value !== undefined) await engine.fill(table, 0, FRAME, value)
  const last = value ?? (await engine.read(table, FRAME - 1, 1))[0] ?? 0
  table.unmap()
  return last
}

async function record(policy: Policy): Promise<void> {
  const early = policy === 'attach early' ? [camera, display, encoder] : [camera, display]
  const options = { lateAttach: policy === 'new buffers' ? 'busy' : 'migrate' } as const
  let slots = await Promise.all([0, 1, 2].map(() => newSlot(options, early)))
  let allocated = slots.length
  let recorded = 0
  for (let frame = 0; frame < FRAMES; frame++) {
    if (frame === RECORD_FROM) {
      try {
        for (const slot of slots) await attach(slot, encoder)
      } catch (error) {
        if (!(error instanceof DmaBufError) || error.code !== 'EBUSY') throw error
        for (const slot of slots) closeSlot(slot)
        slots = await Promise.all([0, 1, 2].map(() => newSlot(options, [camera, display, encoder])))
        allocated += slots.length
      }
    }
    const slot = slots[frame % slots.length]!
    await use(slot, camera, frame)
    const shown = await use(slot, display)
    if (shown !== frame) throw new Error(`frame ${frame} shows ${shown}`)
    if (frame >= RECORD_FROM && (await use(slot, encoder)) === frame) recorded++
  }
  const moves = bufinfo().reduce((sum, { moves }) => sum + moves.moves, 0)
  console.log(
    `${policy}: ${FRAMES} frames shown, ${recorded} recorded; ${allocated} buffers, ${moves} moves, ${moves * FRAME} bytes copied`,
  )
  for (const slot of slots) closeSlot(slot)
}

for (const policy of ['new buffers', 'attach early', 'migrate'] as const) await record(policy)
