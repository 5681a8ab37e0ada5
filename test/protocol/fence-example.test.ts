import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { SyncFile, Timeline } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { RawPeer } from './raw-peer.ts'

/** The hex columns of the example in docs/protocol.md, section 10. */
function documented(): Buffer {
  const text = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8')
  const section = text.slice(text.indexOf('### 10.1. The record'), text.indexOf('### 10.2. The page'))
  const lines = section.match(/^ {4}(?:[0-9a-f]{2}(?: {1,2}|$)){1,16}/gm) ?? []
  return Buffer.from(lines.join('').replace(/\s/g, ''), 'hex')
}

// One test in this file: the example is of the first timeline of an environment.
test('the fence of the protocol document is byte for byte what a plain peer receives', async () => {
  const [channel, peer] = await RawPeer.pair()
  using timeline = new Timeline('camera')
  using file = SyncFile.from(timeline.createFence(), { name: 'frame 1' })
  await channel.send(0, [], { fences: [file] })
  peer.receive()
  const { bytes, descriptors = [] } = peer.receive() ?? {}
  expect(bytes?.toString('hex')).toBe(documented().toString('hex'))
  const targets = descriptors.map((fd) => addon().linkTarget(fd))
  expect(targets).toEqual(['/memfd:dmabuf-timelines (deleted)', expect.stringMatching(/^socket:/)])
  for (const fd of descriptors) addon().close(fd)
  await channel.close()
  peer[Symbol.dispose]()
})
