"""The first thing that runs inside: lower the limits for good, give up rights, become the program.

Its text is given to the interpreter, so it needs the standard library alone. The arguments are numbers, and after them
the program to become; without one, the Python script in the file descriptor `code` is run. A byte in `ready` says that
all went well until then.
"""

import os
import resource
import sys

MEMORY = 86
"""The exit status of a script that ended in a MemoryError."""


def lower(cpu: int, memory: int, files: int, processes: int) -> None:
    """Set the limits; nobody without rights can raise them again."""
    for which, soft, hard in (
        (resource.RLIMIT_CPU, cpu, cpu + 1),  # a program may catch the signal of the first, not that of the second
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, files, files),
        (resource.RLIMIT_NPROC, processes, processes),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
    ):
        known = resource.getrlimit(which)[1]
        if known != resource.RLIM_INFINITY:
            soft, hard = min(soft, known), min(hard, known)
        try:
            resource.setrlimit(which, (soft, hard))
        except ValueError:  # the address space cannot be limited on macOS
            if sys.platform != "darwin":
                raise


def main() -> None:
    """Never returns a value: it is the program."""
    ready, code, uid, *limits = map(int, sys.argv[1:8])
    program = sys.argv[8:]
    source = bytearray()
    while part := os.read(code, 1 << 20):
        source += part
    os.close(code)
    lower(*limits)
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.write(ready, b"1")
    os.closerange(3, 1 << 16)
    if program:
        os.execv(program[0], program)
    text = bytes(source)
    del source
    sys.argv[:] = ["program"]
    try:
        exec(compile(text, "<program>", "exec", dont_inherit=True), {"__name__": "__main__"})
    except MemoryError:
        os._exit(MEMORY)


main()
