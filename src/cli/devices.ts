import { accessSync, constants, readdirSync } from 'node:fs'
import type { Finding } from './findings.ts'

interface DeviceKind {
  readonly what: string
  readonly directory: string
  readonly pattern: RegExp
  readonly means: string
}

const kinds: readonly DeviceKind[] = [
  {
    what: 'dma-buf heaps',
    directory: '/dev/dma_heap',
    pattern: /./,
    means: 'allocate memory that devices can use',
  },
  {
    what: 'udmabuf',
    directory: '/dev',
    pattern: /^udmabuf$/,
    means: 'makes a real dma-buf of a memfd, for a device',
  },
  {
    what: 'graphics',
    directory: '/dev/dri',
    pattern: /^(card|renderD)\d+$/,
    means: 'exports and imports dma-bufs (DRM PRIME)',
  },
  {
    what: 'video',
    directory: '/dev',
    pattern: /^video\d+$/,
    means: 'cameras and codecs, exporting dma-bufs (VIDIOC_EXPBUF)',
  },
]

/** Which devices are here whose dma-bufs `DmaBuf.fromFd` takes. None of them is needed. */
export function findDevices(): Finding[] {
  return kinds.map(({ what, directory, pattern, means }) => {
    const found = entries(directory)
      .filter((name) => pattern.test(name))
      .sort()
      .map((name) => describe(`${directory}/${name}`))
    if (found.length === 0) return { what, state: 'none', found: 'no such device', means }
    return { what, state: 'ok', found: found.join(', '), means }
  })
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function describe(path: string): string {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return path
  } catch {
    return `${path} (no permission)`
  }
}
