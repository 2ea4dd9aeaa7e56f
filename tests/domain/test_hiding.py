"""What logs somebody in is not shown; what is plain stays readable."""

import pytest

from backends.domain.hiding import is_secret, value_of, without_secrets, words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:geheim@10.0.0.1/x", "http://***@10.0.0.1/x"),
        ("https://token@git.example/raw", "https://***@git.example/raw"),
        ("https://ann:a@b@git.example/raw", "https://***@git.example/raw"),
        ("http://h/varz?key=1&x=2", "http://h/varz?***"),
        ("http://h/varz#frag", "http://h/varz?***"),
        ("see http://u:p@h/a?b=c and more", "see http://***@h/a?*** and more"),
        ("ssh://ops@bastion:22", "ssh://ops@bastion:22"),
        ("ssh://ops:pw@bastion", "ssh://***@bastion"),
        ("http://127.0.0.1:{vars.port}/varz", "http://127.0.0.1:{vars.port}/varz"),
        ("ops@bastion", "ops@bastion"),
        ("/opt/nats", "/opt/nats"),
    ],
)
def test_addresses(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "name",
    [
        "DB_PASSWORD",
        "password",
        "API_KEY",
        "apiKey",
        "TOKEN",
        "my-secret",
        "KEY",
        "AUTH",
        "PGPASS",
    ],
)
def test_a_name_of_a_secret(name: str) -> None:
    assert is_secret(name)
    assert value_of(name, "hunter2") == "***"
    assert value_of(name, "{vars.token}") == "{vars.token}"


@pytest.mark.parametrize("name", ["PORT", "BEACON_LEASE", "author", "monkey", "keep", "role"])
def test_a_plain_name(name: str) -> None:
    assert not is_secret(name)
    assert value_of(name, "8222") == "8222"


def test_options_of_commands() -> None:
    command = ["./bin/x", "--token=abc", "--password", "hunter2", "--port", "1", "http://u:p@h/"]
    assert words(command) == [
        *("./bin/x", "--token=***", "--password", "***", "--port", "1", "http://***@h/"),
    ]
