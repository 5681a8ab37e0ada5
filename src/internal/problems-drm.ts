import type { Problem } from './problem.ts'

/** Errors of DRM devices and their clients. */
export const drmProblems = {
  dumbSize: {
    code: 'EINVAL',
    text: 'a dumb buffer of {width} by {height} pixels with {bpp} bits each is too large',
    cause: 'Pitch and size are 32 bits wide in DRM_IOCTL_MODE_CREATE_DUMB.',
    remedy: 'Check the three numbers; allocate several buffers.',
  },
  videoMemory: {
    code: 'ENOMEM',
    text: 'no room for {bytes} bytes in the {limit} bytes of video memory, of which {used} are in use',
    cause: 'The buffer is larger than that memory, or everything in it is mapped, pinned, open or fixed.',
    remedy: 'Unmap tables and end brackets, show fewer buffers at a time, or give the device more memory.',
  },
  closedDrm: {
    code: 'EBADF',
    text: 'this {what} of {device} is closed',
    cause: 'close() was called on it, or on the device.',
    remedy: 'Open another client: device.open().',
  },
  closedDrmDevice: {
    code: 'ENODEV',
    text: 'device {device} is closed',
    cause: 'close() was called.',
    remedy: 'Make another DrmDevice.',
  },
  renderNode: {
    code: 'EACCES',
    text: '{what} is not for clients of the render node of {device}',
    cause: 'Dumb buffers and framebuffers are for the display; a render node is for everything else.',
    remedy: "Open the device without { node: 'render' }.",
  },
  noHandle: {
    code: 'errno',
    text: 'handle {handle} stands for nothing in this client of {device}',
    cause:
      'Handles are private to the client that got them, and gone with closeHandle, destroyDumb and close.',
    remedy: 'Use a handle that createDumb or fdToHandle of this client returned.',
  },
  notImported: {
    code: 'ENOENT',
    text: 'buffer {name} is not imported into this client of {device}',
    cause: 'A framebuffer is made of GEM objects.',
    remedy: 'Import it first: await client.fdToHandle(buffer).',
  },
  mapImported: {
    code: 'EINVAL',
    text: 'handle {handle} of {device} is an imported buffer, which cannot be mapped as a dumb buffer',
    cause: "That memory is mapped by its exporter's rules.",
    remedy: 'Look at it through its DmaBuf: beginCpuAccess().',
  },
  mapOffset: {
    code: 'errno',
    text: '{device} has nothing at offset {offset} that could be mapped: {why}',
    cause:
      'Mapping a DRM device takes the offset that mapDumb told, of a buffer that this client has a handle for.',
    remedy: 'Use the `offset` of mapDumb(handle), and a length of at most the size of the buffer.',
  },
  exportedReadOnly: {
    code: 'EACCES',
    text: 'buffer {name} was exported for reading and cannot be opened for {access}',
    cause:
      'The first handleToFd of a handle decides for good, and without { access } it is read-only, as without DRM_RDWR.',
    remedy: "Export with handleToFd(handle, { access: 'read-write' }) from the first time on.",
  },
  noFramebuffer: {
    code: 'ENOENT',
    text: 'framebuffer {id} is none of this client of {device}',
    cause: 'It was removed, or another client added it.',
    remedy: 'Add it with addFramebuffer() of this client.',
  },
} as const satisfies Record<string, Problem>
