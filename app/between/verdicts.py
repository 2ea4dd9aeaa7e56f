"""What the cluster is after a run, in the history; the command line writes it as well."""

from collections.abc import Callable

from app.between.news import News, Refused
from app.runs.keeping import write_verdict
from app.runs.looking import look
from app.session import Session
from backends.domain.problem import LiftlockError
from backends.store.book import Book

Tell = Callable[[News], None]


async def keep_verdict(session: Session, book: Book, run: str, tell: Tell) -> None:
    """Look, and write it down; where that fails it is told, and how the run ended counts."""
    _, verdict = await look(session)
    try:
        write_verdict(book, run, verdict)
    except LiftlockError as error:
        what = f"write down what the cluster is after run {run}"
        tell(Refused(what, error.problem, error.exit_code))
