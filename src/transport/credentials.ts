import { Meta } from '../native/addon.ts'
import { addon } from '../native/load.ts'

/** Who is at the other end, in the kernel's own words. */
export interface Credentials {
  /** 0 when the peer lives in another pid namespace: for display, never for a decision. */
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/** Who called connect() or socketpair(): for an inherited pair that is the parent, until the hello says better. */
export function socketCredentials(fd: number): Credentials {
  const native = addon()
  return native.peerCredentials(fd) < 0 ? { pid: 0, uid: -1, gid: -1 } : fromMeta(native.scratch.meta)
}

/** The credentials that came with the last packet, if it had some. */
export function packetCredentials(): Credentials | undefined {
  const { meta } = addon().scratch
  return meta[Meta.hasCredentials] === 1 ? fromMeta(meta) : undefined
}

function fromMeta(meta: Int32Array): Credentials {
  return { pid: meta[Meta.pid] ?? 0, uid: (meta[Meta.uid] ?? 0) >>> 0, gid: (meta[Meta.gid] ?? 0) >>> 0 }
}
