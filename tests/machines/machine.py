"""A machine in namespaces of its own: PID 1, mounts, network, control groups, boot id, root disk.

The root is an overlay over this machine's, with its upper layer in memory that lasts as long as
the object: what is written is there after a power cut, and nothing of it ever reaches us here.
Everything ends with the test's process, whatever ends that. Only root can make one.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.node import wait_until

_PR_SET_PDEATHSIG = 1
_V1 = Path("/sys/fs/cgroup/systemd")
"""systemd's hierarchy, where there are control groups of version 1; else all are of version 2."""

_MASKED = (
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-machine-id-commit.service",
    "systemd-modules-load.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "systemd-sysctl.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-update-done.service",
    "systemd-update-utmp.service",
)
"""Units that would act on the kernel, which this machine shares, or that only take time."""

_GENERATORS = ("/lib/systemd/system-generators", "/usr/lib/systemd/system-generators")
"""Where programs lie that systemd runs at each boot and each `daemon-reload`; none of them has
anything to generate here, and what packages of this machine brought is not for that one."""

_DISK = """\
set -eu
mount --make-rprivate /
mount -t tmpfs -o size=400m,mode=0755 tmpfs {top}
mkdir {top}/upper {top}/work {top}/root
cd /
echo ready
exec sleep infinity
"""

_BOOT = """\
set -eu
root={top}/root
mount --make-rprivate /
mount -t overlay overlay -o lowerdir=/,upperdir={top}/upper,workdir={top}/work $root
mount -t proc proc $root/proc
mount --bind $root/proc/sys $root/proc/sys
mount -o remount,ro,bind $root/proc/sys
mount -t sysfs sysfs $root/sys
for each in run tmp dev; do mount -t tmpfs -o mode=0755 tmpfs $root/$each; done
chmod 1777 $root/tmp
mkdir -p $root/dev/pts $root/dev/shm $root/run/lock $root/run/sshd
for each in null zero full random urandom tty; do
    : >$root/dev/$each; mount --bind /dev/$each $root/dev/$each
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts $root/dev/pts
ln -s pts/ptmx $root/dev/ptmx
ln -s /proc/self/fd $root/dev/fd
echo {boot_id} >$root/run/boot_id
mount --bind $root/run/boot_id $root/proc/sys/kernel/random/boot_id
{groups}
{traces}
ip link set lo up
hostname {name}
exec env -i container=liftlock PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot $root {init}
"""

_GROUPS_OF_V1 = """\
mount -t tmpfs tmpfs $root/sys/fs/cgroup
mkdir $root/sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup $root/sys/fs/cgroup/systemd
"""
_GROUPS_OF_V2 = "mount -t cgroup2 cgroup2 $root/sys/fs/cgroup\n"

_TRACES = "mkdir -p $root{0}; mount --bind {0} $root{0}"
"""For `make coverage`: what a traced updater says in there goes to where all of it goes."""

_LEVELS = tuple(f"/etc/rc{level}.d" for level in "0123456S")

INIT = """\
#!/bin/sh
# PID 1 of a machine without systemd: what is linked for run level 2, then sshd, which buries all.
for each in /etc/rc2.d/S*; do [ -x "$each" ] && "$each" start; done
exec /usr/sbin/sshd -D
"""

SYSV = "/etc/machine-init"

SYSTEMD = "/lib/systemd/systemd --system --unit=multi-user.target"

_NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup")


