"""asyncssh and OpenSSH say the same of a known_hosts file as we do."""

import re
import subprocess
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.transport.known_hosts import (
    KnownHosts,
    Match,
    add,
    entry_for,
)
from tests.transport.known_keys import (
    ACCEPTED,
    IGNORED,
    UNKNOWN,
    Files,
    blob,
    blobs,
    hashed,
    key,
)

# --- asyncssh says the same ---------------------------------------------------------------------

NAMES = ["n1", "n2", "n10.example.com", "m1.example.com", "example.com"]
PATTERNS = [
    "*",
    "n?",
    "n*",
    "*.example.com",
    "n1*",
    "?1*",
    "[n1]:*",
    "[n*]:2222",
    "m?.example.???",
]
PORTS = [22, 2222, 2223]

plain_names = st.sampled_from(
    [*NAMES, *(f"[{name}]:{port}" for name in NAMES for port in PORTS[1:])]
)
pattern_lists = st.lists(
    st.sampled_from([*PATTERNS, *(f"!{each}" for each in [*PATTERNS, *NAMES])]) | plain_names,
    min_size=1,
    max_size=4,
).map(",".join)
hashed_names = st.builds(hashed, plain_names, st.binary(min_size=20, max_size=20))
named = st.tuples(pattern_lists | plain_names | hashed_names, st.integers(0, 5))
markers = st.sampled_from(["", "", "@cert-authority ", "@revoked "])


def ours(path: Path, name: str, port: int) -> list[set[bytes]]:
    known = KnownHosts.read([path])
    assert known.notes == ()
    match = known.match(name, port)
    return [set(blobs(each)) for each in (match.keys, match.authorities, match.revoked)]


def theirs(path: Path, name: str, port: int) -> list[set[bytes]]:
    with pytest.MonkeyPatch.context() as patch:
        # It asks the resolver whether a name or a pattern is an address with a zone. None is.
        patch.setattr("asyncssh.misc._normalize_scoped_ip", lambda address: address)
        known = asyncssh.import_known_hosts(path.read_text())
        found = known.match(name, "", None if port == 22 else port)
    return [{each.public_data for each in keys} for keys in found[:3]]


@given(st.lists(named, max_size=8), st.sampled_from(NAMES), st.sampled_from(PORTS))
def test_for_trusted_lines_asyncssh_finds_the_same_keys(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, int]],
    name: str,
    port: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "trusted"
    path.write_text("".join(f"{names} {key(seed)}\n" for names, seed in lines))
    assert ours(path, name, port) == theirs(path, name, port)


@given(st.lists(st.tuples(markers, named), max_size=8), st.sampled_from(NAMES))
def test_on_port_22_asyncssh_finds_the_same_keys_of_every_kind(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, tuple[str, int]]],
    name: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "marked"
    path.write_text("".join(f"{mark}{names} {key(seed)}\n" for mark, (names, seed) in lines))
    assert ours(path, name, 22) == theirs(path, name, 22)


# --- OpenSSH says the same (needs ssh-keygen) ---------------------------------------------------


