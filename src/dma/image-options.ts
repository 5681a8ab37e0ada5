import { bigInteger, integer, list, options, text } from '../internal/validate.ts'

/** What a device can do with images; a driver refuses others when it is given a framebuffer or a format. */
export interface ImageOptions {
  /** Bytes that strides are multiples of; 1. */
  readonly strideAlignment?: number
  /** Rows that the device reads or writes at a time: a plane must have room for whole groups of them; 1. */
  readonly heightAlignment?: number
  /** Bytes. */
  readonly minStride?: number
  readonly maxStride?: number
  /** Format modifiers as in drm_fourcc.h; only linear (0n) when left out. */
  readonly modifiers?: readonly bigint[]
  /** Formats by their four characters; any when left out. */
  readonly formats?: readonly string[]
}

/** {@link ImageOptions} with nothing left open. */
export interface ImageRules {
  readonly strideAlignment: number
  readonly heightAlignment: number
  readonly minStride: number
  readonly maxStride: number
  readonly modifiers: readonly bigint[]
  /** Any format when `undefined`. */
  readonly formats: readonly string[] | undefined
}

export const anyLinearImage: ImageRules = Object.freeze({
  strideAlignment: 1,
  heightAlignment: 1,
  minStride: 0,
  maxStride: Number.MAX_SAFE_INTEGER,
  modifiers: Object.freeze([0n]),
  formats: undefined,
})

/** What the options do not say is taken from `inherited`. */
export function imageRules(imageOptions: ImageOptions | undefined, inherited: ImageRules): ImageRules {
  const opts = options('Device image', imageOptions, [
    ...(['strideAlignment', 'heightAlignment', 'minStride', 'maxStride'] as const),
    ...(['modifiers', 'formats'] as const),
  ])
  const minStride = integer('minStride', opts.minStride ?? inherited.minStride, 0)
  return Object.freeze({
    strideAlignment: integer('strideAlignment', opts.strideAlignment ?? inherited.strideAlignment, 1),
    heightAlignment: integer('heightAlignment', opts.heightAlignment ?? inherited.heightAlignment, 1),
    minStride,
    maxStride: integer('maxStride', opts.maxStride ?? inherited.maxStride, minStride),
    modifiers:
      opts.modifiers === undefined
        ? inherited.modifiers
        : Object.freeze(list('modifiers', opts.modifiers, modifier)),
    formats:
      opts.formats === undefined ? inherited.formats : Object.freeze(list('formats', opts.formats, fourcc)),
  })
}

function modifier(what: string, value: unknown): bigint {
  return bigInteger(what, value, 0n, 2n ** 64n - 1n)
}

function fourcc(what: string, value: unknown): string {
  return text(what, value, 4)
}
