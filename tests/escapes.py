"""Programs that try to get out of a sandbox, and what they can be caught at.

`G` is put before each: the places and numbers of the `Ground` of a test, where everything can be reached from outside
the sandbox. A program prints GOT when it has got what it wanted; the ground is looked at whatever it prints.
"""

# ruff: noqa: E501 - programs are lines
from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

from sharpen.sandbox import Limits
from sharpen.sandbox.bubblewrap import interpreter

MIB = 1 << 20
FEW = Limits(processes=8, seconds=5.0)
SHORT = Limits(seconds=0.7)

TRY = """
def attempt(f, *a):
    try:
        r = f(*a)
        print("GOT", r)
        return r
    except BaseException as e:
        print("blocked", type(e).__name__)
"""

ATTEMPTS: dict[str, tuple[str, Limits, str]] = {}
"""Programs by name, each with its limits and the statuses it may end with, in one text."""


def tries(name: str, code: str, limits: Limits = Limits(), status: str = "ok") -> None:  # noqa: B008
    assert name not in ATTEMPTS
    ATTEMPTS[name] = (code, limits, status)


# the file system
tries("read a secret file", "attempt(lambda: open(G['secret']).read())")
tries("read a secret file by descriptor", "import os\nattempt(lambda: os.read(os.open(G['secret'], 0), 99))")
tries(
    "read the home folder",
    "import os\nfor d, _, names in os.walk(G['home']):\n    for n in names:\n        p = os.path.join(d, n)\n"
    "        if not p.startswith(G['base']): print('GOT', p)",
)
tries("read the passwords", "attempt(lambda: open('/etc/passwd').read())\nattempt(lambda: open('/etc/shadow').read())")
tries("climb out of the working folder", "attempt(lambda: open('../' * 20 + G['secret']).read())")
tries("a link to the secret", "import os\nos.symlink(G['secret'], 'a')\nattempt(lambda: open('a').read())", status="ok")
tries("a hard link to the secret", "import os\nattempt(lambda: os.link(G['secret'], 'a'))")
tries(
    "read installed packages",
    "import sys\nsys.path[:] += G['packages']\nattempt(lambda: __import__('torch'))\nattempt(lambda: __import__('sharpen'))",
)
tries("write beside the secret", "attempt(lambda: open(G['folder'] + '/new', 'w').write('x'))")
tries(
    "write to the library",
    "import os\nattempt(lambda: open(os.__file__, 'a').write('#'))\nattempt(lambda: open('/usr/lib/new', 'w'))",
)
tries("write to the root", "import os\nattempt(lambda: os.mkdir('/new'))\nattempt(lambda: open('/dev/new', 'w'))")
tries(
    "write to hidden packages",
    "import os\nattempt(lambda: open(os.path.dirname(os.__file__) + '/site-packages/a', 'w'))",
)
tries(
    "become another's file",
    "import os\nattempt(lambda: os.chmod('/usr/lib', 0o777))\nattempt(lambda: os.chown('/tmp', 0, 0))",
)
tries("mount", "attempt_call('mount', b'none', b'/tmp', b'tmpfs', 0, 0)")
tries("remount writable", "attempt_call('mount', 0, b'/', 0, 32 | 4096, 0)")
tries("unmount what hides", "attempt_call('umount2', b'/tmp', 2)")
tries("change the root", "import os\nattempt(lambda: os.chroot('/tmp'))")
tries("make a device", "import os\nattempt(lambda: os.mknod('/tmp/sda', 0o60666, os.makedev(8, 0)))")
tries("fill the disk", "f = open('a', 'wb')\nwhile True: f.write(b'x' * 65536)", status="died")
tries(
    "fill the disk with many files",
    "i = 0\nwhile True:\n    i += 1\n    open(f'a{i}', 'wb').write(b'x' * 65536)",
    Limits(files=MIB),
    "died",
)
tries("fill shared memory", "attempt(lambda: open('/dev/shm/a', 'wb').write(b'x' * 10**6))")
tries("a file without a name", "import os\nm = os.memfd_create('a')\nattempt(lambda: os.truncate(m, 1 << 40))\n")
tries("many empty files", "i = 0\nwhile True:\n    i += 1\n    open(f'a{i}', 'w').close()", status="time died")

