/** What one probe found. */
export interface Finding {
  readonly what: string
  /** `'none'`: not there, and nothing is wrong with that. */
  readonly state: 'ok' | 'missing' | 'none'
  /** What was found, in a few words. */
  readonly found: string
  /** What it means to the user. */
  readonly means: string
  /** Without it nothing works. */
  readonly required?: boolean
}

/** Lines for people; the width of the first columns is that of the longest entry. */
export function formatFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ what }) => what.length))
  const lines = findings.map(({ state, what, found, means }) => {
    const head = `${state.padEnd(8)}${what.padEnd(width)}  `
    const detail = found.replaceAll('\n', `\n${' '.repeat(head.length)}`)
    return `${head}${detail}\n${' '.repeat(head.length)}${means}`
  })
  const broken = findings.filter(({ state, required }) => state === 'missing' && required === true)
  const verdict =
    broken.length === 0
      ? 'dmabuf works here.'
      : `dmabuf does not work here: ${broken.map(({ what }) => what).join(', ')}.`
  return [...lines, '', verdict].join('\n')
}

/** 1 when something is missing without which nothing works. */
export function exitCode(findings: readonly Finding[]): number {
  return findings.some(({ state, required }) => state === 'missing' && required === true) ? 1 : 0
}