def keygen(folder: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        ["ssh-keygen", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout


def found_by_keygen(path: Path, name: str, port: int) -> list[list[int]]:
    """Line numbers of keys, authorities, revoked; with `-l` it reads the keys, too."""
    asked = name if port == 22 else f"[{name}]:{port}"
    done = subprocess.run(
        ["ssh-keygen", "-l", "-F", asked, "-f", str(path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    found = re.findall(r"found: line (\d+) ?(\w*)", done.stdout)
    return [[int(n) for n, kind in found if kind == want] for want in ("", "CA", "REVOKED")]


def found_by_us(known: KnownHosts, name: str, port: int) -> list[list[int]]:
    match = known.match(name, port)
    kinds = (match.keys, match.authorities, match.revoked)
    return [[int(each.where.rpartition(":")[2]) for each in keys] for keys in kinds]


@pytest.mark.drill
@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_fingerprint_is_what_ssh_keygen_prints(of: Files, tmp_path: Path, kind: str) -> None:
    keygen(tmp_path, "-q", "-t", kind, "-N", "", "-C", "", "-f", "key")
    printed = keygen(tmp_path, "-l", "-f", "key.pub").split()[1]
    text = (tmp_path / "key.pub").read_text().strip()
    (found,) = of(f"n1 {text}\n").match("n1").keys
    assert (found.fingerprint, found.text) == (printed, text)


@pytest.mark.drill
def test_a_file_that_ssh_keygen_hashed_says_the_same(of: Files, tmp_path: Path) -> None:
    lines = [f"n{at},N{at}.example.com,[n{at}]:2222,fe80::{at} {key(at)}" for at in range(5)]
    plain = of("\n".join([*lines, f"@revoked n1 {key('r')}", f"*.net {key('w')}", ""]))
    keygen(tmp_path, "-H", "-f", "known_hosts0")
    path = tmp_path / "known_hosts0"
    assert path.read_text().count("|1|") >= 20
    assert "example.com" not in path.read_text()
    known = KnownHosts.read([path])
    assert known.notes == ()
    asked = [(name, port) for name in ("n{}", "n{}.example.com", "fe80::{}") for port in PORTS]
    for at in range(6):
        for name, port in [(name.format(at), port) for name, port in asked] + [("a.net", 22)]:
            before, after = plain.match(name, port), known.match(name, port)
            assert blobs(before.keys) == blobs(after.keys)
            # ssh-keygen takes marked lines over as they are
            assert blobs(before.revoked) == blobs(after.revoked)


@pytest.mark.drill
def test_ssh_keygen_finds_the_lines_that_we_find(of: Files, tmp_path: Path) -> None:
    lists = [*NAMES, *PATTERNS, "n*,!n1", "!n1,n*", "!n1", "n1,m1.example.com", "N1.EXAMPLE.com"]
    lists += [
        "n1,,n2",
        "[n1]:2222",
        "[n1]:22",
        "fe80::1",
        "[fe80::1]:2222",
        "n[1]*",
        "*,![n1]:2222",
    ]
    lists += [hashed("n1"), hashed("[n2]:2222"), hashed("N1"), "10.0.0.0/8", "x" * 1023 + ",n1"]
    lines = [f"{names} {key(at)}" for at, names in enumerate(lists)]
    lines += [f"@cert-authority *.example.com {key('ca')}", f"@revoked n1 {key('r')}"]
    lines += [*ACCEPTED, *(line for line in IGNORED.values() if line != IGNORED["a certificate"])]
    lines += ["", "# n1", f" # n1 {key('a')}", "\r"]
    known = of("\n".join(lines) + "\n")
    path = tmp_path / "known_hosts0"
    some = 0
    for name in (*NAMES, "n3", "fe80::1", "10.1.2.3", "localhost"):
        assert found_by_us(known, name, 22) == found_by_keygen(path, name, 22), name
        for port in PORTS[1:]:
            found = found_by_keygen(path, name, port)
            some += bool(found[0])
            if found[0]:
                assert found_by_us(known, name, port)[0] == found[0], (name, port)
    assert some


@pytest.mark.drill
def test_ssh_keygen_finds_and_removes_what_we_added(tmp_path: Path) -> None:
    path = tmp_path / ".ssh" / "known_hosts"
    places = [("n1", 22), ("N2.example.com", 2222), ("fe80::1", 22), ("::1", 2222)]
    for at, (name, port) in enumerate(places):
        add(path, [entry_for(name, port, "ssh-ed25519", blob(at))])
    for at, (name, port) in enumerate(places, 1):
        assert found_by_keygen(path, name.lower(), port) == [[at], [], []]
    keygen(tmp_path, "-R", "n1", "-f", str(path))
    assert KnownHosts.read([path]).judge("n1", 22, blob(0)) is UNKNOWN


@pytest.mark.drill
@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_certificate_in_the_file_is_noted_and_trusted_by_nobody(
    of: Files, tmp_path: Path, kind: str
) -> None:
    for name in ("key", "ca"):
        keygen(tmp_path, "-q", "-t", kind, "-N", "", "-f", name)
    keygen(tmp_path, "-q", "-s", "ca", "-h", "-I", "id", "-n", "n1", "key.pub")
    known = of(f"n1 {(tmp_path / 'key-cert.pub').read_text()}")
    assert len(known.notes) == 1
    assert known.match("n1") == Match((), (), ())
