import { DmaBufError, listen } from '../../src/index.ts'

/** Listens on the path it is given, says so, and leaves in an orderly way when its stdin ends. */
try {
  const server = await listen(process.argv[2] ?? '')
  process.stdout.write('listening\n')
  void (async () => {
    for await (const channel of server) void channel.closed.then(() => channel.close())
  })()
  if (!process.stdin.readable) server.ref()
  process.stdin.resume()
  process.stdin.once('end', () => process.exit())
} catch (error) {
  process.stdout.write(`${error instanceof DmaBufError ? error.code : String(error)}\n`)
}
