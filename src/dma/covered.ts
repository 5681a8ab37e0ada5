import { type DmaBufError, problem } from '../internal/errors.ts'
import { hex } from './address.ts'
import type { Refusal } from './constraints.ts'
import type { Device } from './device.ts'
import { lastAtOrBelow } from './iova-space.ts'
import type { SgEntry, SgTable } from './sg-table.ts'

/** Bytes [offset, offset + length) of a buffer. */
export interface Span {
  readonly offset: number
  readonly length: number
}

/** What a device is about to do, through which table. */
export interface DeviceAccess {
  readonly device: Device
  readonly kind: 'read' | 'write'
  readonly table: SgTable
}

/** An entry with its place in the table and in the buffer. */
interface Located {
  readonly index: number
  readonly address: number
  readonly length: number
  /** Of its first byte in the buffer. */
  readonly offset: number
}

/** Entries by address, made when addresses are first used. */
const byAddress = new WeakMap<SgTable, readonly Located[]>()

/** The span of a transfer by offset; throws a fault where the device may not do it. None for no bytes. */
export function coveredFrom(access: DeviceAccess, offset: number, length: number): Span[] {
  const entries = permitted(access)
  const end = offset + length
  let covered = 0
  for (const [index, entry] of entries.entries()) {
    const from = Math.max(offset - covered, 0)
    const to = Math.min(end - covered, entry.length)
    if (from < to) reach(access, index, entry.dmaAddress + BigInt(from), to - from)
    covered += entry.length
  }
  if (length > 0 && end > covered) {
    const last = entries.at(-1)
    const address = last === undefined ? 0n : last.dmaAddress + BigInt(last.length)
    throw fault(access, address, `after the last of ${entries.length} segments`, 'the table ends there', {
      rule: 'size',
      needed: `${end} bytes`,
      got: `${covered} bytes`,
    })
  }
  return length === 0 ? [] : [{ offset, length }]
}

/** The spans of a transfer by address, in order of address; throws a fault where the device may not do it. */
export function coveredAt(access: DeviceAccess, dmaAddress: bigint, length: number): Span[] {
  permitted(access)
  const located = entriesByAddress(access.table)
  const spans: Span[] = []
  const end = dmaAddress + BigInt(length)
  let address = dmaAddress
  let at = lastAtOrBelow(located, Number(dmaAddress), (entry) => entry.address)
  for (; address < end; at++) {
    const entry = located[at]
    const from = entry === undefined ? -1 : Number(address) - entry.address
    if (entry === undefined || from < 0 || from >= entry.length) {
      throw fault(access, address, 'in no segment', `none of the ${located.length} entries has that address`)
    }
    const count = Math.min(Number(end - address), entry.length - from)
    reach(access, entry.index, address, count)
    spans.push({ offset: entry.offset + from, length: count })
    address += BigInt(count)
  }
  return spans
}

/** The entries, when the device may use this table in this way at all. */
function permitted(access: DeviceAccess): SgEntry[] {
  const { device, kind, table } = access
  const entries = [...table]
  const first = entries[0]?.dmaAddress ?? 0n
  const where = `segment 0 of ${entries.length}`
  if (!table.device.isPartOf(device)) {
    throw fault(
      access,
      first,
      where,
      `the table belongs to ${table.device.name}, and addresses to their table`,
    )
  }
  if (table.device.iommu !== device.iommu) {
    throw fault(access, first, where, `${table.device.name} stands behind another IOMMU than ${device.name}`)
  }
  const forbidden = kind === 'read' ? 'from-device' : 'to-device'
  if (table.direction === forbidden) {
    throw fault(
      access,
      first,
      where,
      `the table is mapped '${forbidden}', so the device may not ${kind} memory`,
    )
  }
  return entries
}

function reach(access: DeviceAccess, index: number, address: bigint, length: number): void {
  const { dmaMask } = access.device.constraints
  const last = address + BigInt(length) - 1n
  if (last <= dmaMask) return
  const beyond = address > dmaMask ? address : dmaMask + 1n
  const where = `segment ${index} of ${access.table.length}`
  throw fault(access, beyond, where, `the device reaches addresses up to ${hex(dmaMask)}`, {
    rule: 'address-range',
    needed: `addresses up to ${hex(dmaMask)}`,
    got: hex(beyond),
  })
}

function fault(
  { device, kind }: DeviceAccess,
  address: bigint,
  segment: string,
  why: string,
  refusal?: Refusal,
): DmaBufError {
  const values = { device: device.name, kind, address: hex(address), segment, why }
  return problem('dmaFault', values, refusal === undefined ? {} : { refusal })
}

function entriesByAddress(table: SgTable): readonly Located[] {
  const known = byAddress.get(table)
  if (known !== undefined) return known
  let offset = 0
  const located = Array.from(table, ({ dmaAddress, length }, index) => {
    offset += length
    return { index, address: Number(dmaAddress), length, offset: offset - length }
  }).sort((a, b) => a.address - b.address)
  byAddress.set(table, located)
  return located
}
