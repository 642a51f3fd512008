"""Which system calls a program in the sandbox may not make, as a seccomp filter.

Everything else is allowed. Denied is what a small computation never needs and what has let programs out of sandboxes:
other processes' memory, mounts and namespaces, sockets, keys, kernel modules, BPF, performance counters, io_uring, and
shared memory that no limit counts. Such a call fails with EPERM; `clone3` with ENOSYS, so that the C library takes
`clone`, whose flags can be looked at. A call of another architecture kills the program.
"""

from __future__ import annotations

import platform
import struct

_COMMON = {  # the same number everywhere
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}
DENIED: dict[str, dict[str, int]] = {
    "x86_64": {
        **_COMMON,
        "shmget": 29,
        "socket": 41,
        "semget": 64,
        "msgget": 68,
        "ptrace": 101,
        "syslog": 103,
        "personality": 135,
        "modify_ldt": 154,
        "pivot_root": 155,
        "chroot": 161,
        "acct": 163,
        "mount": 165,
        "umount2": 166,
        "swapon": 167,
        "reboot": 169,
        "sethostname": 170,
        "iopl": 172,
        "ioperm": 173,
        "init_module": 175,
        "delete_module": 176,
        "quotactl": 179,
        "mq_open": 240,
        "kexec_load": 246,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "unshare": 272,
        "perf_event_open": 298,
        "fanotify_init": 300,
        "open_by_handle_at": 304,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "kcmp": 312,
        "finit_module": 313,
        "kexec_file_load": 320,
        "bpf": 321,
        "userfaultfd": 323,
    },
    "aarch64": {
        **_COMMON,
        "umount2": 39,
        "mount": 40,
        "pivot_root": 41,
        "chroot": 51,
        "quotactl": 60,
        "acct": 89,
        "personality": 92,
        "unshare": 97,
        "kexec_load": 104,
        "init_module": 105,
        "delete_module": 106,
        "syslog": 116,
        "ptrace": 117,
        "reboot": 142,
        "sethostname": 161,
        "mq_open": 180,
        "msgget": 186,
        "semget": 190,
        "shmget": 194,
        "socket": 198,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "swapon": 224,
        "perf_event_open": 241,
        "fanotify_init": 262,
        "open_by_handle_at": 265,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "kcmp": 272,
        "finit_module": 273,
        "bpf": 280,
        "userfaultfd": 282,
        "kexec_file_load": 294,
    },
}
"""Numbers of the denied calls (Linux, include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls)."""

_MACHINE = {"x86_64": (0xC000003E, 56), "aarch64": (0xC00000B7, 220)}  # AUDIT_ARCH_*, and the number of clone
_CLONE3 = 435
_FORK = {"x86_64": (57, 58), "aarch64": ()}  # fork and vfork, where there are such
_NAMESPACES = 0x7E020080  # CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET}
_EPERM, _EAGAIN, _ENOSYS = 1, 11, 38
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARG0 = 0, 4, 16  # places in struct seccomp_data


def seccomp(alone: bool = False, machine: str = platform.machine()) -> bytes | None:
    """The filter as the kernel takes it (an array of `struct sock_filter`); None for a machine that is not known.

    `alone`: no further process or thread either (EAGAIN, as the limit of processes says it). The limit counts by user,
    and does not count root's.
    """
    if machine not in _MACHINE:
        return None
    arch, clone = _MACHINE[machine]
    code = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NR)]
    if machine == "x86_64":  # the numbers of x32 are others
        code += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]
    for number in sorted(DENIED[machine].values()):
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    code += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    for number in (clone, *_FORK[machine]) if alone else ():
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _EAGAIN)]
    code += [(_EQUAL, 0, 3, clone), (_LOAD, 0, 0, _ARG0), (_ANY_BIT, 0, 1, _NAMESPACES), (_RETURN, 0, 0, _ERRNO | _EPERM)]  # fmt: skip  # noqa: E501
    code += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *one) for one in code)
