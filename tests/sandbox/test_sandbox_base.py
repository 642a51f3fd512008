"""How programs end, by value; what is chosen, shown and refused; that nothing is left open."""

# ruff: noqa: E501 - programs are lines
from __future__ import annotations

import contextlib
import os
import pwd
import resource
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import sharpen
from sharpen.errors import SharpenError
from sharpen.sandbox import Job, Limits, Ran, choose, open_sandbox, run_many
from sharpen.sandbox import bubblewrap as bubblewrap_module
from sharpen.sandbox.bubblewrap import Bubblewrap, free_uids, interpreter, libraries, unused_uid
from sharpen.sandbox.filter import DENIED, seccomp
from sharpen.sandbox.plain import Process
from sharpen.sandbox.watch import ended, held

MIB = 1 << 20


@pytest.mark.parametrize(
    ("program", "stdin", "status", "code", "out"),
    [
        (b"print(6 * 7)", b"", "ok", 0, b"42\n"),
        (b"", b"", "ok", 0, b""),
        (b"import sys\nprint(sys.stdin.read()[::-1])", b"abc", "ok", 0, b"cba\n"),
        (b"import sys\nprint(len(sys.stdin.buffer.read()))", b"\0" * 3_000_000, "ok", 0, b"3000000\n"),
        (b"raise SystemExit(3)", b"", "died", 3, b""),
        (b"1 / 0", b"", "died", 1, b""),
        (b"import os\nos.abort()", b"", "died", 134, b""),
        (b"import os\nos.kill(os.getpid(), 15)", b"", "died", 143, b""),
        (b"x = [0] * 10**10", b"", "memory", 86, b""),
        ("print('é\ud800')".encode("utf-8", "surrogatepass"), b"", "died", 1, b""),
        (b"print(1)\0", b"", "died", 1, b""),
        (b"print('x' * 65535)", b"", "ok", 0, b"x" * 65535 + b"\n"),
        (b"print(list(set('abcdef')) == list(set('abcdef')))", b"", "ok", 0, b"True\n"),
    ],
)
def test_how_programs_end(sandbox, program, stdin, status, code, out):
    ran = sandbox.run(program, stdin, Limits())
    assert (ran.status, ran.code, ran.out) == (status, code, out)
    assert (ran.err == b"") == (code in (0, 3, 86, 134, 143))


def test_what_cannot_be_killed_is_told(monkeypatch):
    """A fork bomb of root may go on faster than it is killed; nobody waits for ever."""
    monkeypatch.setattr("sharpen.sandbox.plain.PATIENCE", 0.1)
    monkeypatch.setattr("sharpen.sandbox.plain._processes", lambda: [1 << 30])
    monkeypatch.setattr("sharpen.sandbox.plain._bears", lambda pid, mark: True)
    with pytest.raises(
        SharpenError, match=r"faster than they can be killed, .* that have SANDBOX_MARK=\w{32} in their"
    ):
        Process().run(b"")


def test_output_is_cut_at_the_limit(sandbox):
    ran = sandbox.run(b"print('x' * 100, end='')", b"", Limits(output=99))
    assert (ran.status, ran.out) == ("output", b"x" * 99)
    ran = sandbox.run(b"print('x' * 100, end='')", b"", Limits(output=100))
    assert (ran.status, ran.out) == ("ok", b"x" * 100)
    ran = sandbox.run(
        b"import sys, time\nprint('x' * 10**6, file=sys.stderr, flush=True)\ntime.sleep(99)", b"", Limits()
    )
    assert (ran.status, len(ran.err), ran.seconds < 5) == ("output", 65536, True)


def test_sets_have_one_order(sandbox):
    said = {sandbox.run(b"print(set('abcdefgh'), hash('a'))").out for _ in range(3)}
    assert len(said) == 1


def test_what_a_program_finds(bubblewrap):
    code = b"import os, sys\nprint(sorted(os.listdir('/')), os.listdir(), os.getcwd(), sorted(os.environ), os.getpid(), os.uname().nodename, sys.argv, sys.flags.no_site)"
    said = bubblewrap.run(code).out.decode()
    assert "'tmp'" in said
    assert "'proc'" not in said
    assert "'home'" not in said or sys.base_prefix.startswith("/home")
    assert said.endswith("[] /tmp ['LC_ALL', 'PWD', 'PYTHONHASHSEED'] 2 sandbox ['program'] 1\n")


