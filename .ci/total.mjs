// Adds up what ran: each test of each vitest report, and each other step as one. Prints the total last and
// fails when anything failed.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.argv[2]
const totals = { passed: 0, failed: 0, skipped: 0 }
const reports = new Set(readdirSync(folder).filter((name) => name.endsWith('.json')))

for (const line of readFileSync(join(folder, 'steps'), 'utf8').trimEnd().split('\n')) {
  const [, code, name] = /^(\d+) (.*)$/.exec(line)
  const failed = reports.has(`${name}.json`) ? addReport(name) : undefined
  // A run that crashed, or failed outside of any test, has no failed test to show for it.
  if (code !== '0' && !failed) totals.failed += 1
  else if (failed === undefined) totals.passed += 1
  if (code !== '0') console.log(`failed: ${name}`)
}
const { passed, failed, skipped } = totals
if (failed > 0 || passed === 0) process.exitCode = 1
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)

function addReport(name) {
  let report
  try {
    report = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'))
  } catch {
    // Killed while writing it.
    return undefined
  }
  totals.passed += report.numPassedTests
  totals.failed += report.numFailedTests
  totals.skipped += report.numPendingTests + report.numTodoTests
  return report.numFailedTests
}
