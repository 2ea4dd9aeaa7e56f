"""Whose the new files are: the profile's `owner`, else that of what they replace.

Source: feature R17 (modes and owners of an archive are not believed) and B10.
"""

import grp
import os
import pwd
import stat
from typing import Any, Dict, Tuple

from backends.node import images

Owner = Tuple[int, int]


class NoSuchOwner(Exception):
    """The profile names a user or group that this node does not have."""


def wanted(document: Dict[str, Any], like: images.Image) -> Owner:
    """User and group of a new file that takes the place of `like`, or lies in it.

    Raises:
        NoSuchOwner: The profile's owner is unknown here.
    """
    if document["owner"]:
        return _named(document["owner"])
    return like["uid"], like["gid"]


def give_like(document: Dict[str, Any], new: str, live: str) -> None:
    """Give a staged file, link or tree the owner of what it will replace.

    Raises:
        NoSuchOwner: The profile's owner is unknown here.
        OSError: We may not give it.
    """
    if not document["owner"] and os.geteuid() != 0:
        return  # ours is all that we can give
    like = images.image(live, content=False)
    while like["kind"] == "absent":
        live = os.path.dirname(live)
        like = images.image(live, content=False)
    _give(new, wanted(document, like))


def give_all(document: Dict[str, Any], tree: str) -> None:
    """Give a staged tree the profile's owner, if it names one.

    Raises:
        NoSuchOwner, OSError: As `give_like`.
    """
    if document["owner"]:
        _give(tree, _named(document["owner"]))


def _give(path: str, owner: Owner) -> None:
    _give_one(path, os.lstat(path), owner)
    if os.path.isdir(path) and not os.path.islink(path):
        for relative, found in images.walk(path):
            _give_one(os.path.join(path, relative), found, owner)


def _give_one(path: str, found: os.stat_result, owner: Owner) -> None:
    if (found.st_uid, found.st_gid) == owner:
        return
    os.chown(path, owner[0], owner[1], follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(path, stat.S_IMODE(found.st_mode))  # chown drops the setuid bits


def _named(owner: str) -> Owner:
    user, _, group = owner.partition(":")
    try:
        about = pwd.getpwnam(user) if not user.isdigit() else None
        uid = about.pw_uid if about else int(user)
        if not group:
            return uid, about.pw_gid if about else uid
        return uid, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise NoSuchOwner("owner %s: %s" % (owner, error.args[0])) from error