def test_a_program_is_no_user_of_the_machine(bubblewrap):
    uid = int(bubblewrap.run(b"import os\nassert os.getuid() == os.geteuid() == os.getgid()\nprint(os.getuid())").out)
    if os.geteuid():
        assert uid == 65534
    else:
        assert uid not in {p.pw_uid for p in pwd.getpwall()}


def test_scratch_is_new_each_time_and_limited_as_a_whole(bubblewrap):
    limits = Limits(files=2 * MIB)
    fill = (
        b"import os\nprint(os.listdir())\nfor i in range(9):\n    open(str(i), 'wb').write(b'x' * (MIB // 2))".replace(
            b"MIB", b"1048576"
        )
    )
    for _ in range(2):
        ran = bubblewrap.run(fill, b"", limits)
        assert (ran.status, ran.out) == ("died", b"[]\n")
        assert b"No space left" in ran.err
    assert bubblewrap.run(b"open('a', 'wb').write(b'x' * 1048576)", b"", limits).status == "ok"


def test_processes_are_counted(bubblewrap):
    code = b"import os\nn = 1\nwhile True:\n    try:\n        if os.fork() == 0: os.pause() if hasattr(os, 'pause') else __import__('signal').pause()\n        n += 1\n    except OSError: break\nprint(n)"
    assert [bubblewrap.run(code, b"", Limits(processes=n)).out for n in (1, 2, 5)] == [b"1\n", b"2\n", b"5\n"]


def test_another_program(sandbox):
    ran = sandbox.run([interpreter(), "-S", "-c", "import sys; print(sys.stdin.read(), sys.argv)", "a b"], b"hello")
    assert (ran.status, ran.code, ran.out) == ("ok", 0, b"hello ['-c', 'a b']\n")
    ran = sandbox.run(["/nowhere/at/all"])
    assert (ran.status, ran.code, ran.out) == ("died", 1, b"")


def test_there_is_no_other_program_than_the_interpreter(bubblewrap):
    ran = bubblewrap.run(["/bin/sh", "-c", "id"])
    assert (ran.status, ran.code, ran.out, b"FileNotFoundError" in ran.err) == ("died", 1, b"", True)


def test_many_keep_their_order(sandbox):
    jobs = [Job(f"print({i})".encode()) for i in range(10)]
    assert [r.out for r in run_many(sandbox, jobs, Limits(), 3)] == [f"{i}\n".encode() for i in range(10)]


def test_nothing_is_left_open(sandbox):
    sandbox.run(b"1")
    before, children = sorted(os.listdir("/proc/self/fd")), set(offspring())
    for program in (b"1", b"1 / 0", b"print('x' * 10**6)"):
        sandbox.run(program)
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert set(offspring()) == children


def test_a_program_finds_no_open_descriptors(sandbox):
    code = b"import os\nn = []\nfor fd in range(2000):\n    try: os.fstat(fd); n.append(fd)\n    except OSError: pass\nprint(n)"
    assert sandbox.run(code).out == b"[0, 1, 2]\n"