# the network
tries("tcp to loopback", "import socket\nattempt(lambda: socket.create_connection(('127.0.0.1', G['tcp']), 1))")
tries("tcp6 to loopback", "import socket\nattempt(lambda: socket.create_connection(('::1', G['tcp']), 1))")
tries(
    "udp to loopback",
    "import socket\nattempt(lambda: socket.socket(2, 2).sendto(b'hello', ('127.0.0.1', G['udp'])))",
)
tries("a unix socket", "import socket\nattempt(lambda: socket.socket(1).connect(G['unix']))")
tries("an abstract unix socket", "import socket\nattempt(lambda: socket.socket(1).connect('\\0' + G['abstract']))")
tries("a raw socket", "import socket\nattempt(lambda: socket.socket(2, 3, 1))")
tries("a netlink socket", "import socket\nattempt(lambda: socket.socket(16, 3, 0))")
tries("look up a name", "import socket\nattempt(lambda: socket.getaddrinfo('example.org', 80))")
tries(
    "the web",
    "import urllib.request\nattempt(lambda: urllib.request.urlopen(f\"http://127.0.0.1:{G['tcp']}/\", timeout=1))",
)

# other processes
tries("kill the parent", "import os\nattempt(lambda: os.kill(G['parent'], 9) or 'kill')")
tries("kill a neighbour", "import os\nattempt(lambda: os.kill(G['victim'], 9) or 'kill')")
tries("kill all", "import os\ntry: os.kill(-1, 9)\nexcept OSError: pass\nprint('alive')", FEW, "ok")
tries("kill the first process", "import os\ntry: os.kill(1, 9)\nexcept OSError: pass\nprint('alive')")
tries(
    "kill every number",
    "import os\nfor p in range(3, 70000):\n    try: os.kill(p, 9); print('GOT', p)\n    except OSError: pass",
)
tries("trace a neighbour", "attempt_call('ptrace', 16, G['victim'], 0, 0)")
tries("trace the first process", "attempt_call('ptrace', 16, 1, 0, 0)")
tries("read a neighbour's memory", "attempt(lambda: open(f\"/proc/{G['victim']}/mem\", 'rb').read(1))")
tries("read the parent's environment", "attempt(lambda: open(f\"/proc/{G['parent']}/environ\", 'rb').read())")
tries(
    "read all of proc",
    "import os\nattempt(lambda: os.listdir('/proc'))\nattempt(lambda: open('/proc/self/environ').read())",
)
tries("the descriptor of a neighbour", "attempt_call('pidfd_open', G['victim'], 0)")
tries("enter a namespace", "attempt_call('setns', 0, 0x10000000)")
tries("a user namespace", "attempt_call('unshare', 0x10000000)")
tries("a mount namespace", "attempt_call('unshare', 0x20000)")
tries(
    "become root",
    "import os\nattempt(lambda: os.setuid(0))\nattempt(lambda: os.setresuid(0, 0, 0))\nattempt(lambda: os.setgroups([0]))",
)
tries("keys of the kernel", "attempt_call('keyctl', 0, -3, 0, 0)")
tries("io_uring", "attempt_call('io_uring_setup', 8, 0)")
tries("bpf", "attempt_call('bpf', 0, 0, 0)")
tries("performance counters", "attempt_call('perf_event_open', 0, 0, -1, -1, 0)")
tries("system v shared memory", "attempt_call('shmget', 0, 1 << 30, 0o1666)")
tries(
    "raise the limits",
    "import resource\nfor r in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE):\n    attempt(lambda: resource.setrlimit(r, (-1, -1)) or 'raised')",
)
tries(
    "run a shell",
    "import os, subprocess\nattempt(lambda: subprocess.check_output(['/bin/sh', '-c', 'id']))\nprint('GOT' if os.system('id') == 0 else 'none')",
    FEW,
)
tries(
    "leave a daemon",
    "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    "        os.execv(G['python'], [G['python'], '-S', '-c', 'import time; time.sleep(300)', G['token']])\n    os._exit(0)\nos.wait()",
    FEW,
)
tries(
    "leave a daemon that holds the output",
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(300)\n    os._exit(0)\nos.wait()\nprint('end')",
    FEW,
)
tries(
    "daemons that ignore signals",
    "import os, signal, time\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n    except OSError: pass\n"
    "for _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n"
    "        os.execv(G['python'], [G['python'], '-S', '-c', 'import time; time.sleep(300)', G['token']])\nprint('end')",
    FEW,
)
tries(
    "a fork bomb",
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    Limits(processes=8, seconds=2.0),
    "time",
)
tries("a fork bomb of one", "import os\nattempt(os.fork)")
tries(
    "threads without end",
    "import threading, time\nattempt(lambda: [threading.Thread(target=time.sleep, args=(9,), daemon=True).start() for _ in range(99)])",
    FEW,
)
tries(
    "type into the terminal",
    "import fcntl, termios\nfor fd in range(3): attempt(lambda: fcntl.ioctl(fd, termios.TIOCSTI, b'x'))\nattempt(lambda: open('/dev/tty', 'w').write('x'))",
)
tries("stop itself", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", SHORT, "time")

# newer and rarer ways
tries(
    "a secret by another call",
    "import ctypes\nattempt_call('openat2', -100, G['secret'].encode(), ctypes.create_string_buffer(24), 24)",
)
tries("a process by another call", "import ctypes\nattempt_call('clone3', ctypes.create_string_buffer(88), 88)", FEW)
tries("a call of another number", "attempt_call('x32_getpid')", status="died")
tries(
    "a call of another architecture",
    "import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\n"
    "attempt(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m))))",
    status="died",
)
tries("memory of another", "attempt_call('process_vm_readv', 1, 0, 0, 0, 0, 0)")
tries("a descriptor of another", "import os\nattempt_call('pidfd_getfd', os.pidfd_open(1), 0, 0)")
tries(
    "limits and priority of another",
    "import os, resource\nattempt(lambda: resource.prlimit(G['parent'], resource.RLIMIT_NOFILE, (3, 3)))\n"
    "attempt(lambda: os.setpriority(os.PRIO_PROCESS, G['parent'], 19) or 'nice')\n"
    "attempt(lambda: os.sched_setaffinity(G['victim'], {0}) or 'moved')",
)
tries(
    "descriptors that were left open",
    "import os\nfor fd in range(3, 1 << 17):\n    try: print('GOT', fd, os.fstat(fd))\n    except OSError: pass",
)
tries("page faults of its own", "attempt_call('userfaultfd', 1)")
tries("a file by its handle", "import ctypes\nattempt_call('open_by_handle_at', 0, ctypes.create_string_buffer(64), 0)")
tries("mounts by descriptors", "attempt_call('fsopen', b'tmpfs', 0)\nattempt_call('open_tree', -100, b'/', 1)")
tries(
    "a file without a name beside the library",
    "import os\nattempt(lambda: os.open('/usr/lib', os.O_TMPFILE | os.O_RDWR))\nopen('a', 'w').close()\n"
    "attempt(lambda: os.link('a', '/usr/lib/new') or 'linked')\nattempt(lambda: os.rename('a', '/usr/lib/new') or 'moved')",
)
tries(
    "devices and the machine",
    "for p in ('/dev/mem', '/dev/kmsg', '/dev/kvm', '/dev/fuse', '/dev/ptmx', '/dev/shm', '/sys/kernel', '/run', '/proc/1/root'):\n"
    "    attempt(lambda: open(p).read(1))\n    attempt(lambda: __import__('os').listdir(p))",
)
tries("the socket of a virtual machine", "import socket\nattempt(lambda: socket.socket(40, 1, 0))")
tries("set the clock", "import time\nattempt(lambda: time.clock_settime(time.CLOCK_REALTIME, 0) or 'set')")
tries("close all and wait", "import os, time\nos.closerange(0, 64)\ntime.sleep(1e6)", SHORT, "time")
tries(
    "folders too deep to remove",
    "import os\ntry:\n    for _ in range(3000):\n        os.mkdir('d')\n        os.chdir('d')\nexcept OSError: pass\nos.chmod('.', 0)",
)

# what it may use
tries("a busy loop", "while True: pass", status="time")
tries(
    "a busy loop that catches the signal",
    "import signal\nsignal.signal(signal.SIGXCPU, lambda *a: None)\nwhile True: pass",
    status="time",
)
tries("sleep for ever", "import time\ntime.sleep(1e6)", SHORT, "time")
tries(
    "sleep through signals",
    "import signal, time\nfor s in (1, 2, 3, 15, 24): signal.signal(s, signal.SIG_IGN)\ntime.sleep(1e6)",
    SHORT,
    "time",
)
tries("wait for input", "import sys\nprint(len(sys.stdin.read()))")
tries("a memory bomb", "a = []\nwhile True: a.append('x' * 10**6)", status="memory")
tries("a memory bomb at once", "a = bytearray(1 << 40)", status="memory")
tries(
    "a memory bomb that goes on",
    "a = []\nwhile True:\n    try: a.append('x' * 10**6)\n    except MemoryError: pass",
    status="time died memory",
)
tries("map much memory", "import mmap\nattempt(lambda: len(mmap.mmap(-1, 1 << 33)))")
tries("output without end", "import os\nwhile True: os.write(1, b'x' * 65536)", status="output")
tries("errors without end", "import os\nwhile True: os.write(2, b'x' * 65536)", status="output")
tries("output by small parts", "while True: print('x' * 99, flush=True)", status="output")
tries("deep recursion", "f = lambda x: f(x)\nf(1)", status="died")
tries(
    "deep recursion of C",
    "import sys\nsys.setrecursionlimit(10**9)\nf = lambda x: f(x)\nf(1)",
    status="died memory time",
)
tries("deep source", "compile('(' * 10**4 + ')' * 10**4, 'a', 'eval')", status="died memory")
tries("giant numbers", "x = 10 ** 10 ** 10", status="time memory")
tries("a catastrophic expression", "import re\nre.match('(a+)+b', 'a' * 40)", status="time")
tries("crash the interpreter", "import ctypes\nctypes.string_at(0)", status="died")
tries("leave at once", "import os\nos._exit(0)")
tries("open files without end", "import os\nattempt(lambda: [os.open('/dev/null', 0) for _ in range(10**5)])")
tries("pipes without end", "import os\na = []\nattempt(lambda: [a.append(os.pipe()) for _ in range(10**5)])")

REAL = {
    "read a secret file": "the secret was read",
    "read a secret file by descriptor": "the secret was read",
    "a link to the secret": "the secret was read",
    "climb out of the working folder": "the secret was read",
    "write beside the secret": "files were changed",
    "tcp to loopback": "something came to a socket",
    "udp to loopback": "something came to a socket",
    "a unix socket": "something came to a socket",
    "an abstract unix socket": "something came to a socket",
    "the web": "something came to a socket",
    "kill a neighbour": "a neighbour was killed",
}
"""Attempts that succeed in the weaker sandbox, and what they are caught at: they are real."""


def prelude(ground: Ground) -> str:
    """What stands before a program."""
    return f"G = {ground.known!r}\n{TRY}{CALL}"


CALL = """
NR = {"mount": 165, "umount2": 166, "ptrace": 101, "pidfd_open": 434, "setns": 308, "unshare": 272, "keyctl": 250,
      "io_uring_setup": 425, "bpf": 321, "perf_event_open": 298, "shmget": 29, "openat2": 437, "clone3": 435,
      "x32_getpid": 0x40000027, "process_vm_readv": 310, "pidfd_getfd": 438, "userfaultfd": 323, "fsopen": 430,
      "open_tree": 428, "open_by_handle_at": 304}
def attempt_call(name, *args):
    import ctypes
    c = ctypes.CDLL(None, use_errno=True)
    r = c.syscall(NR[name], *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    print("GOT" if r >= 0 else "blocked", ctypes.get_errno())
"""


class Ground:
    """What could be reached from outside a sandbox, and whether it was."""

    def __init__(self, folder: Path) -> None:
        self.token = secrets.token_hex(12)
        self.folder = folder
        self.secret = folder / "secret"
        self.secret.write_text(self.token)
        folder.chmod(0o777)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix, self.abstract = (socket.socket(socket.AF_UNIX) for _ in range(2))
        where = f"\0sandbox-{self.token}"
        path = str(folder / "s")
        self.abstract.bind(where)
        self.unix.bind(path)
        self.sockets = (self.tcp, self.udp, self.unix, self.abstract)
        for one in self.sockets:
            one.setblocking(False)
            if one is not self.udp:
                one.listen()
        self.victim = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(300)"])
        self.mark = secrets.token_hex(12)
        self.known = {
            "secret": str(self.secret),
            "folder": str(folder),
            "home": os.path.expanduser("~"),
            "base": sys.base_prefix,
            "packages": [p for p in sys.path if p],
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "unix": path,
            "abstract": where[1:],
            "parent": os.getpid(),
            "victim": self.victim.pid,
            "token": self.mark,
            "python": interpreter(),
        }
        self.before = self.state()

    def state(self) -> list[tuple[str, int, float]]:
        """The files, with their sizes and times."""
        return sorted((str(p), p.lstat().st_size, p.lstat().st_mtime) for p in self.folder.iterdir())

    def harm(self, said: bytes) -> list[str]:
        """What a program has got at, besides what it says itself."""
        found = [] if self.token.encode() not in said else ["the secret was read"]
        if self.secret.read_text() != self.token or self.state() != self.before:
            found.append("files were changed")
        if self.victim.poll() is not None:
            found.append("a neighbour was killed")
        for one in self.sockets:
            try:
                one.recv(9) if one is self.udp else one.accept()[0].close()
            except BlockingIOError:
                continue
            found.append("something came to a socket")
        return found + [f"process {pid} is left" for pid in self.left()]

    def left(self) -> list[int]:
        """Processes that a program has left."""
        out = []
        for name in filter(str.isdecimal, os.listdir("/proc")):
            try:
                said = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            # the text of a program is no argument of it, so the mark is in those it started
            if self.mark.encode() in said:
                out.append(int(name))
        return out

    def close(self) -> None:
        """Take all of it down."""
        self.victim.kill()
        self.victim.wait()
        for one in self.sockets:
            one.close()
