import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bufinfo, Fence, listen, SyncFile, SystemHeap, Timeline } from '../../src/index.ts'

const root = new URL('../../', import.meta.url).pathname
const directory = mkdtempSync('/tmp/dmabuf-plain-')
const socket = join(directory, 'frames.sock')
const program = join(directory, 'plain-peer')

interface Peer {
  readonly language: string
  readonly command: string
  readonly args: string[]
}

const peers: Peer[] = [
  { language: 'python', command: 'python3', args: [join(root, 'examples/plain-peer.py'), socket] },
  { language: 'c', command: program, args: [socket] },
]

beforeAll(() => {
  const flags = ['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror']
  execFileSync('cc', [...flags, '-o', program, join(root, 'examples/plain-peer.c')])
})

afterAll(() => rmSync(directory, { recursive: true }))

interface Ended {
  readonly code: number | null
  readonly text: string
}

function run(command: string, args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (text += String(chunk)))
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, text })))
  return { child, ended }
}

/** Memory, pipes and sockets that this process has open. */
function descriptors(): string[] {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ''
    }
  })
  return links.filter((link) => /^(\/memfd:|pipe:|socket:)/.test(link)).sort()
}

test.each(peers)(
  'the host and a peer in $language understand each other',
  async ({ language, command, args }) => {
    const host = run(process.execPath, ['--import', 'tsx', 'examples/plain-peer-host.ts', socket])
    await expect.poll(() => existsSync(socket), { timeout: 20_000 }).toBe(true)
    const peer = run(command, args)
    expect(await peer.ended).toMatchObject({ code: 0 })
    expect(await host.ended).toEqual({
      code: 0,
      text: [
        `listening on ${socket}`,
        `process ${peer.child.pid} has come`,
        `{"from":"${language}"}: 'negative' is right`,
        'nobody can change it any more: true',
        'the peer has gone (peer-died), and all memory is given back',
        '',
      ].join('\n'),
    })
  },
  60_000,
)

test.each(peers)(
  'a peer in $language leaves nothing behind',
  async ({ command, args }) => {
    const heap = new SystemHeap()
    const server = await listen(socket)
    let before: string[] = []
    // The first round makes what an environment keeps: its state segment, its door.
    for (let round = 0; round < 3; round++) {
      const frame = await heap.allocate(100_000, { name: 'frame' })
      frame.withCpuAccessSync('write', ({ bytes }) => bytes.fill(round))
      const peer = run(command, args)
      const channel = await server.accept()
      await channel.send({ round }, [frame])
      frame.close()
      const { buffers } = await channel.receive()
      for (const buffer of buffers) {
        expect(buffer.withCpuAccessSync('read', (cpu) => cpu.copy().bytes)).toEqual(
          new Uint8Array(100_000).fill(255 - round),
        )
        buffer.close()
      }
      expect(await peer.ended).toMatchObject({ code: 0 })
      await channel.close()
      await expect.poll(bufinfo).toEqual([])
      if (round === 0) before = descriptors()
    }
    await expect.poll(descriptors).toEqual(before)
    await server.close()
  },
  60_000,
)

test.each(peers)(
  'a peer in $language reads a frame when the last of its fences has signalled',
  async ({ command, args }) => {
    const server = await listen(socket)
    const frame = await new SystemHeap().allocate(4096, { name: 'frame' })
    const fill = (value: number) => frame.withCpuAccessSync('write', ({ bytes }) => bytes.fill(value))
    using first = new Timeline('first')
    using second = new Timeline('second')
    using over = SyncFile.from(Fence.signalled())
    using one = SyncFile.from(first.createFence())
    using other = SyncFile.from(second.createFence())
    using both = SyncFile.merge(one, other)
    const peer = run(command, args)
    const channel = await server.accept()
    await channel.send({}, [frame], { fences: [over, one, both] })
    // Time for one that does not wait to be caught.
    const pause = () => new Promise((resolve) => setTimeout(resolve, 100))
    await pause()
    fill(7)
    first.signal(1)
    await pause()
    fill(9)
    second.signal(1, { error: -5 })
    const { buffers } = await channel.receive()
    expect(buffers[0]?.withCpuAccessSync('read', ({ bytes }) => bytes[0])).toBe(255 - 9)
    expect(await peer.ended).toMatchObject({ code: 0 })
    for (const buffer of [frame, ...buffers]) buffer.close()
    await channel.close()
    await server.close()
  },
  60_000,
)

test('a frame stays until a peer that was killed has let go of it', async () => {
  const server = await listen(socket)
  const frame = await new SystemHeap().allocate(4096, { name: 'frame' })
  // Connects, says hello, and reads nothing: the frame and its leash stay in the socket.
  const script = `import socket, struct, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
s.send(struct.pack("<IBB26x", 0x42414d44, 1, 1))
time.sleep(60)`
  const peer = run('python3', ['-c', script, socket])
  const channel = await server.accept()
  await channel.send({}, [frame])
  frame.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(bufinfo()).toMatchObject([{ name: 'frame', wrappers: 0 }])
  peer.child.kill('SIGKILL')
  expect(await channel.closed).toEqual({ reason: 'peer-died' })
  await expect.poll(bufinfo).toEqual([])
  await channel.close()
  await server.close()
}, 60_000)
