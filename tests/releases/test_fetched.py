"""Configuration from elsewhere: what comes is shown as what it is, and nothing else comes."""

import io
from collections.abc import Iterator
from http.client import HTTPMessage
from pathlib import Path

import pytest

from backends.domain.problem import Exit, LiftlockError
from backends.node.canonical import files_digest
from backends.releases import fetched
from backends.releases.fetched import shown, with_configuration
from backends.releases.read import Release
from tests.support.mirror import Mirror, a_mirror

MAIN = b"listen = 2\n"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with a_mirror() as made:
        made.files["/main.conf"] = MAIN
        yield made


def refused(release: Release, path: str, url: str) -> tuple[str, str]:
    """The problem's code and evidence."""
    with pytest.raises(LiftlockError) as caught:
        with_configuration(release, [(path, url)])
    assert caught.value.exit_code == Exit.REFUSED
    problem = caught.value.problem
    assert problem.summary
    assert problem.advice.startswith("No node was contacted. ")
    return problem.code, problem.evidence


def test_nothing_is_wanted_and_the_release_is_as_it_was_packaged(release: Release) -> None:
    assert with_configuration(release, []) is release
    assert release.digest == release.packaged


def test_it_wins_and_the_content_is_another_one(release: Release, mirror: Mirror) -> None:
    there = f"{mirror.url}/main.conf"
    found = with_configuration(
        release, [("etc/über.conf", there), ("lib", there), ("new/deep/one", there)]
    )
    assert found.packaged == release.packaged == release.digest
    entries = {entry.path: entry.model_dump() for entry in release.manifest.files}
    assert "new" not in entries
    for folder in ("new", "new/deep"):
        entries[folder] = {**entries["etc"], "path": folder, "mode": 0o755}
    told = [each.announced() for each in found.fetched]
    assert [each["mode"] for each in told] == [0o644, 0o644, 0o644], "as packaged ones have"
    for each in told:
        entries[each["path"]] = {**each, "type": "file", "target": None}
    assert found.digest == files_digest(entries.values()) != release.digest
    assert [each.content for each in found.fetched] == [MAIN] * 3


def test_other_bytes_are_another_content_and_the_same_bytes_the_same(
    release: Release, mirror: Mirror
) -> None:
    wanted = [("etc/über.conf", f"{mirror.url}/main.conf")]
    first, again = (with_configuration(release, wanted).digest for _ in range(2))
    mirror.files["/main.conf"] = MAIN + b"\n"
    assert first == again != with_configuration(release, wanted).digest


def test_where_it_is_sent_on_it_follows(release: Release, mirror: Mirror) -> None:
    mirror.moved["/old"] = "/main.conf"
    found = with_configuration(release, [("a", f"{mirror.url}/old")])
    assert found.fetched[0].content == MAIN


def test_what_does_not_come_is_refused_and_why(release: Release, mirror: Mirror) -> None:
    code, evidence = refused(release, "a", f"{mirror.url}/nothing?token=secret")
    assert code == "configuration-not-fetched"
    assert "/nothing?...: HTTP 404" in evidence
    assert "secret" not in evidence
    mirror.moved["/round"] = "/round"
    assert "HTTP 302" in refused(release, "a", f"{mirror.url}/round")[1]
    mirror.files["/empty"] = b""
    assert "it is empty" in refused(release, "a", f"{mirror.url}/empty")[1]
    for sent_to in ("file:///etc/passwd?token=secret", "ftp://ann:secret@127.0.0.1/x"):
        mirror.moved["/away"] = sent_to
        code, evidence = refused(release, "a", f"{mirror.url}/away")
        assert code == "configuration-not-fetched"
        assert "secret" not in evidence
    mirror.cuts = [3]
    assert "3 of 11 bytes" in refused(release, "a", f"{mirror.url}/main.conf")[1]
    mirror.stop()
    assert "refused" in refused(release, "a", f"{mirror.url}/main.conf")[1]


def test_a_server_that_lets_us_wait_has_an_end(
    release: Release, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched, "WHOLE_SECONDS", 0.2)
    mirror.drips = True
    assert refused(release, "a", f"{mirror.url}/main.conf") == (
        "configuration-not-fetched",
        f"{mirror.url}/main.conf: not all of it came in 0.2 s",
    )


@pytest.mark.parametrize("stated", [None, -1])
def test_too_much_is_refused_alone_and_together(
    stated: int | None, release: Release, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.length = stated
    monkeypatch.setattr(fetched, "MAX_CONFIGURATION", 2 * len(MAIN))
    there = f"{mirror.url}/main.conf"
    assert len(with_configuration(release, [("a", there), ("b", there)]).fetched) == 2
    with pytest.raises(LiftlockError) as caught:
        with_configuration(release, [("a", there), ("b", there), ("c", there)])
    assert caught.value.problem.code == "configuration-too-big"
    mirror.files["/main.conf"] = MAIN * 3
    assert refused(release, "a", there)[0] == "configuration-too-big"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("etc", "directory 'etc'"),
        ("control/x", "file 'control'"),
        ("control", "program"),
        ("x" * 300, "x"),
    ],
)
def test_what_does_not_fit_into_the_release_is_refused(
    path: str, says: str, release: Release, mirror: Mirror
) -> None:
    code, evidence = refused(release, path, f"{mirror.url}/main.conf")
    assert code == "configuration-unfit"
    assert says in evidence


def test_what_was_asked_for_over_tls_is_not_taken_without() -> None:
    handler = fetched._Protected()
    request = fetched.urllib.request.Request("https://configuration/main")
    with pytest.raises(ValueError, match="http://configuration/main, unprotected"):
        handler.redirect_request(
            request,
            io.BytesIO(),
            302,
            "",
            HTTPMessage(),
            "http://configuration/main",
        )


def test_no_secret_in_an_address_is_shown() -> None:
    assert shown("https://h/a?k=v#x") == "https://h/a?..."
    assert shown("http://h:80/a") == "http://h:80/a"
    assert shown("http://ann:secret@h:80/a") == "http://h:80/a"


def test_a_defect_of_ours_is_not_called_the_servers(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> bytes:
        raise TypeError("zonk")

    monkeypatch.setattr(fetched, "_asked", breaks)
    with pytest.raises(TypeError, match="zonk"):
        with_configuration(release, [("a", "http://127.0.0.1/a")])


def test_the_file_itself_is_never_read_here(release: Release, tmp_path: Path) -> None:
    """Not even where a profile could be made to name one."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    assert refused(release, "a", secret.as_uri())[0] == "configuration-not-fetched"
