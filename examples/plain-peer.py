#!/usr/bin/env python3
"""A plain peer of dmabuf in Python (3.9 or later, standard library only): takes one frame from a Node producer, waits
for its fences, sends its negative back in memory of its own. The protocol is docs/protocol.md, sections 1 to 3 and 10.1.

    npx tsx examples/plain-peer-host.ts /tmp/frames.sock &  python3 examples/plain-peer.py /tmp/frames.sock
"""
import fcntl, json, mmap, os, select, socket, struct, sys

MAGIC, VERSION, HELLO, MESSAGE = 0x42414D44, 1, 1, 2
STORAGE, BARE, SIGNALLED, KERNEL = 1, 32, 1, 2
# magic, version, type, flags; bytes of JSON, handles, parts; descriptors, argument; fences, 0
HEADER = struct.Struct("<IBBHIHHIIHHI")
# flags, exporter, record, generation; id, size, offset; name, 0; exporter's name, buffer's name
HANDLE = struct.Struct("<4I3Q2I16s32s")
# sync file, flags, slot; context, number, errno, time; timeline's name, sync file's name
FENCE = struct.Struct("<HHIQIIQ32s32s")
SEALED = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def wait(records, descriptors):
    """Waits for these fences: each has two descriptors, or one, or none, the last of which tells. Closes all of them."""
    ends = iter(descriptors)
    for _, flags, *_ in FENCE.iter_unpack(records):
        for _ in range(0 if flags & SIGNALLED else 1 if flags & KERNEL else 2):
            end = next(ends)
        if not flags & SIGNALLED:
            poll = select.poll()
            poll.register(end, select.POLLIN)
            poll.poll()
    for fd in descriptors:
        os.close(fd)


def receive(sock):
    """The next message with a frame, when it is there: its JSON, its handle, its two descriptors."""
    while True:
        packet, control, flags, _ = sock.recvmsg(196_608, socket.CMSG_SPACE(4 * 128), socket.MSG_CMSG_CLOEXEC)
        if not packet or flags & socket.MSG_CTRUNC:
            sys.exit("the host has gone, or descriptors were lost")
        passed = b"".join(data for _, kind, data in control if kind == socket.SCM_RIGHTS)
        descriptors = [fd for (fd,) in struct.iter_unpack("i", passed)]
        magic, version, kind, _, size, handles, parts, _, _, fences, *_ = HEADER.unpack_from(packet)
        if (magic, version) != (MAGIC, VERSION):
            sys.exit("that is no dmabuf peer of this version")
        if kind == MESSAGE and handles == 1:
            first = HEADER.size + handles * HANDLE.size
            last = first + fences * FENCE.size
            wait(packet[first:last], descriptors[2:])
            text = packet[last + 4 * parts:][:size]
            return json.loads(text), HANDLE.unpack_from(packet, HEADER.size), descriptors[:2]
        for fd in descriptors:
            os.close(fd)


def send_buffer(sock, message, fd, size, name):
    text = json.dumps(message).encode()
    header = HEADER.pack(MAGIC, VERSION, MESSAGE, 0, len(text), 1, 0, 1, 0, 0, 0, 0)
    handle = HANDLE.pack(STORAGE | BARE, 0, 0, 0, 0, size, 0, 0, 0, b"", name)
    socket.send_fds(sock, [header + handle + text], [fd])


with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
    sock.connect(sys.argv[1])
    sock.send(HEADER.pack(MAGIC, VERSION, HELLO, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    message, (_, _, _, _, _, size, offset, *_), (storage, leash) = receive(sock)
    print("python: received", message)
    # The kernel is asked, not the handle: memory that cannot shrink and is as large as they say.
    if fcntl.fcntl(storage, fcntl.F_GET_SEALS) & SEALED != SEALED or os.fstat(storage).st_size < offset + size:
        sys.exit("that memory is not safe to map")
    with mmap.mmap(storage, offset + size, mmap.MAP_PRIVATE, mmap.PROT_READ) as frame:
        negative = frame[offset:].translate(bytes(range(255, -1, -1)))
    os.close(storage)
    os.close(leash)  # done with it: the exporter may use the memory again
    mine = os.memfd_create("dmabuf:negative", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(mine, "wb", closefd=False) as file:
        file.write(negative)
    fcntl.fcntl(mine, fcntl.F_ADD_SEALS, SEALED | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
    send_buffer(sock, {"from": "python"}, mine, size, b"negative")
