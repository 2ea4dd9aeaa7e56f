"""A plan says of each layout what is switched, where, and how it is taken back."""

from backends.engine.switching import switch_of

DOCUMENT: dict[str, object] = {
    "name": "p",
    "directory": "/opt/p",
    "pointer": ".version",
    "directories": [],
    "keep": ["*.conf"],
}


def test_versions_go_by_a_pointer() -> None:
    switch = switch_of({**DOCUMENT, "layout": "versions"}, "1", "2")
    assert (switch.tree, switch.staged) == ("/opt/p/2", "/opt/p/.liftlock/staging/2")
    assert switch.forward[0] == "copy what lives on into it: *.conf"
    assert switch.forward[-1] == "/opt/p/.version: 1 -> 2"
    assert switch.back == ("/opt/p/.version: back to 1", "take /opt/p/2 away")


def test_an_overlay_puts_nothing_back_where_nothing_was() -> None:
    overlay = {**DOCUMENT, "layout": "overlay"}
    assert switch_of(overlay, "1", "2").tree == "/opt/p"
    assert "put each replaced and removed file back" in switch_of(overlay, "1", "2").back
    assert switch_of(overlay, None, "2").back == ("take each created file away",)


def test_a_swap_names_each_directory_and_takes_them_back_in_reverse() -> None:
    whole = switch_of({**DOCUMENT, "layout": "swap"}, "1", "2")
    assert whole.staged == "/opt/.liftlock/p/staging/2"
    assert whole.back == ("rename the old /opt/p back",)
    parts = switch_of({**DOCUMENT, "layout": "swap", "directories": ["a", "b"]}, "1", "2")
    assert parts.staged == "/opt/p/.liftlock/staging/2"
    assert parts.forward[:2] == tuple(
        f"exchange /opt/p/{part} for the staged directory" for part in "ab"
    )
    assert parts.back == ("rename the old /opt/p/b back", "rename the old /opt/p/a back")
