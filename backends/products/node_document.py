"""What the updater is told about a product on one node: plain JSON values, nothing to look up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from backends.domain.policy import Limits
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.node.expand import ExpandError, expand
from backends.products.profile import Profile
from backends.products.profile_facts import FactTable, LeaderTable
from backends.products.profile_file import HealthTable, HookTable
from backends.products.profile_service import ServiceTable
from backends.settings.toml_keys import nearest


class Values(Protocol):
    """What a profile's texts may use of a node; `backends.settings.cluster.Node` is one."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def vars(self) -> Mapping[str, str]: ...


def node_document(profile: Profile, node: Values, limits: Limits) -> dict[str, object]:
    """The profile for one node, as the updater reads it; durations in seconds.

    Texts stay templates, because `{version}` is filled in on the node; that each of them can be
    expanded with `values` is proven here, at plan time. `limits` are the effective ones (see
    `effective_policy`), so they decide the service's timeouts, too.

    Raises LiftlockError, exit 2: `profile-var-missing` with every key that needs a variable the
    node does not have; `profile-directory` when the node's values make the directory unsafe.
    """
    values = {"node": node.name, "address": node.address, "role": node.role}
    values |= {f"vars.{key}": value for key, value in node.vars.items()}
    proof = _Proof(dict(values))
    directory = proof.expanded("[product] directory", profile.product.directory)
    values["directory"] = directory
    proof.values |= {"directory": directory, "version": "0"}
    document: dict[str, object] = {
        "name": profile.name,
        "directory": directory,
        "layout": profile.product.layout,
        "pointer": profile.product.pointer or ".version",
        "directories": [*profile.product.directories],
        "keep": [*profile.product.keep],
        "config": [*profile.product.config],
        "owner": profile.product.owner or "",
        "values": values,
        "service": _service(profile.service, limits, proof),
        "health": [_check(check, profile.name, proof) for check in profile.health],
        "check": {
            "parse": proof.words("[check] parse", profile.check.parse),
            "directory": proof.text("[check] directory", profile.check.directory),
            "timeout": profile.check.timeout,
            "contract": profile.check.contract,
        },
        "hooks": [_hook(hook, proof) for hook in profile.hooks],
        "data": {
            "directories": proof.words("[data] directories", profile.data.directories),
            "old_can_read": proof.words("[data] old_can_read", profile.data.old_can_read),
            "unattended": profile.data.unattended,
            "timeout": profile.data.timeout,
        },
        "facts": {
            "version": _fact("[facts] version", profile.facts.version, proof),
        },
        "named": {
            name: _fact(f"[values] {name}", each, proof) for name, each in profile.values.items()
        },
        "leader": _leader(profile.leader, proof),
        "limits": {
            "healthy_deadline": limits.healthy_deadline_seconds,
            "min_healthy": limits.min_healthy_seconds,
            "accept_window": limits.accept_window_seconds,
            "health_poll": limits.health_poll_seconds,
            "max_restarts": limits.max_restarts,
            "max_flaps": limits.max_flaps,
            "install_step": limits.install_step_seconds,
        },
    }
    if proof.missing:
        raise _missing(profile, node, proof)
    if not directory.startswith("/") or {"", ".."} & {*directory[1:].split("/")}:
        raise LiftlockError(
            Problem(
                code="profile-directory",
                summary=f"On {node.name}, the directory of {profile.name} would be unsafe.",
                evidence=f"[product] directory {profile.product.directory} becomes {directory}",
                advice=f"Correct the vars of {node.name}: the directory must be absolute, "
                "without .. and without an empty part.",
            ),
            Exit.USAGE,
        )
    return document


@dataclass(slots=True)
class _Proof:
    """Tries every template and remembers what could not be expanded."""

    values: dict[str, str]
    missing: list[tuple[str, str, str]] = field(default_factory=list)
    """Key in the profile, template, placeholder."""

    def expanded(self, key: str, template: str) -> str:
        """The text with the values; the template itself when one is missing."""
        try:
            return expand(template, self.values)
        except ExpandError as error:
            self.missing.append((key, template, error.placeholder or "?"))
            return template

    def text(self, key: str, template: str | None) -> str | None:
        """The template, after it was tried."""
        if template is not None:
            self.expanded(key, template)
        return template

    def words(self, key: str, command: tuple[str, ...] | None) -> list[str] | None:
        """The templates of a command, after they were tried."""
        if command is None:
            return None
        for word in command:
            self.expanded(key, word)
        return [*command]


