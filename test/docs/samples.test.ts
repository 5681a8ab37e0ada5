import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { afterAll, expect, test } from 'vitest'
import { root, type Sample, samplesOf } from './samples.ts'

const run = promisify(execFile)
const directory = mkdtempSync('/tmp/dmabuf-samples-')
writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
afterAll(() => rmSync(directory, { recursive: true }))

const documents = [
  'README.md',
  'docs/coherency.md',
  'docs/devices.md',
  'docs/exporters.md',
  'docs/fences.md',
  'docs/guard.md',
]
const samples = documents.flatMap(samplesOf)
const files = new Map(samples.map((sample, index) => [sample, write(sample, index)]))

function write({ language, code }: Sample, index: number): string {
  const file = join(directory, `sample-${index}.${language}`)
  writeFileSync(file, code)
  return file
}

function runs(sample: Sample, environment: Record<string, string>) {
  const env = { ...process.env, ...environment }
  return run(process.execPath, ['--import', 'tsx', files.get(sample) ?? ''], {
    cwd: root,
    timeout: 50_000,
    env,
  })
}

test.each(samples.map((sample) => [sample.where, sample] as const))('%s runs', async (_, sample) => {
  const { stdout, stderr } = await runs(sample, {})
  expect({ stdout, stderr }).toEqual({ stdout: sample.prints, stderr: '' })
})

const guarded = samples.filter((sample) => sample.guarded !== undefined)
test.each(guarded.map((sample) => [sample.where, sample] as const))(
  'the guard says of %s what it says there',
  async (_, sample) => {
    const { stdout, stderr } = await runs(sample, { DMABUF_GUARD: '1' })
    const report = stderr.replaceAll(files.get(sample) ?? '', 'app.ts').replaceAll(/==\d+==/g, '==PID==')
    expect({ stdout, report }).toEqual({ stdout: sample.prints, report: sample.guarded })
  },
)

test('the samples in TypeScript are right under the strictest rules', () => {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  // What a sample shows need not be used for anything.
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root, { noUnusedLocals: false })
  const typed = samples.filter(({ language }) => language === 'ts')
  const program = ts.createProgram(
    typed.map((sample) => files.get(sample) ?? ''),
    { ...options, typeRoots: [join(root, 'node_modules/@types')] },
  )
  const found = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const sample = samples.find((each) => files.get(each) === file?.fileName)
    const line = file?.getLineAndCharacterOfPosition(start ?? 0).line
    return `${sample?.where} +${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
  expect(found).toEqual([])
})
