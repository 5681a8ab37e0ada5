import { type Channel, channel } from 'node:diagnostics_channel'

/**
 * Everything that happens is published on `node:diagnostics_channel`, free when nobody listens: check
 * `hasSubscribers` before a message is made.
 */
export const diagnostics = {
  /** `{ id, name, byteLength, exporterName, role }` */
  bufferOpened: channel('dmabuf:buffer:opened'),
  /** `{ id, name, role }`; with `collected: true` when nobody closed it and the garbage collector did. */
  bufferClosed: channel('dmabuf:buffer:closed'),
  /** `{ id, name }`: the exporter's memory is given back, no holder is left. */
  bufferReleased: channel('dmabuf:buffer:released'),
  /** `{ address, byteLength }`: exported memory was taken away; it is no longer kept, nor made private at the end. */
  vmemAbandoned: channel('dmabuf:vmem:abandoned'),
  /** A `Violation` of guarded mode. */
  guardViolation: channel('dmabuf:guard:violation'),
  /** `{ id, name, access, offset, length }` */
  cpuBegin: channel('dmabuf:cpu:begin'),
  /** `{ id, name, access }` */
  cpuEnd: channel('dmabuf:cpu:end'),
  /** `{ id, name, page }`, inside a bracket */
  kmap: channel('dmabuf:cpu:kmap'),
  kunmap: channel('dmabuf:cpu:kunmap'),
  /** `{ id, name }`: for the first user of a buffer here, and after the last one */
  vmap: channel('dmabuf:cpu:vmap'),
  vunmap: channel('dmabuf:cpu:vunmap'),
  /** `{ id, name, device, kind, offset, length }`: a `DmaEngine` read or wrote. */
  dma: channel('dmabuf:dma'),
  /** `{ id, name, what, moment, ranges, dirty }` of a non-coherent buffer: cleaned, invalidated, evicted, prefetched. */
  cacheLines: channel('dmabuf:cache:lines'),
  /** `{ id, name, device, pid }`: a device was attached; the process is the importer's. */
  attached: channel('dmabuf:attachment:attached'),
  detached: channel('dmabuf:attachment:detached'),
  /** `{ id, name, device, pid, direction }` */
  mapped: channel('dmabuf:attachment:mapped'),
  unmapped: channel('dmabuf:attachment:unmapped'),
  /** `{ id, name, from, to, byteLength, milliseconds }`: generations, and how long no bracket could be entered. */
  bufferMoved: channel('dmabuf:buffer:moved'),
  /** `{ pid, uid, gid }` */
  holderConnected: channel('dmabuf:holder:connected'),
  /** `{ pid, uid, gid, buffers, interrupted }`: interrupted counts write brackets that it left open. */
  holderGone: channel('dmabuf:holder:gone'),
  /** `{ pid, uid, gid, what }`: a peer broke the protocol and was dropped. */
  peerDropped: channel('dmabuf:peer:dropped'),
  /** `{ peer, bytes, buffers }` */
  messageSent: channel('dmabuf:message:sent'),
  messageReceived: channel('dmabuf:message:received'),
} as const satisfies Record<string, Channel>
