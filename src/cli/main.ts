#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { formatTable, groupBuffers } from './buffer-table.ts'
import { examine } from './doctor.ts'
import { exitCode, formatFindings } from './findings.ts'
import { scanProcesses } from './scan.ts'

const usage = `Usage: dmabuf <command>

  doctor           whether dmabuf works on this machine, and what is missing
  list [--json]    the shared buffers of this machine, and which processes have them

  --help           this text
  --version        the version of this package`

/** Runs one command; returns the exit code: 0 fine, 1 the machine lacks something, 2 the arguments are wrong. */
function main(args: string[]): number {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    return wrong((error as Error).message)
  }
  const { values, positionals } = parsed
  const [command, ...more] = positionals
  if (values.help === true) return print(usage)
  if (values.version === true) return print(version())
  if (command === undefined) return wrong('a command is missing')
  if (more.length > 0) return wrong(`unexpected '${more[0]}'`)
  if (values.json === true && command !== 'list') return wrong(`${command} has no --json`)
  if (command === 'doctor') return doctor()
  if (command === 'list') return list(values.json === true)
  return wrong(`unknown command '${command}'`)
}

function parse(args: string[]) {
  const options = {
    help: { type: 'boolean', short: 'h' },
    version: { type: 'boolean', short: 'v' },
    json: { type: 'boolean' },
  } as const
  return parseArgs({ args, options, allowPositionals: true })
}

function doctor(): number {
  const findings = examine()
  print(formatFindings(findings))
  return exitCode(findings)
}

function list(json: boolean): number {
  const { processes, unreadable } = scanProcesses()
  const buffers = groupBuffers(processes)
  return print(
    json ? JSON.stringify({ buffers, unreadable }, undefined, 2) : formatTable(buffers, unreadable),
  )
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return String((JSON.parse(text) as { version: unknown }).version)
}

function print(text: string): number {
  console.log(text)
  return 0
}

function wrong(what: string): number {
  console.error(`dmabuf: ${what}\n\n${usage}`)
  return 2
}

process.exitCode = main(process.argv.slice(2))