class Machine:
    """One machine. `init` is what its PID 1 is, a command line in its root."""

    def __init__(self, top: Path, name: str, init: str = SYSTEMD) -> None:
        self.name = name
        self.top = top
        self.init = init
        self.boots = 0
        top.mkdir(parents=True)
        self._groups = _groups(f"liftlock-{os.getpid()}-{name}")
        self._pid1: subprocess.Popen[bytes] | None = None
        self._disk = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _DISK.format(top=top)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            preexec_fn=end_with_us,
        )
        assert self._disk.stdout is not None
        assert self._disk.stdout.readline() == b"ready\n", "only root can make a machine"
        self._prepare()

    def _prepare(self) -> None:
        """What its root has that this machine's has not; units of this machine are not its own."""
        self.write("/etc/machine-id", f"{uuid.uuid4().hex}\n")
        self.write("/etc/hostname", f"{self.name}\n")
        self.write(SYSV, INIT, 0o755)
        for path in ("/root", *_LEVELS):  # what a developer's shell does at a login is not for it
            self._empty(path)
        units = self._empty("/etc/systemd/system")
        for unit in _MASKED:
            (units / unit).symlink_to("/dev/null")
        for generator in {path.name for top in _GENERATORS for path in Path(top).glob("*")}:
            self.link(f"/etc/systemd/system-generators/{generator}", "/dev/null")

    def _empty(self, path: str) -> Path:
        """A directory in which nothing of this machine's is to be seen."""
        made = self._upper(path)
        made.mkdir(parents=True)
        os.setxattr(made, "trusted.overlay.opaque", b"y")
        return made

    # --- the disk, whether it runs or not -------------------------------------------------------

    def _upper(self, path: str) -> Path:
        return Path(f"/proc/{self._disk.pid}/root{self.top}/upper{path}")

    def path(self, path: str) -> Path:
        """A path of the machine's root, from here; the machine has to run."""
        return Path(f"/proc/{self.pid}/root{path}")

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """Put a file onto the disk."""
        goal = self.path(path) if self._pid1 else self._upper(path)
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.write_text(content)
        goal.chmod(mode)

    def link(self, path: str, target: str) -> None:
        """Put a link onto the disk."""
        goal = self._upper(path)
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.symlink_to(target)

    def keep(self, name: str) -> None:
        """Remember what is on the disk, under a name; it must be off."""
        self._on_disk(f"mkdir -p kept; rm -rf kept/{name}; cp -a upper kept/{name}")

    def put_back(self, name: str) -> None:
        """Have on the disk what was kept; it must be off."""
        self._on_disk(f"rm -rf upper work; cp -a kept/{name} upper; mkdir work")

    def _on_disk(self, script: str) -> None:
        assert self._pid1 is None, "it is on"
        words = ["nsenter", f"--target={self._disk.pid}", "--mount", "--", "sh", "-ec"]
        subprocess.run([*words, f"cd {self.top}; {script}"], check=True, timeout=60)

    # --- power ----------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Its PID 1, as this machine counts."""
        assert self._pid1 is not None, "it is off"
        children = Path(f"/proc/{self._pid1.pid}/task/{self._pid1.pid}/children")
        return int(children.read_text().split()[0])

    def boot(self) -> None:
        """Switch it on, and wait until it has booted. Each boot has an id of its own."""
        self.boots += 1
        traced = os.environ.get("COVERAGE_FILE")
        script = _BOOT.format(
            top=self.top,
            name=self.name,
            boot_id=uuid.uuid4(),
            init=self.init,
            groups=_GROUPS_OF_V1 if _V1.is_dir() else _GROUPS_OF_V2,
            traces=_TRACES.format(os.path.dirname(traced)) if traced else "",
        )
        with (self.top.with_suffix(".console")).open("ab") as console:
            self._pid1 = subprocess.Popen(
                [
                    *("nsenter", f"--target={self._disk.pid}", "--mount"),
                    *("unshare", "--fork", "--kill-child", *_NAMESPACES),
                    *("sh", "-c", script),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                preexec_fn=self._begin,
            )
        wait_until(self._is_up, seconds=60)

    def _begin(self) -> None:
        end_with_us()
        for group in self._groups:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def _is_up(self) -> bool:
        assert self._pid1 is not None
        if self._pid1.poll() is not None:
            pytest.fail(f"{self.name} does not boot:\n{self.console()}", pytrace=False)
        with suppress(OSError, IndexError):
            if Path(f"/proc/{self.pid}/comm").read_text() in ("unshare\n", "sh\n"):
                return False
            return self.init != SYSTEMD or self.run("systemctl", "is-system-running").stdout in (
                b"running\n",
                b"degraded\n",
            )
        return False

    def console(self) -> str:
        """What it wrote while it booted."""
        return self.top.with_suffix(".console").read_text(errors="replace")

    def power_cut(self) -> None:
        """Everything that runs there is gone at once."""
        if self._pid1 is None:
            return
        os.kill(self.pid, signal.SIGKILL)
        self._pid1.wait()
        self._pid1 = None

    def close(self) -> None:
        """Switch it off for good."""
        with suppress(IndexError, OSError):
            self.power_cut()
        for process in (self._pid1, self._disk):
            if process is not None:
                process.kill()
                process.wait()
        if self._disk.stdout is not None:
            self._disk.stdout.close()
        self.top.with_suffix(".console").unlink(missing_ok=True)
        self.top.rmdir()
        for group in self._groups:
            _remove_group(group)

    def listens(self, port: int) -> bool:
        """Whether something there listens on a port of TCP."""
        lines = Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]
        return any(
            line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines
        )

    # --- in it ----------------------------------------------------------------------------------

    def enter(self) -> list[str]:
        """Words before a command that is to run there."""
        return ["nsenter", f"--target={self.pid}", "--all", "--root", "--wdns=/", "--"]

    def run(self, *words: str, check: bool = False) -> "subprocess.CompletedProcess[bytes]":
        """Run a command there, as somebody at its console would."""
        ran = subprocess.run(
            [*self.enter(), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            timeout=120,
        )
        assert not check or ran.returncode == 0, (words, ran)
        return ran

    def ask(self, *words: str) -> str:
        """What a command there says; it must succeed."""
        return self.run(*words, check=True).stdout.decode().strip()


def need(tool: str, package: str) -> None:
    """The test fails where a program is missing."""
    if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        pytest.fail(f"{tool} is missing; on Debian: apt-get install {package}", pytrace=False)


def end_with_us() -> None:
    """In a child, before it becomes a program: it is killed when the test's process ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _groups(name: str) -> list[Path]:
    """A control group of its own in each hierarchy that systemd uses."""
    made = []
    for top in _hierarchies():
        for left in top.glob("liftlock-*-*"):
            if not Path(f"/proc/{left.name.split('-')[1]}").exists():
                _remove_group(left)  # of a test that was killed
        made.append(top / name)
        made[-1].mkdir()
    return made


def _hierarchies() -> Iterator[Path]:
    """All that a systemd would make groups in. It leaves those of processors alone, and those
    take nobody in who was not given one."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind in ("cgroup", "cgroup2") and "cpuset" not in options.split(","):
            yield Path(where)


def _remove_group(group: Path) -> None:
    """Groups go when they are empty; the kernel takes a moment to bury who was in them."""
    give_up = time.monotonic() + 10
    while group.exists():
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)
        assert time.monotonic() < give_up, f"{group} is still in use"
        time.sleep(0.01)
