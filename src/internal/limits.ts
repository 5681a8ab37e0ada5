/**
 * Every limit of the library, by name. A limit that a peer can run into is enforced on both sides and is part
 * of docs/protocol.md.
 */
export const limits = Object.freeze({
  /** Largest packet of a channel in bytes; below the kernel's 212,960 for a default socket buffer. */
  maxMessageBytes: 196_608,
  /** Buffers in one message. */
  maxBuffersPerMessage: 32,
  /** Binary parts in one message. */
  maxPartsPerMessage: 256,
  /** Descriptors in one packet: four for each buffer and two for each fence at the most. */
  maxDescriptorsPerMessage: 192,
  /** Descriptors that a channel has under way before it waits for the peer to have read some. */
  maxDescriptorsInFlight: 192,
  /** Messages that wait inside this process because the socket is full; one more send is refused (`ENOBUFS`). */
  maxQueuedSends: 1024,
  /** Messages read ahead of `receive()`; then the socket is left alone, and the sender waits. */
  maxQueuedReceives: 64,
  /** Packets handled in one turn of the event loop for one socket. */
  maxPacketsPerTurn: 64,
  /** Packets that are read at most where something is looked for that must be in the socket already. */
  maxPacketsPerDrain: 1024,
  /** State segments (exporters, 1023 buffers each) that one channel may name in one direction. */
  maxExportersPerChannel: 1024,
  /** Buffers that a sender may name by number because the peer said that it keeps them. */
  maxKeptBuffers: 4096,
  /** Milliseconds that a stranger has to say its first word. */
  helloTimeout: 5_000,
  /** Milliseconds for knocking at an exporter's door; afterwards the holder stays unregistered. */
  doorTimeout: 2_000,
  /** Connections that an exporter keeps at its door; one more is turned away. */
  maxHolders: 1024,
  /** Holder segments of one connection (1023 buffers each). */
  maxHolderSegments: 256,
  /** Open brackets of one holder on one buffer. */
  maxOpenBrackets: 4096,
  /** Places of the program whose violations guarded mode tells apart; those of further ones are counted together. */
  maxViolationGroups: 1000,
  /** Bytes of text (JSON) in one message of a private connection. */
  maxPrivateTextBytes: 16_384,
  /** Segments of a table in one message; longer tables come in several. */
  maxSegmentsPerPacket: 4096,
  /** Storages of one buffer that a holder was sent and has not read; a move waits for it until then. */
  maxUnreadStorages: 4,
  /** Requests of one holder that an exporter is working on; and devices that one holder has attached. */
  maxRequestsPerHolder: 256,
  maxAttachmentsPerHolder: 1024,
  /** Messages that wait for a holder to read them before the exporter stops reading what it says. */
  maxQueuedAnswers: 64,
  /** Longest buffer name in bytes of UTF-8, the kernel's `DMA_BUF_NAME_LEN` less its NUL. */
  maxNameBytes: 31,
  /** Longest device name in bytes of UTF-8, those of its parents included. */
  maxDeviceNameBytes: 63,
  /** Longest exporter name in bytes of UTF-8. */
  maxExporterNameBytes: 15,
  /**
   * Bytes and buffers of recycled storage kept mapped by a receiver after it closed them; never more buffers than an
   * eighth of the open files that the process may have.
   */
  maxParkedBytes: 1 << 30,
  maxParkedBuffers: 256,
  /** Milliseconds after which parked storage that did not come again is given up. */
  parkTimeout: 2_000,
  /** Fences in one message; those of a merged sync file count each. */
  maxFencesPerMessage: 32,
  /** Pending fences of one buffer. */
  maxFencesPerBuffer: 1024,
  /** Deadlines of one fence that are heard from other environments. */
  maxRemoteDeadlines: 16,
  /**
   * Milliseconds that a fence is waited for whose end was shut by somebody although its signaller seems to live; then it
   * fails with `EOWNERDEAD`.
   */
  spoiledFenceTimeout: 5_000,
  /** Buffers in one pool. */
  maxPoolBuffers: 4096,
  /** Connections waiting to be accepted. */
  defaultBacklog: 128,
})
