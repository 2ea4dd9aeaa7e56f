"""What a cluster asks of a release's signature, and what that makes of the release.

Required: one that holds, of somebody who may. Optional: none at all is allowed and stays marked;
but one that is there and does not fit the bytes is never passed over.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from backends.domain.problem import LiftlockError
from backends.domain.provenance import Provenance
from backends.releases.read import Release
from backends.releases.signature import NAMESPACE, Signature, read_signature, refusal
from backends.releases.signature_signers import Signer, read_revoked, read_signers

_AGAIN = "Get the release again from where it was built, or have it signed again."


@dataclass(frozen=True, slots=True)
class Rule:
    """Whose signature a release needs."""

    is_required: bool
    signers: Path | None
    """An allowed_signers file; without one nobody's signature counts."""

    revoked: Path | None = None
    """Keys that no longer count, whatever the signers say."""


def vouched(release: Release, rule: Rule, now: float) -> Release:
    """The release with what its signature says of it; `now` in seconds since 1970.

    Raises:
        LiftlockError: exit 4, `signature-` `missing`, `unreadable`, `namespace` (made for
            something else), `mismatch` (over other bytes: the manifest was changed, or it is
            another release's); `signer-` `revoked`, `unknown`, `elsewhere` (may sign, but no
            releases), `time` (not yet, or no longer). exit 2: see `read_signers`,
            `read_revoked`.
    """
    # The lists are read first: a cluster whose lists are damaged trusts nobody, signed or not.
    signers = read_signers(rule.signers) if rule.signers else ()
    revoked = read_revoked(rule.revoked) if rule.revoked else frozenset()
    origin = Provenance(imported=release.manifest.imported_from)
    if not release.signature_path.exists() and not rule.is_required:
        return replace(release, provenance=origin)
    signature = read_signature(release.signature_path)
    _refuse_unfit(release, signature)
    if signature.fingerprint in revoked:
        raise refusal(
            "signer-revoked",
            "The release is signed with a key that was revoked.",
            f"{signature.fingerprint}, in {rule.revoked}",
            "Do not use it. Have the release checked, and signed with another key.",
        )
    try:
        signer = _signer_of(signature, signers, now)
    except LiftlockError:
        if rule.is_required:
            raise
        return replace(release, provenance=origin)  # signed by nobody who counts: not signed
    return replace(
        release,
        provenance=replace(origin, signer=signer.principals, key=signature.fingerprint),
        signature=signature.armored,
        signer=signature.own_line,
    )


def _refuse_unfit(release: Release, signature: Signature) -> None:
    name = release.signature_path.name
    if signature.namespace != NAMESPACE:
        raise refusal(
            "signature-namespace",
            f"{name} was not made for a release.",
            f"its namespace is {signature.namespace}, not {NAMESPACE}",
            _AGAIN,
        )
    if not signature.fits(release.manifest_bytes):
        raise refusal(
            "signature-mismatch",
            f"{name} is not over this manifest.",
            f"{release.manifest_path.name} was changed after it was signed, or the signature is "
            "another release's",
            _AGAIN,
        )


def _signer_of(signature: Signature, signers: tuple[Signer, ...], now: float) -> Signer:
    """The first line that allows this key to sign releases now."""
    mine = [signer for signer in signers if signer.key == signature.key]
    if not mine:
        raise refusal(
            "signer-unknown",
            "The release is signed with a key that this cluster does not allow.",
            f"{signature.fingerprint} ({signature.key_type})",
            "Ask whose key it is before you add it to allowed_signers.",
        )
    meant = [signer for signer in mine if signer.may_sign_for(NAMESPACE)]
    if not meant:
        raise refusal(
            "signer-elsewhere",
            f"{mine[0].principals} may not sign releases.",
            f"{mine[0].place}: only for {mine[0].namespaces}",
            f'Have it signed by somebody who may, or add namespaces="{NAMESPACE}".',
        )
    valid = [signer for signer in meant if not signer.why_not_at(now)]
    if not valid:
        raise refusal(
            "signer-time",
            f"The signature of {meant[0].principals} does not count now.",
            "\n".join(f"{each.place}: {each.why_not_at(now)}" for each in meant),
            "Have the release signed with a key that is valid now.",
        )
    return valid[0]
