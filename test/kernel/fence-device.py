"""A device whose fences the kernel makes: runs a command that inherits buffers of vgem, and attaches fences to them and signals
them as the command says on descriptor 3, one line each: "start BUFFER WRITES", "signal FENCE", "leave". Each is answered by a
line: a number, negative for an errno."""
import ctypes, fcntl, glob, os, socket, struct, subprocess, sys

VERSION, CREATE_DUMB, PRIME_HANDLE_TO_FD = 0xC0406400, 0xC02064B2, 0xC00C642D
VGEM_FENCE_ATTACH, VGEM_FENCE_SIGNAL = 0xC0106441, 0x40086442
HEAP_ALLOC, UDMABUF_CREATE = 0xC0184800, 0x40187542
FIRST, COUNT = 10, 70


def is_vgem(card):
    name = ctypes.create_string_buffer(16)
    version = bytearray(struct.pack("iiiQQQQQQ", 0, 0, 0, 16, ctypes.addressof(name), 0, 0, 0, 0))
    fcntl.ioctl(card, VERSION, version)
    return name.value == b"vgem"


def ask(file, request, layout, *values):
    """An ioctl, and what it writes back."""
    return struct.unpack(layout, fcntl.ioctl(file, request, struct.pack(layout, *values)))


def attempt(act):
    try:
        return act()
    except OSError as error:
        return -error.errno


# Out of the way of the descriptors that are given to the command.
open_card = lambda path: fcntl.fcntl(os.open(path, os.O_RDWR | os.O_CLOEXEC), fcntl.F_DUPFD_CLOEXEC, FIRST + 200)
cards = [open_card(path) for path in sorted(glob.glob("/dev/dri/card*"))]
card = next((card for card in cards if is_vgem(card)), None)
if card is None:
    sys.exit("there is no vgem here")
handles, passed = [], []
for index in range(COUNT):
    handle = ask(card, CREATE_DUMB, "IIIIIIQ", 32, 32, 32, 0, 0, 0, 0)[4]
    fd = ask(card, PRIME_HANDLE_TO_FD, "IIi", handle, os.O_RDWR, -1)[2]
    os.dup2(fd, FIRST + index)
    os.close(fd) if fd != FIRST + index else None
    handles.append(handle)
    passed.append(FIRST + index)

# Two others, which only take what is imported into them.
with open("/dev/dma_heap/system", "rb") as heap:
    os.dup2(ask(heap, HEAP_ALLOC, "QIIQ", 4096, 0, os.O_RDWR | os.O_CLOEXEC, 0)[1], FIRST + COUNT)
memory = os.memfd_create("under-a-udmabuf", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
os.ftruncate(memory, 4096)
fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
with open("/dev/udmabuf", "rb") as udmabuf:
    # With memory that can be written ioctl() returns what the kernel returns.
    made = fcntl.ioctl(udmabuf, UDMABUF_CREATE, bytearray(struct.pack("IIQQ", memory, 1, 0, 4096)))
    os.dup2(made, FIRST + COUNT + 1)
passed += [FIRST + COUNT, FIRST + COUNT + 1]

mine, theirs = socket.socketpair()
mine = socket.socket(fileno=fcntl.fcntl(mine.detach(), fcntl.F_DUPFD_CLOEXEC, FIRST + 200))
os.dup2(theirs.fileno(), 3)
theirs.detach() if theirs.fileno() == 3 else theirs.close()
child = subprocess.Popen(sys.argv[1:] + [str(FIRST), str(COUNT)], pass_fds=[3] + passed)
os.close(3)
for fd in passed:
    os.close(fd)
for line in mine.makefile("r"):
    what, *numbers = line.split()
    values = [int(number) for number in numbers]
    if what == "start":
        fence = lambda: ask(card, VGEM_FENCE_ATTACH, "IIII", handles[values[0]], values[1], 0, 0)[2]
        answer = attempt(fence)
    elif what == "signal":
        answer = attempt(lambda: ask(card, VGEM_FENCE_SIGNAL, "II", values[0], 0)[0] * 0)
    else:
        os.close(card)
        answer = 0
    mine.sendall(f"{answer}\n".encode())
sys.exit(child.wait())
