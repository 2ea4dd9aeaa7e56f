"""Versions order as the scheme says, and as dpkg itself does."""

import itertools
import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backends.domain.versions import VersionOrder, compare, debian_key

DPKG = "/usr/bin/dpkg"

CORPUS = [
    *["1", "1.0", "1.0-0", "1.0-1", "1.0-1-1", "00001.00", "0", "0.0", "0~", "1.0~", "1.0~~"],
    *["1.0~~a", "1.0~rc1", "1.0a", "1.0+b", "1.0.", "1.0.1", "1.10", "1.9", "1:0", "1:1.0-1"],
    *["00:1", "2:0.1", "2147483647:1", "1:2:3", "1.0-1~bpo12+1", "1.0-1+b1", "2.12.8", "2.15.1"],
    *["4.40-sr2", "4.40-sr4", "4.41-sr1", "4.40", "4.40-sr10", "20240102", "1.2.3+dfsg1-2ubuntu3"],
    *[
        "1.0A",
        "1.0Z",
        "1.0z",
        "v1.2",
        "a",
        "a0",
        "1_0",
        "1!2",
        "1-1_2",
        "1.0-a~",
        "999999999999999",
    ],
]
MALFORMED = ["1-", "1:-1", ":1", "a:1", "1:", "99999999999:1", "2147483648:1", "1-1:2", "1 2"]


def ask_dpkg(a, b):
    """-1, 0, 1, or None when dpkg refuses to compare."""
    for relation, answer in (("lt", -1), ("eq", 0), ("gt", 1)):
        ran = subprocess.run(
            [DPKG, "--compare-versions", a, relation, b], capture_output=True, check=False
        )
        if ran.returncode == 0:
            return answer
        if ran.returncode != 1:
            return None
    raise AssertionError(f"dpkg knows no order of {a} and {b}")


def test_the_judge_of_debian_order_is_here():
    assert shutil.which(DPKG), "dpkg is needed: without it nothing proves the order"


@pytest.mark.parametrize("a", CORPUS)
def test_the_corpus_orders_as_in_dpkg(a):
    here = CORPUS.index(a)
    for b in CORPUS[here::3]:
        assert compare(VersionOrder.DEBIAN, a, b) == ask_dpkg(a, b), (a, b)


@pytest.mark.parametrize("version", MALFORMED)
def test_what_dpkg_refuses_does_not_order(version):
    assert ask_dpkg(version, "1") is None
    assert compare(VersionOrder.DEBIAN, version, "1") is None
    assert compare(VersionOrder.DEBIAN, "1", version) is None


@pytest.mark.parametrize("version", ["", " 1", "1 ", "+1:2", "1é", "١", "1\x00", "1\n"])
def test_what_dpkg_would_bend_or_read_by_machine_does_not_order(version):
    assert compare(VersionOrder.DEBIAN, version, "1") is None


def test_all_short_versions_stand_in_the_order_of_dpkg():
    short = [
        "".join(word) for size in range(4) for word in itertools.product("01a~.-", repeat=size)
    ]
    versions = [digit + word for digit in "01" for word in short if not word.endswith("-")]
    in_order = sorted(versions, key=debian_key)
    for a, b in itertools.pairwise(in_order):
        assert compare(VersionOrder.DEBIAN, a, b) == ask_dpkg(a, b), (a, b)


letters = "019azZ.+~"
upstreams = st.builds(str.__add__, st.sampled_from("01"), st.text(letters + "-", max_size=6))
debian_versions = st.builds(
    lambda epoch, upstream, revision: epoch + upstream.rstrip("-") + revision,
    st.sampled_from(["", "", "0:", "1:"]),
    upstreams,
    st.one_of(st.just(""), st.text(letters, min_size=1, max_size=4).map("-".__add__)),
)


@settings(max_examples=250, deadline=None)
@given(debian_versions, debian_versions)
@example("1.0", "1.0-0")
@example("1~~", "1~")
@example("0-~", "0~")
def test_generated_versions_order_as_in_dpkg(a, b):
    assert compare(VersionOrder.DEBIAN, a, b) == ask_dpkg(a, b)


