"""Placeholders are replaced once, by what is known, and by nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.node.expand import ExpandError, expand, placeholders

VALUES = {"node": "n1", "vars.port": "8222", "role": "", "sly": "{node}"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{node}", "n1"),
        ("http://{node}:{vars.port}/varz", "http://n1:8222/varz"),
        ("{{node}}", "{node}"),
        ("{{{node}}}", "{n1}"),
        ("a{role}b", "ab"),
        ("{sly}", "{node}"),
        ("{{}}", "{}"),
        ("}}{{", "}{"),
    ],
)
def test_a_template_is_expanded(template: str, text: str) -> None:
    assert expand(template, VALUES) == text


@pytest.mark.parametrize("template", ["{nod}", "{}", "{ node }", "{node.x}", "{vars.x}", "{0}"])
def test_an_unknown_placeholder_is_named(template: str) -> None:
    with pytest.raises(ExpandError) as caught:
        expand("a " + template, VALUES)
    assert caught.value.placeholder == template[1:-1]
    assert template in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("template", ["{", "}", "{node", "node}", "{{node}", "{node}}", "{a{b}}"])
def test_a_single_brace_is_refused(template: str) -> None:
    for function in (lambda text: expand(text, {**VALUES, "b": ""}), placeholders):
        with pytest.raises(ExpandError) as caught:
            function(template)
        assert caught.value.placeholder is None


@given(st.text())
def test_any_text_with_doubled_braces_is_literal(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")

    assert expand(doubled, {}) == text
    assert placeholders(doubled) == []


@given(st.lists(st.sampled_from(["{node}", "{vars.port}", "x", "{{", "}}"])))
def test_exactly_the_named_placeholders_are_needed(parts: list[str]) -> None:
    template = "".join(parts)
    needed = placeholders(template)

    expand(template, {name: VALUES[name] for name in needed})
    for name in set(needed):
        with pytest.raises(ExpandError):
            expand(template, {each: "" for each in needed if each != name})
