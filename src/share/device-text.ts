import type { DmaConstraints } from '../dma/constraints.ts'
import { Device } from '../dma/device.ts'
import type { DeviceDescription } from '../dmabuf/attachment-host.ts'
import { parsed } from './private-body.ts'

/** A device in a message: its name, what it asks of memory (64-bit numbers in hexadecimal), and whether it is told of moves. */
export function deviceText({ deviceName, constraints, moveNotify }: DeviceDescription): string {
  const { dmaMask, segmentBoundaryMask, ...rest } = constraints
  return JSON.stringify({
    deviceName,
    constraints: { ...rest, dmaMask: hex(dmaMask), segmentBoundaryMask: hex(segmentBoundaryMask) },
    dynamic: moveNotify !== undefined,
  })
}

export interface DeviceFromText {
  readonly deviceName: string
  readonly constraints: DmaConstraints
  readonly dynamic: boolean
}

/** The device that a text describes, checked as one of this process is; `undefined` when there can be none such. */
export function deviceFrom(json: string): DeviceFromText | undefined {
  const value = parsed(json)
  const constraints = value?.['constraints']
  if (typeof constraints !== 'object' || constraints === null) return undefined
  const { dmaMask, segmentBoundaryMask, minSegmentSize, maxSegmentSize, maxSegments } = constraints as Record<
    string,
    unknown
  >
  try {
    const device = new Device(value?.['deviceName'] as string, {
      dmaMask: fromHex(dmaMask),
      segmentBoundaryMask: fromHex(segmentBoundaryMask),
      minSegmentSize: minSegmentSize as number,
      maxSegmentSize: maxSegmentSize as number,
      maxSegments: maxSegments as number,
    })
    return { deviceName: device.name, constraints: device.constraints, dynamic: value?.['dynamic'] === true }
  } catch {
    return undefined
  }
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`
}

function fromHex(value: unknown): bigint {
  if (typeof value === 'string' && /^0x[0-9a-f]{1,16}$/.test(value)) return BigInt(value)
  throw new TypeError('no number in hexadecimal')
}
