import type { Problem } from './problem.ts'

/** Errors of images and their formats. */
export const imageProblems = {
  format: {
    code: 'EINVAL',
    text: '{fourcc} is no pixel format that is known',
    cause: 'A fourcc has four characters (or is their number) and stands in include/uapi/drm/drm_fourcc.h.',
    remedy: "Pass one of pixelFormats: 'XR24', 'NV12', ….",
  },
  noLinearLayout: {
    code: 'EINVAL',
    text: 'format {fourcc} has no linear layout',
    cause: 'Only a modifier of a vendor says how its pixels lie in memory.',
    remedy: 'Take another format, or lay the planes out as that vendor does.',
  },
  imageRange: {
    code: 'ERANGE',
    text: 'the bytes of a {fourcc} image of {width} by {height} cannot be counted exactly',
    cause: 'The sum is beyond Number.MAX_SAFE_INTEGER.',
    remedy: 'Check width, height and alignments.',
  },
  image: {
    code: 'EINVAL',
    text: 'plane {plane} of the {fourcc} image of {width} by {height} does not do: {rule} needs {needed}, got {got}',
    cause:
      'Lines are too short or not aligned, the buffer ends before the plane does, or nobody here reads that modifier.',
    remedy: 'Allocate planeLayout(…).byteLength bytes and take offsets and strides from it.',
  },
} as const satisfies Record<string, Problem>
