import type { Problem } from '../src/internal/problem.ts'
import { problems } from '../src/internal/problems.ts'

const opening = `# Errors

Written by \`npm run docs:errors\` from \`src/internal/problems.ts\`; a test holds the two together.

Every error of the library is a \`DmaBufError\`. Its \`code\` is the kernel's name for the mistake (with the number in
\`errno\`, negative as in Node's own errors), its \`hint\` is the remedy below, \`syscall\` names the system call that failed,
when one did, and \`cause\` what lies beneath. The message is the code, a colon and the text; \`{…}\` stands for a value.
Texts may be improved in any release: programs ask for \`code\`.
`

/** The text of docs/errors.md: every problem under its code, codes in order. */
export function errorsDocument(): string {
  const all = Object.values<Problem>(problems)
  const codes = [...new Set(all.map(({ code }) => code))].sort(order)
  const sections = codes.map((code) => {
    const entries = all.filter((problem) => problem.code === code)
    return [heading(code), ...entries.map(entry)].join('\n')
  })
  return [opening, ...sections].join('\n')
}

/** Those without a code of their own come last. */
function order(a: string, b: string): number {
  return Number(a === 'errno') - Number(b === 'errno') || (a < b ? -1 : 1)
}

function heading(code: string): string {
  return code === 'errno' ? '## The code that the system call gave\n' : `## ${code}\n`
}

function entry({ text, cause, remedy }: Problem): string {
  return `### \`${text}\`\n\n${cause}\n\n**Remedy.** ${remedy}\n`
}
