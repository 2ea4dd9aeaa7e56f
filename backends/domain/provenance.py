"""Who vouches for a release: somebody whose key the cluster allows, or nobody."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known about where a release comes from. Nothing of it says that its bytes are whole.

    A release that nobody signed stays marked as such wherever it is shown (design.md, section 7).
    """

    signer: str = ""
    """Whose key it was, in the words of the cluster's allowed_signers; empty: nobody signed."""

    key: str = ""
    """The key's fingerprint, `SHA256:...`."""

    imported: str = ""
    """The vendor's file that it was made from; empty: it was built as a release."""

    @property
    def is_signed(self) -> bool:
        """Whether somebody vouches for it."""
        return bool(self.signer)

    def __str__(self) -> str:
        """In one line, for a person."""
        said = f"signed by {self.signer}, {self.key}" if self.is_signed else "NOT SIGNED"
        return f"{said}; imported from {self.imported}" if self.imported else said


NOBODY = Provenance()
"""Built as a release, and signed by nobody."""
