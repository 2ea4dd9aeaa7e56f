"""Where this program's own files live for the operator; nothing is created unless asked for."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import platformdirs

from backends.domain.problem import Exit, LiftlockError, Problem

NAME = "liftlock"
CONFIG_VARIABLE = "LIFTLOCK_CONFIG_DIR"
STATE_VARIABLE = "LIFTLOCK_STATE_DIR"


def config_dir() -> Path:
    """Cluster files, profiles, preferences: $LIFTLOCK_CONFIG_DIR, else the platform's place.

    On Linux that is $XDG_CONFIG_HOME/liftlock, usually ~/.config/liftlock.
    """
    return _overridden(CONFIG_VARIABLE) or platformdirs.user_config_path(NAME, appauthor=False)


def state_dir() -> Path:
    """Journal and run history: $LIFTLOCK_STATE_DIR, else the platform's place.

    On Linux that is $XDG_STATE_HOME/liftlock, usually ~/.local/state/liftlock.
    """
    return _overridden(STATE_VARIABLE) or platformdirs.user_state_path(NAME, appauthor=False)


def ensure_private(path: Path) -> Path:
    """Create a directory, or take one that is ours, readable by nobody else (0700).

    Raises LiftlockError, exit 2: `directory-not-private` when it is a link, no directory, or
    somebody else's; `directory-unusable` when it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise _refusal(
                "directory-not-private",
                f"{path} is not a directory of yours.",
                f"mode {found.st_mode:o}, owner {found.st_uid}",
            )
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
    except OSError as error:
        raise _refusal(
            "directory-unusable", f"{path} cannot be used.", error.strerror or str(error)
        ) from error
    return path


def _overridden(variable: str) -> Path | None:
    value = os.environ.get(variable, "").strip()
    return Path(value).expanduser().absolute() if value else None


def _refusal(code: str, summary: str, evidence: str) -> LiftlockError:
    advice = f"Move it away, or set {CONFIG_VARIABLE} or {STATE_VARIABLE} to another place."
    return LiftlockError(Problem(code, summary, evidence, advice), Exit.USAGE)