def _service(service: ServiceTable, limits: Limits, proof: _Proof) -> dict[str, object]:
    commands = None
    if service.commands is not None:
        commands = {
            verb: proof.words(f"[service] commands.{verb}", words)
            for verb in ("start", "stop", "status", "restart")
            if (words := getattr(service.commands, verb)) is not None
        }
    for name, value in service.env.items():
        proof.text(f"[service] env.{name}", value)
    return {
        "kind": service.kind,
        "control": service.control,
        "env": dict(service.env),
        "pid_file": proof.text("[service] pid_file", service.pid_file),
        "commands": commands,
        "unit": service.unit,
        "triggers": [*service.triggers],
        "script": service.script,
        "definition": service.definition,
        "on_stop_timeout": service.on_stop_timeout,
        "stop_timeout": limits.stop_seconds,
        "start_timeout": service.start_timeout,
        "request_timeout": limits.node_request_seconds,
        "log": None if service.log == "none" else proof.text("[service] log", service.log),
    }


def _check(check: HealthTable, product: str, proof: _Proof) -> dict[str, object]:
    key = f"[[health]] {check.name}"
    status = check.status or 200
    return {
        "name": check.name,
        "kind": check.kind,
        "level": check.level,
        "timeout": check.timeout,
        "url": proof.text(f"{key} url", check.url),
        "status": status if check.kind == "http" else None,
        "version_field": check.version_field,
        "command": proof.words(f"{key} command", check.command),
        "address": proof.text(f"{key} address", check.address),
        "path": proof.text(f"{key} path", check.path),
        "package": proof.text(f"{key} package", check.package or product)
        if check.kind == "status_file"
        else None,
    }


def _hook(hook: HookTable, proof: _Proof) -> dict[str, object]:
    key = f"[[hooks]] {hook.name}"
    return {
        "name": hook.name,
        "when": hook.when,
        "command": proof.words(f"{key} command", hook.command),
        "undo": proof.words(f"{key} undo", hook.undo),
        "timeout": hook.timeout,
    }


def _leader(leader: LeaderTable | None, proof: _Proof) -> dict[str, object] | None:
    if leader is None:
        return None
    return {
        "probe": _fact("[leader]", leader, proof),
        "equals": proof.text("[leader] equals", leader.equals),
        "move": proof.words("[leader] move", leader.move),
        "timeout": leader.timeout,
    }


def _fact(key: str, fact: FactTable | None, proof: _Proof) -> dict[str, object] | None:
    if fact is None:
        return None
    if fact.http is not None:
        return {"http": proof.text(f"{key}.http", fact.http), "field": fact.field}
    if fact.command is not None:
        command = proof.words(f"{key}.command", fact.command)
        return {"command": command, "pattern": fact.pattern}
    return {"file": proof.text(f"{key}.file", fact.file), "pattern": fact.pattern}


def _missing(profile: Profile, node: Values, proof: _Proof) -> LiftlockError:
    names = sorted({placeholder for _, _, placeholder in proof.missing})
    has = sorted(f"vars.{key}" for key in node.vars)
    near = nearest(names[0], has)
    hint = f"Did you mean {{{near}}}? Else add" if near else "Add"
    lines = [
        f"{profile.source.name}: {key} uses {{{placeholder}}}: {template}"
        for key, template, placeholder in dict.fromkeys(proof.missing)
    ]
    return LiftlockError(
        Problem(
            code="profile-var-missing",
            summary=f"The node {node.name} has no {', '.join(names)}, "
            f"which the profile {profile.name} needs.",
            evidence="\n".join(lines),
            advice=f"{hint} it to the node's vars in the cluster file: "
            f"{node.name} = {{ ..., vars = {{ {names[0].removeprefix('vars.')} = ... }} }}",
        ),
        Exit.USAGE,
    )
