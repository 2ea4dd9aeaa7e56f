"""A node on which `ops` may become root as its sudoers say, with users and an /etc of its own.

Its sshd runs in a mount namespace: all of that is gone with its last process. It needs root here.
"""

import os
from pathlib import Path

from tests.drills.sshd import MARK, PATH, Operator, Sshd, tool

UID = 64000
PASSWORD = "open sesame 4711"
HASH = (
    "$6$rounds=1000$liftlockdrill$Kkfv7B6O282Sk/1AsIySDTjLAHid4QevCXs3t6wIuhd/"
    "ZRbV46opG7iO.v1zCi1yIzQiLQyWj3/IemPMwEwbJ1"
)
FREE = "ops ALL=(ALL) NOPASSWD: ALL"
ASKS = "ops ALL=(ALL) ALL"
TERMINAL = "Defaults use_pty\n"
"""Debian's own setting."""

_ENTER = """
etc=$1 home=$2
shift 2
for each in passwd shadow group sudoers sudoers.d; do
    mount --bind "$etc/$each" "/etc/$each"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
mount -t tmpfs -o mode=700 tmpfs /var/lib/sudo
mount --bind "$home" /home
exec "$@"
"""


class SudoSshd(Sshd):
    """A node on which `ops` may do what these sudoers say."""

    def __init__(self, top: Path, sudoers: str, *, config: str = "") -> None:
        super().__init__(top, "127.0.0.2", config=config)
        self.sudo_log = top / "sudo.log"
        self._inside = -1
        self._home = top / "home"
        self._home.mkdir()
        os.chown(self._home, UID, UID)
        self._write_etc(sudoers)
        enter = [tool("unshare", "util-linux"), "--mount", "--propagation", "private"]
        self.before = [*enter, "sh", "-e", "-c", _ENTER, "sh", str(self._etc), str(self._home)]
        self.authorized_keys = Path("/home/authorized_keys")  # as it is called in there

    def lets_in(self, operator: Operator) -> None:
        file = self._home / self.authorized_keys.name
        file.write_bytes(operator.key.export_public_key())

    def start(self) -> None:
        super().start()
        self._inside = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY)
        assert not self._is_inside("self"), "it is not in a namespace of its own"

    def stop(self) -> None:
        super().stop()
        if self._inside >= 0:
            os.close(self._inside)
            self._inside = -1

    def processes(self) -> list[int]:
        """Also all in its namespace, whatever environment sudo has left them."""
        found = super().processes()
        if self._inside >= 0:
            found += [int(pid) for pid in os.listdir("/proc") if self._is_inside(pid)]
        return found

    def _is_inside(self, pid: str) -> bool:
        if not (pid.isdigit() or pid == "self"):
            return False
        try:
            return os.path.samestat(os.stat(f"/proc/{pid}/ns/mnt"), os.fstat(self._inside))
        except OSError:
            return False

    @property
    def _etc(self) -> Path:
        return self.top / "etc"

    def _write_etc(self, sudoers: str) -> None:
        (self._etc / "sudoers.d").mkdir(parents=True)
        files = {
            "passwd": (
                0o644,
                f"{_account('root')}{_account('sshd')}ops:x:{UID}:{UID}::/home:/bin/sh\n",
            ),
            "shadow": (0o600, f"root:*:19000:0:99999:7:::\nops:{HASH}:19000:0:99999:7:::\n"),
            "group": (0o644, f"root:x:0:\nops:x:{UID}:\n"),
            "sudoers": (
                0o440,
                f"Defaults env_reset, !syslog, logfile={self.sudo_log}, env_keep += {MARK}\n"
                f'Defaults secure_path="{PATH}"\n{sudoers}\n',
            ),
        }
        for name, (mode, text) in files.items():
            (self._etc / name).write_text(text)
            (self._etc / name).chmod(mode)


def _account(name: str) -> str:
    """This machine's own line for a user."""
    lines = Path("/etc/passwd").read_text().splitlines(keepends=True)
    return next((line for line in lines if line.startswith(f"{name}:")), "")
