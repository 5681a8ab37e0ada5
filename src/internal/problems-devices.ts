import type { Problem } from './problem.ts'

/** Errors of devices: attachments, sg tables, physical memory, and where buffers lie. */
export const deviceProblems = {
  constraint: {
    code: 'errno',
    text: '{device} cannot use {what}: {rule} needs {needed}, got {got}',
    cause: 'Memory does not suit the DMA constraints of a device, and may not be moved to where it would.',
    remedy:
      'Attach every device before the first use, allocate with { movable: true }, or take memory that suits (a contiguous heap).',
  },
  noPages: {
    code: 'ENOMEM',
    text: 'no physical memory for {bytes} bytes ({rule}): needed {needed}, got {got}',
    cause:
      'The simulated physical memory has no free pages (or no free run of them) where the constraints want them.',
    remedy: 'Free buffers, make the contiguous area larger, or use less constrained devices.',
  },
  fragmented: {
    code: 'EBUSY',
    text: 'the {zone} memory is fragmented already',
    cause: 'fragment() was called before, and what it returned is not disposed.',
    remedy: 'Dispose the first fragmentation; `using` does it at the end of the block.',
  },
  closedAttachment: {
    code: 'EBADF',
    text: 'the attachment of {device} to buffer {name} is detached',
    cause: 'It was detached, its buffer closed, or its holder is gone.',
    remedy: 'Attach again.',
  },
  requests: {
    code: 'ENOBUFS',
    text: '{count} {what} of this process are with the exporter of buffer {name} already',
    cause:
      'An exporter works on a bounded number of requests, and keeps a bounded number of attachments, for each holder.',
    remedy: 'Await calls before making more; detach devices that are done.',
  },
  remoteFailure: {
    code: 'EREMOTEIO',
    text: 'the exporter of buffer {name} failed: {message}',
    cause: "The exporter's own code threw something in its process that was no error of this library.",
    remedy: 'Look at the exporting process; its ops should throw errors with a code.',
  },
  notDynamic: {
    code: 'EINVAL',
    text: '{device} is attached to buffer {name} without moveNotify and cannot {what} it',
    cause: 'Pinning is for dynamic importers: the others hold a buffer in place by mapping it.',
    remedy: 'Attach with { moveNotify }, or map.',
  },
  closedTable: {
    code: 'EBADF',
    text: 'this sg table of {device} is unmapped',
    cause: 'unmap() was called, the `using` block of the table has ended, or its attachment was detached.',
    remedy: 'Map again: the addresses of an old table may belong to other memory by now.',
  },
  stale: {
    code: 'ESTALE',
    text: 'the table of buffer {name} is stale: the buffer has moved, or is moving',
    cause: 'A dynamic importer does not hold its buffer in its place; it was told by moveNotify.',
    remedy: 'Unmap the table and map again.',
  },
  dmaFault: {
    code: 'EFAULT',
    text: '{device} faults at its {kind} of {address} ({segment}): {why}',
    cause:
      'A device touched an address that its sg table does not give it. Hardware would report a bus error or an IOMMU fault, or use memory of others.',
    remedy:
      'Map the buffer for this device and for the direction that it needs, and keep to the entries of that table.',
  },
  iovaSpace: {
    code: 'ENOSPC',
    text: 'the IOMMU of {device} has no IOVA space for {bytes} bytes: {longest} bytes are free in one piece up to {mask}',
    cause:
      'Everything mapped behind an IOMMU shares its aperture, of which each device reaches only what its mask allows.',
    remedy: 'Unmap tables that are no longer used, or give the Iommu a larger aperture.',
  },
  pageTables: {
    code: 'ENOSPC',
    text: 'the IOMMU of {device} has no page tables for {bytes} bytes: {needed} more are needed, {free} of {limit} are free',
    cause: 'The page tables of the IOMMU are bounded (pageTablePages), and mapped buffers take them up.',
    remedy: 'Unmap tables that are no longer used, or give the Iommu more pageTablePages.',
  },
  moving: {
    code: 'EAGAIN',
    text: 'buffer {name} cannot be entered at once: {why}',
    cause: 'Its storage is being moved or has not been allocated yet, and a call that never waits was used.',
    remedy: 'Use the form that returns a promise.',
  },
  moveTimeout: {
    code: 'EBUSY',
    text: 'buffer {name} could not be moved within {milliseconds} ms: {who}',
    cause: 'Somebody is inside a bracket, has the buffer mapped for a device, or does not read its messages.',
    remedy: 'End brackets and unmap tables soon; give more moveTimeout; or allocate with { evict: true }.',
  },
  lateAttach: {
    code: 'EBUSY',
    text: '{device} attaches too late to buffer {name}, which was placed already: {rule} needs {needed}, got {got}',
    cause: "The exporter's policy is lateAttach: 'busy'.",
    remedy: 'Attach every device before the first map or CPU access, or make a new buffer.',
  },
  evicted: {
    code: 'ERR_DMABUF_EVICTED',
    text: 'buffer {name} was moved without this holder, which did not leave its bracket in time',
    cause: 'The exporter moved it with { evict: true }; the memory here is the old one, cut off.',
    remedy: 'Receive the buffer again; keep brackets short.',
  },
  notFixed: {
    code: 'EBUSY',
    text: 'buffer {name} may still move, so that it has no descriptor to show',
    cause: 'The storage of a placed buffer changes when it moves.',
    remedy: 'Call `await buffer.fix()` first; it does not move from then on.',
  },
  stays: {
    code: 'EBUSY',
    text: 'buffer {name} was fixed and cannot be moved',
    cause:
      'Somebody has its descriptor, or is a plain peer that was sent it: they would go on with the old memory.',
    remedy: 'Move a buffer before it is fixed, or close it and use another one.',
  },
  exporterGone: {
    code: 'ENODEV',
    text: 'the exporter of buffer {name} is gone',
    cause: 'Its process ended or its connection broke; only it could have done this.',
    remedy: 'Memory and brackets go on working here; get a new buffer for everything else.',
  },
} as const satisfies Record<string, Problem>