@given(st.text(), st.text(), st.sampled_from(VersionOrder))
def test_any_two_strings_can_be_asked_about(a, b, order):
    there, back = compare(order, a, b, ("x", a)), compare(order, b, a, ("x", a))
    assert there in (-1, 0, 1, None)
    assert back == (None if there is None else -there)


@given(st.lists(debian_versions, min_size=3, max_size=3))
def test_debian_order_is_transitive(versions):
    for a, b, c in itertools.permutations(versions):
        if compare(VersionOrder.DEBIAN, a, b) <= 0 and compare(VersionOrder.DEBIAN, b, c) <= 0:
            assert compare(VersionOrder.DEBIAN, a, c) <= 0


@pytest.mark.parametrize("order", [VersionOrder.DEBIAN, VersionOrder.SEMVER])
def test_n11_service_releases_order(order):
    assert compare(order, "4.40-sr2", "4.40-sr4") == -1
    assert compare(order, "4.40-sr4", "4.41-sr1") == -1
    assert compare(order, "4.41-sr1", "4.40-sr2") == 1


def test_n11_the_scheme_decides():
    sequence = ("4.40-sr2", "4.40-sr4", "4.41-sr1")
    assert compare(VersionOrder.SEQUENCE, "4.40-sr2", "4.41-sr1", sequence) == -1
    assert compare(VersionOrder.DEBIAN, "4.40-sr9", "4.40-sr10") == -1
    assert compare(VersionOrder.SEMVER, "4.40-sr9", "4.40-sr10") == 1  # semver compares letters
    assert compare(VersionOrder.DEBIAN, "4.40", "4.40-sr1") == -1
    assert compare(VersionOrder.SEMVER, "4.40", "4.40-sr1") == 1  # a pre-release there


SEMVER_RISING = [
    *["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"],
    *["1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"],
]


def test_semver_precedence_is_that_of_its_specification():
    for older, newer in itertools.combinations(SEMVER_RISING, 2):
        assert compare(VersionOrder.SEMVER, older, newer) == -1
        assert compare(VersionOrder.SEMVER, newer, older) == 1


@pytest.mark.parametrize(
    ("a", "b"), [("v1.2.3", "1.2.3"), ("4.12", "4.12.0"), ("4", "4.0.0"), ("1.0.0+a", "1.0.0+b")]
)
def test_semver_tolerates_a_v_and_missing_parts_and_ignores_builds(a, b):
    assert compare(VersionOrder.SEMVER, a, b) == 0


@pytest.mark.parametrize(
    "version", ["", "v", "1.2.3.4", "01.2.3", "1.2.3-01", "1..2", "1.2.3-", "1.2.3-a..b", "latest"]
)
def test_what_is_not_semver_does_not_order(version):
    assert compare(VersionOrder.SEMVER, version, "1.0.0") is None
    assert compare(VersionOrder.SEMVER, version, version) is None


def test_integers_order_by_value_however_long():
    assert compare(VersionOrder.INTEGER, "9", "10") == -1
    assert compare(VersionOrder.INTEGER, "007", "7") == 0
    assert compare(VersionOrder.INTEGER, "1" + "0" * 5000, "9" * 5000) == 1
    assert compare(VersionOrder.INTEGER, "1.0", "1") is None
    assert compare(VersionOrder.INTEGER, "٣", "1") is None
    assert compare(VersionOrder.INTEGER, "1\n", "1") is None


@given(st.integers(min_value=0), st.integers(min_value=0))
def test_integers_order_as_numbers_do(a, b):
    assert compare(VersionOrder.INTEGER, str(a), str(b)) == (a > b) - (a < b)


def test_a_sequence_orders_by_position_and_knows_nothing_else():
    sequence = ("Focal", "Jammy", "Noble")
    assert compare(VersionOrder.SEQUENCE, "Focal", "Noble", sequence) == -1
    assert compare(VersionOrder.SEQUENCE, "Noble", "Noble", sequence) == 0
    assert compare(VersionOrder.SEQUENCE, "Bionic", "Noble", sequence) is None
    assert compare(VersionOrder.SEQUENCE, "Bionic", "Bionic", sequence) is None
