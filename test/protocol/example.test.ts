import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { SystemHeap } from '../../src/index.ts'
import { addon } from '../../src/native/load.ts'
import { RawPeer } from './raw-peer.ts'

/** The hex columns of the example in docs/protocol.md, section 3. */
function documented(): Buffer {
  const text = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8')
  const section = text.slice(text.indexOf('## 3. A message'), text.indexOf('## 4. Exporters'))
  const lines = section.match(/^ {4}(?:[0-9a-f]{2}(?: {1,2}|$)){1,16}/gm) ?? []
  return Buffer.from(lines.join('').replace(/\s/g, ''), 'hex')
}

// One test in this file: the example is of the first buffer that an exporter sends.
test('the message of the protocol document is byte for byte what a plain peer receives', async () => {
  const [channel, peer] = await RawPeer.pair()
  using frame = new SystemHeap().allocateSync(4096, { name: 'frame' })
  await channel.send({ n: 1 }, [frame])
  expect(peer.receive()?.bytes.toString('hex', 0, 8)).toBe('444d414201010000')
  const { bytes, descriptors } = peer.receive() ?? {}
  expect(bytes?.length).toBe(135)
  expect(bytes?.toString('hex')).toBe(documented().toString('hex'))
  const targets = descriptors?.map((fd) => addon().linkTarget(fd))
  expect(targets).toEqual(['/memfd:dmabuf:frame (deleted)', expect.stringMatching(/^pipe:/)])
  for (const fd of descriptors ?? []) addon().close(fd)
  await channel.close()
  peer[Symbol.dispose]()
})
