"""An operator's marks on a cluster, kept beside the run history: one file a cluster."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path

from backends.domain.marks import Mark, MarkKind
from backends.domain.problem import Exit, LiftlockError, Problem

_SCHEMA = "liftlock.marks/1"


class Marks:
    """The marks on one cluster, in a file in `folder`."""

    def __init__(self, folder: Path, cluster: str) -> None:
        self.path = folder / f"{cluster}.marks.json"

    def read(self) -> tuple[Mark, ...]:
        """All of them, also those that have lapsed; none where there is no file.

        Raises:
            LiftlockError: `marks-damaged` (exit 2): a node that was left out must not come back
                because a file cannot be read.
        """
        try:
            text = self.path.read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except (OSError, UnicodeDecodeError) as error:
            raise self._damaged(str(error)) from error
        try:
            content = json.loads(text)
            if content["schema"] != _SCHEMA:
                raise ValueError(f"its schema is {content['schema']!r}")
            return tuple(_mark(each) for each in content["marks"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from error

    def put(self, marks: Iterable[Mark]) -> None:
        """Add these; one about the same is replaced.

        Raises:
            LiftlockError: `marks-damaged`, `marks-unwritable` (exit 2).
        """
        new = {mark.about: mark for mark in marks}
        with self._locked():
            self._write([each for each in self.read() if each.about not in new] + [*new.values()])

    def take_away(self, gone: Iterable[Mark]) -> None:
        """Remove marks.

        Raises:
            LiftlockError: As `put`.
        """
        about = {mark.about for mark in gone}
        with self._locked():
            self._write([each for each in self.read() if each.about not in about])

    def _write(self, marks: list[Mark]) -> None:
        content = {
            "schema": _SCHEMA,
            "marks": [asdict(each) for each in marks],
        }
        beside = self.path.with_suffix(".new")
        with open(beside, "w", encoding="utf-8", opener=_private) as stream:
            json.dump(content, stream, indent=1, sort_keys=True)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(self.path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with open(self.path.with_suffix(".lock"), "w", opener=_private) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise LiftlockError(
                Problem(
                    "marks-unwritable",
                    "The marks cannot be written; they are as they were.",
                    f"{self.path}: {error.strerror}",
                    "Make room or repair the directory, or write the mark into the cluster file.",
                ),
                Exit.USAGE,
            ) from error

    def _damaged(self, why: str) -> LiftlockError:
        return LiftlockError(
            Problem(
                "marks-damaged",
                "What was marked on this cluster cannot be read; nothing was contacted.",
                f"{self.path}: {why}",
                "Repair the file, or move it away and mark the nodes again.",
            ),
            Exit.USAGE,
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _mark(content: dict[str, str]) -> Mark:
    texts = {key: content[key] for key in ("node", "version", "reason", "owner", "since", "until")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError("a mark is not made of texts")
    if texts["until"]:
        date.fromisoformat(texts["until"])
    return Mark(kind=MarkKind(content["kind"]), **texts)