def test_with_many_open_files(sandbox):
    """More than `select` can take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 2048:
        pytest.skip("so many files may not be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    held_open = [os.open("/dev/null", 0) for _ in range(1200)]
    try:
        assert sandbox.run(b"print(1)").out == b"1\n"
    finally:
        for fd in held_open:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def offspring():
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                yield pid


def test_a_sandbox_that_does_not_start_is_no_verdict(bubblewrap, monkeypatch):
    monkeypatch.setattr(bubblewrap_module, "_places", lambda scratch: ("--ro-bind", "/nowhere/at/all", "/nowhere"))
    with pytest.raises(SharpenError, match=r"The sandbox could not be started \(exit status 1\): bwrap: .*nowhere"):
        bubblewrap.run(b"print(1)")


def test_what_the_system_refuses_is_told(bubblewrap, monkeypatch):
    """Descriptors that run out, and no place for a scratch folder."""
    before = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(SharpenError, match=r"could not be run: \[Errno 24\] .*No program was judged.*`ulimit -n`"):
            bubblewrap.run(b"print(1)")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir("/proc/self/fd")) == before
    assert bubblewrap.run(b"print(1)").out == b"1\n"
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(SharpenError, match=r"could not be run: \[Errno 2\] .*'/nowhere/sandbox-.*temporary folder"):
        open_sandbox("process").run(b"print(1)")


@pytest.mark.parametrize("program", ["os.chmod('.', 0)", "os.symlink('/', 'd/x'); os.symlink('..', 'y')"])
def test_a_scratch_of_any_depth_is_removed(program, tmp_path, monkeypatch):
    """Links in it are removed and not followed; what is beside it stays."""
    (tmp_path / "beside").write_text("stays")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = f"import os\nos.mkdir('d')\n{program}\nfor _ in range(3000):\n    try:\n        os.mkdir('d')\n    except OSError: pass\n    os.chdir('d')\n    open('f', 'w').close()\nprint('made')"
    ran = open_sandbox("process").run(code.encode(), limits=Limits(cpu=10, seconds=30.0))
    assert ran.out == b"made\n" or os.geteuid()
    assert [p.name for p in tmp_path.iterdir()] == ["beside"]


@pytest.mark.parametrize(
    ("code", "seconds", "status"),
    [(0, 9, "ok"), (152, 0.5, "time"), (137, 1.5, "time"), (137, 0.5, "died"), (86, 0, "memory"), (1, 9, "died")],
)
def test_what_an_exit_status_means(code, seconds, status):
    assert ended(code, seconds, Limits(cpu=1)) == status


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"seconds": 0}, "`seconds` of a sandbox must be a number above 0 and at most 3600, and it is 0"),
        ({"seconds": float("nan")}, "`seconds`"),
        ({"cpu": 0.5}, "`cpu` of a sandbox must be a whole number of at least 1, and it is 0.5"),
        ({"memory": 1 << 20}, "`memory` of a sandbox must be a whole number of at least 33554432"),
        ({"processes": True}, "`processes`"),
        ({"files": 1}, "`files` of a sandbox must be a whole number of at least 4096"),
        ({"output": -1}, "`output`"),
    ],
)
def test_limits_that_are_none(limits, told):
    with pytest.raises(SharpenError, match=told):
        Limits(**limits)


@pytest.fixture
def probed_anew():
    choose.lacking.cache_clear()
    yield
    choose.lacking.cache_clear()


def test_what_is_chosen(bubblewrap):
    assert open_sandbox() == open_sandbox("auto") == Bubblewrap()
    assert open_sandbox("process") == Process()
    with pytest.raises(SharpenError, match=r"There is no sandbox 'proces'. Did you mean process\?"):
        open_sandbox("proces")


def test_without_bubblewrap(probed_anew, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SharpenError) as caught:
        open_sandbox("auto")
    told = str(caught.value)
    assert told.startswith(
        "Code that a model writes is run in a sandbox, and bubblewrap (`bwrap`) is not installed. Install"
    )
    assert "Or ask for the sandbox `process`" in told
    assert "does not keep a program from reading and writing your files or from the network" in told
    assert "\n" not in told
    assert open_sandbox("process") == Process()


def fake(folder, monkeypatch, text):
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_an_old_bubblewrap(probed_anew, monkeypatch, tmp_path):
    fake(tmp_path, monkeypatch, "echo bubblewrap 0.6.1")
    with pytest.raises(
        SharpenError, match=r"bubblewrap is too old: it is 0\.6\.1, and 0\.8 is needed\. Install a newer one"
    ):
        open_sandbox("bubblewrap")


def test_a_bubblewrap_that_may_not(probed_anew, monkeypatch, tmp_path):
    fake(tmp_path, monkeypatch, '[ "$1" = --version ] && echo bubblewrap 0.9.0 || { echo bwrap: No permissions to create new namespace >&2; exit 1; }')  # fmt: skip
    with pytest.raises(
        SharpenError, match=r"is installed but does not work here: .*No permissions to create new namespace.*sysctl"
    ):
        open_sandbox()


def test_what_is_shown_is_what_an_interpreter_needs():
    shown, hidden = libraries()
    assert interpreter() in shown
    assert any(os.path.dirname(os.__file__).startswith(p) for p in shown)
    home = os.path.expanduser("~")
    assert not any(home == p or home.startswith(p + "/") for p in shown)
    assert all(p.endswith("-packages") or p.endswith("/python3") for p in hidden)
    assert not [p for p in shown if any(p.startswith(q + "/") for q in shown)]


def below(paths, folder):
    return [p.removeprefix(f"{folder}/") for p in paths if p.startswith(f"{folder}/")]


@pytest.mark.parametrize(
    ("links", "version", "shown", "hidden"),
    [
        # a version that is named by a link: the library is shown twice, and so are its packages
        (
            {"3": "3.11"},
            "3",
            ["3.11/bin/python", "3.11/lib/PY", "3/lib"],
            ["3.11/lib/PY/dist-packages", "3.11/lib/PY/site-packages", "3/lib/PY/dist-packages", "3/lib/PY/site-packages", "3/lib/python3"],
        ),
        ({}, "3.11", ["3.11/bin/python", "3.11/lib"], ["3.11/lib/PY/dist-packages", "3.11/lib/PY/site-packages", "3.11/lib/python3"]),
        # as in conda: another name of the library in the same folder
        ({"3.11/lib/python3.1": "PY"}, "3.11", ["3.11/bin/python", "3.11/lib"], ["3.11/lib/PY/dist-packages", "3.11/lib/PY/site-packages", "3.11/lib/python3"]),
        # packages that lie elsewhere, in what is shown and out of it
        ({"3.11/lib/PY/a-packages": "../more", "3.11/lib/PY/b-packages": "../../share"}, "3.11", ["3.11/bin/python", "3.11/lib"], ["3.11/lib/PY/dist-packages", "3.11/lib/PY/site-packages", "3.11/lib/more", "3.11/lib/python3"]),
        # `lib` is a link itself: no more than the library is shown
        ({"3": "3.11", "3.11/lib64": "lib"}, "3", ["3.11/bin/python", "3.11/lib/PY"], ["3.11/lib/PY/dist-packages", "3.11/lib/PY/site-packages"]),
    ],
)  # fmt: skip
def test_packages_are_hidden_wherever_they_are_shown(tmp_path, monkeypatch, links, version, shown, hidden):
    """An interpreter without a shared library of its own, in a made folder."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for folder in ("bin", "share", "lib/more", "lib/python3", "lib/PY/site-packages", "lib/PY/dist-packages"):
        (tmp_path / "3.11" / folder.replace("PY", name)).mkdir(parents=True)
    (tmp_path / "3.11/bin/python").touch()
    for link, to in links.items():
        (tmp_path / link.replace("PY", name)).symlink_to(to.replace("PY", name))
    library = tmp_path / version / ("lib64" if "3.11/lib64" in links else "lib") / name
    monkeypatch.setattr(sys, "_base_executable", str(tmp_path / version / "bin/python"), raising=False)
    monkeypatch.setattr(bubblewrap_module.sysconfig, "get_path", lambda which, vars: str(library))
    monkeypatch.setattr(bubblewrap_module, "_shared", lambda: False)
    seen = [sorted(p.replace(name, "PY") for p in below(paths, tmp_path)) for paths in libraries()]
    assert seen == [shown, hidden]


