"""I7: secrets are taken out by where they stand and by name, and nothing else is."""

import pytest

from backends.domain.redaction import HIDDEN, Redaction, sounds_secret

SECRET = "hunter2-Zq9"

PLANTED = [
    f"DB_PASSWORD={SECRET} ./control start",
    f"env PGPASSWORD='{SECRET}' psql",
    f'API_TOKEN="{SECRET}"',
    f"--password {SECRET} --port 1",
    f"--api-key={SECRET}",
    f"['mysql', '--password', '{SECRET}']",
    f'{{"password": "{SECRET}", "port": 1}}',
    f"{{'client_secret': '{SECRET}'}}",
    f"password: {SECRET}",
    f"GET http://ann:{SECRET}@10.0.0.1/x failed",
    f"https://{SECRET}@git.example/raw",
    f"https://git.example/raw?private_token={SECRET}&x=1",
    f"https://git.example/raw?{SECRET}",
    f"amqp://ann:{SECRET}@mq:5672/",
    f"Authorization: Bearer {SECRET}",
    f"authorization: Basic {SECRET}==",
    f"curl -H 'Authorization: token {SECRET}' x",
    f"sent bearer {SECRET}",
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n",
    f"aws_secret_access_key = {SECRET}",
    f'SECRET_KEY="a \\" {SECRET}"',
    f'password="an open quote {SECRET}',
    f"http://ann:p@{SECRET}@10.0.0.1/x",
    f"['--api-token','{SECRET}']",
]

INNOCENT = [
    "stop the old version (it was started)",
    'HTTP 503, wanted 200: {"version": "4.13.0", "healthy": false}',
    "host-key-changed: n1 shows another key than before",
    "http://127.0.0.1:8080/health",
    "signed by release@example.com, SHA256:abcdef",
    "sequence: sequence 1795800307, nothing was finalized here yet",
    "/opt/beacon/.version: 4.11.0 -> 4.13.0",
    "the keys and certificates outlive the run",
    "digest: 001c3853fb6115ba5f676a6543735d82408bfabfe804e9270e60b8e65d64f1a7",
]


@pytest.mark.parametrize("text", PLANTED)
def test_i7_a_planted_secret_is_taken_out(text: str) -> None:
    found = Redaction().text(text)
    assert SECRET not in found
    assert HIDDEN in found
    assert Redaction().text(found) == found


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert Redaction().text(text) == text


def test_i7_a_secret_that_is_known_is_taken_out_wherever_it_appears() -> None:
    hidden = Redaction([SECRET, "abc", ""])
    assert hidden.text(f"beacon said: cannot log in with {SECRET}!") == (
        f"beacon said: cannot log in with {HIDDEN}!"
    )
    assert hidden.text("abc stays: it would be found in every text") == (
        "abc stays: it would be found in every text"
    )
    hidden.learn([f"{SECRET}-and-more"])
    assert hidden.text(f"{SECRET}-and-more") == HIDDEN, "the longer one first"


def test_i7_values_are_looked_at_whole_by_name_by_text_and_by_what_stands_before() -> None:
    found = Redaction([SECRET]).value(
        {
            "env": {"DB_PASSWORD": "x1", "PORT": "8080", "SSL_KEY_FILE": "/etc/key"},
            "argv": ["mysql", "--password", "p", "-u", "ann"],
            "paths": [f"/tmp/{SECRET}"],
            "token": 1234,
            "ok": True,
            "nothing": None,
            SECRET: 1,
        }
    )
    assert found == {
        "env": {"DB_PASSWORD": HIDDEN, "PORT": "8080", "SSL_KEY_FILE": "/etc/key"},
        "argv": ["mysql", "--password", HIDDEN, "-u", "ann"],
        "paths": [f"/tmp/{HIDDEN}"],
        "token": HIDDEN,
        "ok": True,
        "nothing": None,
        HIDDEN: 1,
    }


def test_names_that_sound_secret() -> None:
    assert all(map(sounds_secret, ("DB_PASSWORD", "apiKey", "AUTH_TOKEN", "client-secret")))
    assert not any(map(sounds_secret, ("PORT", "KEEP", "monkey", "version", "request")))


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "a.-", "password", "--password ", "token=", '"token"', "://", "https://", "://?"),
        *('"\\\\', "bearer ", "authorization: ", "-----BEGIN PRIVATE KEY-----", "-", "key", " "),
        *("://a", "--token", "passwordpassword", 'token="', "[hidden]", "token=[hidden]"),
    ],
)
@pytest.mark.timeout(10)
def test_no_text_takes_long(piece: str) -> None:
    """A node says what it likes, 20,000 letters of it: each took minutes where a limit missed."""
    text = (piece * 20_000)[:20_000]
    assert len(Redaction().text(text)) < 400_000
