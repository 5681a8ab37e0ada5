import { fileURLToPath } from 'node:url'

/** A place in the program, kept as cheaply as V8 can: the text is made when somebody wants it. */
export interface Site {
  readonly stack?: string
}

const FRAMES = 16

/** The library's own files, whose frames say nothing to whoever looks for a mistake of his own. */
const own = fileURLToPath(new URL('../..', import.meta.url))

/** Where the program is now. */
export function site(): Site {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = FRAMES
  const place = {}
  Error.captureStackTrace(place, site)
  Error.stackTraceLimit = limit
  return place
}

/** The frames of a stack outside the library, innermost first; `undefined` where there are none. */
export function framesOf(place: Site | undefined): string | undefined {
  const lines = place?.stack?.split('\n').slice(1) ?? []
  const frames = lines.filter((line) => !line.includes(own) && !/[( ]node:/.test(line))
  return frames.length === 0 ? undefined : frames.map((line) => line.trim()).join('\n')
}