def test_how_many_calls_are_denied():
    """The numbers the documentation tells."""
    assert {machine: len(set(calls.values())) for machine, calls in DENIED.items()} == {"x86_64": 49, "aarch64": 46}
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    assert "seccomp denies 49 system calls on x86_64 and 46 on aarch64" in page


def test_the_filter_denies_what_it_names_and_lets_pass_the_rest():
    """Run by a small interpreter of such filters."""
    for machine, arch, clone in (("x86_64", 0xC000003E, 56), ("aarch64", 0xC00000B7, 220)):
        rules = seccomp(machine=machine)

        def verdict(nr, arch=arch, first=0, rules=rules):
            data, a, at = struct.pack("=IIQ6Q", nr, arch, 0, first, 0, 0, 0, 0, 0), 0, 0
            while True:
                code, yes, no, k = struct.unpack_from("=HBBI", rules, 8 * at)
                at += 1
                if code == 0x20:
                    a = struct.unpack_from("=I", data, k)[0]
                elif code == 0x06:
                    return k
                else:
                    at += yes if {0x15: a == k, 0x35: a >= k, 0x45: bool(a & k)}[code] else no

        assert all(verdict(nr) == 0x50001 for nr in DENIED[machine].values())
        others = set(range(424)) - set(DENIED[machine].values()) - {clone}
        assert {verdict(nr) for nr in others} == {0x7FFF0000}
        assert verdict(435) == 0x50000 + 38
        assert verdict(clone, first=17) == 0x7FFF0000
        assert verdict(clone, first=0x10000000 | 17) == 0x50001
        assert verdict(clone, first=0x3D0F00) == 0x7FFF0000  # a thread
        assert verdict(0, arch=0x40000003) == 0x80000000
        rules = seccomp(True, machine)
        assert verdict(clone, first=17, rules=rules) == verdict(clone, first=0x3D0F00, rules=rules) == 0x50000 + 11
        assert [verdict(nr, rules=rules) for nr in (57, 58)] == [
            0x50000 + 11 if machine == "x86_64" else 0x7FFF0000
        ] * 2
    assert seccomp(machine="riscv64") is None


