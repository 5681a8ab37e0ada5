/** One plane of a pixel format: how many bytes show how many pixels of it. */
export interface PlaneFormat {
  /** Bytes of one block; 0 where only a modifier tells (the format has no linear layout). */
  readonly bytesPerBlock: number
  /** Pixels that one block shows; 1 by 1 but for packed formats. */
  readonly blockWidth: number
  readonly blockHeight: number
}

/** What the kernel knows of a pixel format: `struct drm_format_info` (drivers/gpu/drm/drm_fourcc.c). */
export interface PixelFormat {
  /** Four characters, as in include/uapi/drm/drm_fourcc.h. */
  readonly fourcc: string
  /** The same as a number, as ioctls and other programs pass it. */
  readonly code: number
  /** Bits of colour of a pixel, where the old interface by depth and bits per pixel knows the format; else 0. */
  readonly depth: number
  readonly alpha: boolean
  readonly yuv: boolean
  /** Pixels of the image across (down) for one of the planes after the first. */
  readonly horizontalSubsampling: number
  readonly verticalSubsampling: number
  readonly planes: readonly PlaneFormat[]
}

/** What several formats have in common. */
interface Kind {
  /** Of each plane: bytes of a block; blocks of more than one pixel as [bytes, width, height]. */
  readonly planes: readonly (number | readonly [bytes: number, width: number, height: number])[]
  readonly depth?: number
  readonly alpha?: true
  /** Subsampling of a YUV format, across and down; none for RGB. */
  readonly yuv?: readonly [across: number, down: number]
}

/** Names of less than four characters are filled up with blanks. */
export function fourccCode(fourcc: string): number {
  let code = 0
  for (let i = 0; i < 4; i++) code |= (i < fourcc.length ? fourcc.charCodeAt(i) : 0x20) << (8 * i)
  return code >>> 0
}

const formats = new Map<number, PixelFormat>()

function add(names: string, kind: Kind): void {
  const [horizontalSubsampling, verticalSubsampling] = kind.yuv ?? [1, 1]
  const planes = kind.planes.map((plane) => {
    const [bytesPerBlock, blockWidth, blockHeight] = typeof plane === 'number' ? [plane, 1, 1] : plane
    return Object.freeze({ bytesPerBlock, blockWidth, blockHeight })
  })
  for (const name of names.split(' ')) {
    const code = fourccCode(name)
    const format: PixelFormat = {
      fourcc: name.padEnd(4),
      code,
      depth: kind.depth ?? 0,
      alpha: kind.alpha ?? false,
      yuv: kind.yuv !== undefined,
      horizontalSubsampling,
      verticalSubsampling,
      planes: Object.freeze(planes),
    }
    formats.set(code, Object.freeze(format))
  }
}

// One channel, several pixels to a byte, or palettes.
add('C1 D1 R1', { planes: [[1, 8, 1]], depth: 1 })
add('C2 D2 R2', { planes: [[1, 4, 1]], depth: 2 })
add('C4 D4 R4', { planes: [[1, 2, 1]], depth: 4 })
add('C8 D8 R8 RGB8 BGR8', { planes: [1], depth: 8 })
add('R10', { planes: [2], depth: 10 })
add('R12', { planes: [2], depth: 12 })

// RGB in one plane.
add('XR12 XB12 RX12 BX12', { planes: [2] })
add('AR12 AB12 RA12 BA12', { planes: [2], alpha: true })
add('XR15 XB15 RX15 BX15', { planes: [2], depth: 15 })
add('AR15 AB15 RA15 BA15', { planes: [2], depth: 15, alpha: true })
add('RG16 BG16', { planes: [2], depth: 16 })
add('RG24 BG24', { planes: [3], depth: 24 })
add('XR24 XB24 RX24 BX24', { planes: [4], depth: 24 })
add('AR24 AB24 RA24 BA24', { planes: [4], depth: 32, alpha: true })
add('XR30 XB30 RX30 BX30', { planes: [4], depth: 30 })
add('AR30 AB30 RA30 BA30', { planes: [4], depth: 30, alpha: true })
add('RG48 BG48', { planes: [6] })
add('XR48 XB48 XR4H XB4H', { planes: [8] })
add('AR48 AB48 AR4H AB4H AB10', { planes: [8], alpha: true })

// RGB with its alpha in a plane of its own.
add('R5A8 B5A8', { planes: [2, 1], depth: 24, alpha: true })
add('R8A8 B8A8', { planes: [3, 1], depth: 32, alpha: true })
add('XRA8 XBA8 RXA8 BXA8', { planes: [4, 1], depth: 32, alpha: true })

// YUV in one plane.
add('YUYV YVYU UYVY VYUY', { planes: [2], yuv: [2, 1] })
add('Y210 Y212 Y216', { planes: [4], yuv: [2, 1] })
add('XYUV XV30', { planes: [4], yuv: [1, 1] })
add('AYUV Y410', { planes: [4], yuv: [1, 1], alpha: true })
add('VU24', { planes: [3], yuv: [1, 1] })
add('Y412 Y416', { planes: [8], yuv: [1, 1], alpha: true })
add('XV36 XV48', { planes: [8], yuv: [1, 1] })
add('Y0L0 Y0L2', { planes: [[8, 2, 2]], yuv: [2, 2], alpha: true })
add('X0L0 X0L2', { planes: [[8, 2, 2]], yuv: [2, 2] })
add('VU30', { planes: [0], yuv: [1, 1] })
add('YU08 YU10', { planes: [0], yuv: [2, 2] })

// YUV in two planes: luma, then both chroma channels together.
add('NV12 NV21', { planes: [1, 2], yuv: [2, 2] })
add('NV16 NV61', { planes: [1, 2], yuv: [2, 1] })
add('NV24 NV42', { planes: [1, 2], yuv: [1, 1] })
add('P010 P012 P016', { planes: [2, 4], yuv: [2, 2] })
add('P210', { planes: [2, 4], yuv: [2, 1] })
const packed10: Kind['planes'] = [
  [5, 4, 1],
  [5, 2, 1],
]
add('NV15', { planes: packed10, yuv: [2, 2] })
add('NV20', { planes: packed10, yuv: [2, 1] })
add('NV30', { planes: packed10, yuv: [1, 1] })
const packed10In32: Kind['planes'] = [
  [4, 3, 1],
  [8, 3, 1],
]
add('P030', { planes: packed10In32, yuv: [2, 2] })

// YUV in three planes.
add('YUV9 YVU9', { planes: [1, 1, 1], yuv: [4, 4] })
add('YU11 YV11', { planes: [1, 1, 1], yuv: [4, 1] })
add('YU12 YV12', { planes: [1, 1, 1], yuv: [2, 2] })
add('YU16 YV16', { planes: [1, 1, 1], yuv: [2, 1] })
add('YU24 YV24', { planes: [1, 1, 1], yuv: [1, 1] })
add('Q410 Q401', { planes: [2, 2, 2], yuv: [1, 1] })

/** Every format that this library knows, by number. */
export const pixelFormats: ReadonlyMap<number, PixelFormat> = formats