@pytest.mark.parametrize(
    ("mapped", "ids"),
    [
        ("         0          0 4294967295\n", (0x70000000, 1 << 24)),
        ("0 1000 1\n1 100000 65536\n", (32769, 32768)),
        ("0 1000 1\n", (0, 1)),
        ("0 100000 2000000000\n", (0x70000000, 1 << 24)),
    ],
)
def test_user_ids_are_those_there_are(mapped, ids):
    assert free_uids(mapped) == ids


@pytest.mark.parametrize(
    ("ids", "drawn", "uid"),
    [((0x70000000, 1 << 24), 0, 0x70000000), ((0x70000000, 1 << 24), (1 << 24) - 1, 0x70FFFFFF), ((9000, 4096), 5, 9005)],
)  # fmt: skip
def test_user_ids_are_drawn_from_all_there_are(monkeypatch, ids, drawn, uid):
    """Whatever the number of the process: those of two may be such that a rule of it gives the same."""
    asked = []
    monkeypatch.setattr(bubblewrap_module, "free_uids", lambda mapped: ids)
    monkeypatch.setattr("secrets.randbelow", lambda many: asked.append(many) or drawn)
    for pid in (7, 7 + 16384):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        assert unused_uid() == uid
    assert asked == [ids[1]] * 2


def test_root_with_one_id_is_as_a_user(monkeypatch):
    monkeypatch.setattr(bubblewrap_module, "free_uids", lambda mapped: (0, 1))
    assert unused_uid() == 0


def test_what_is_held_cannot_be_changed():
    fd = held(b"abc")
    assert os.read(fd, 9) == b"abc"
    with pytest.raises(PermissionError):
        os.write(fd, b"d")
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 99)
    os.close(fd)


def test_as_a_user_who_is_not_root(tmp_path):
    """The other way of bubblewrap: in a user namespace."""
    python, src = "/usr/bin/python3", Path(sharpen.__file__).parents[1]
    if os.geteuid():
        pytest.skip("all the other tests are run as such a user")
    if why := choose.lacking():
        pytest.skip(why)
    check = [python, "-c", f"import sys; assert sys.version_info >= (3, 11); open({str(src / 'sharpen/errors.py')!r})"]
    user = {"user": 54321, "group": 54321, "extra_groups": []}
    if not os.path.exists(python) or subprocess.run(check, capture_output=True, check=False, **user).returncode:
        pytest.skip("another user has no Python that can read the library")
    code = (
        f"import sys; sys.path.insert(0, {str(src)!r})\n"
        "from sharpen.sandbox import *\n"
        "s = open_sandbox()\n"
        "n = b'import os\\nn = 1\\ntry:\\n    while True:\\n        if os.fork() == 0: __import__(\"signal\").pause()\\n        n += 1\\nexcept OSError: print(n, os.getuid())'\n"
        "print([s.run(n, b'', Limits(processes=k)).out for k in (1, 3)])\n"
        't = b\'import os\\ntry: open("/etc/passwd"); print(1)\\nexcept OSError: print(2)\\nprint(os.listdir("/tmp"))\'\n'
        "print(s.run(t).out)\n"
        "print(call(s, Question('f = sum', 'f', [[[1, 2]]]), Limits()))\n"
    )
    ran = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, cwd="/", **user)
    assert ran.stdout.splitlines() == [
        "[b'1 65534\\n', b'3 65534\\n']",
        "b'2\\n[]\\n'",
        "Called(status='ok', values=(3,))",
    ], ran.stderr


def test_a_result_is_plain():
    ran = Process().run(b"print(1)")
    assert isinstance(ran, Ran)
    assert bubblewrap_module.LEAST == (0, 8)
