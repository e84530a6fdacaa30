"""Work spread over a crew, with the results and errors of work done here, one item after the other."""

from __future__ import annotations

import pickle
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Protocol, TypeVar

from refquant.crew import Batch, Crew, Hired, Lost, Processes, instead
from refquant.errors import ArgumentError, RefquantError, WorkerError, place

if TYPE_CHECKING:
    from concurrent.futures import Executor

Item = TypeVar("Item", covariant=True)
Result = TypeVar("Result")

#: Bytes that are worth a message; and what each item counts for beside its bytes, for the time of a small
#: tensor hardly depends on its size.
BATCH, ITEM = 1 << 16, 1 << 12

#: How many tensors a WorkerError names in its text.
NAMED = 5


class Source(Protocol[Item]):
    """Where an item of work comes from."""

    @property
    def size(self) -> int:
        """Bytes of the item."""

    @property
    def where(self) -> dict[str, Any]:
        """Layer, layer type and tensor, as errors carry them."""

    def load(self) -> Item:
        """Make the item, when it is its turn."""


class Failure(NamedTuple):
    """The error that an item ended in, with its cause, which an error does not take along to a process.

    Where one of the two does not pickle, a plainer error stands for the one, and nothing for the other.
    """

    error: RefquantError
    cause: BaseException | None


class Outcomes(list[Any]):
    """What came of items that went together: results, and at the end a Failure if there was one.

    A type of its own, so that nothing else that an executor gives back is taken for it.
    """


def parcel(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function ready for a process that may not have it: to find that out is to call it, no sooner.

    Raises ArgumentError where the function does not pickle; what is returned does where it does not arrive.
    """
    try:
        return partial(_call_parcel, name, pickle.dumps(function))
    except Exception as error:
        reason = f"{name} does not pickle, so it cannot go to another process: {error}"
        raise ArgumentError(reason) from error


def _call_parcel(name: str, data: bytes, *arguments: Any) -> Any:
    try:
        function = pickle.loads(data)
    except Exception as error:
        raise ArgumentError(f"a worker process cannot load {name}: {error}") from error
    return function(*arguments)


def spread(
    function: Callable[[Item], Result], sources: Sequence[Source[Item]], jobs: int, executor: Executor | None
) -> Generator[tuple[int, Result], None, None]:
    """Apply a function to every item; give number and result of each, as they are done.

    With one job and no executor, this is a plain map. Otherwise the largest items go first, and small ones
    together. Where items end in RefquantErrors, that of the first of them is raised, and not before all
    results ahead of it are given: it is the same however the work is spread.

    Raises WorkerError where a worker dies, or the executor fails or gives something else than the results.
    """
    waiting = [] if executor is None and jobs == 1 else batches([source.size for source in sources])
    if executor is None and len(waiting) < 2:
        yield from ((number, function(source.load())) for number, source in enumerate(sources))
        return
    try:
        with Processes(jobs) if executor is None else Hired(executor) as crew:
            yield from _results(function, sources, waiting, crew)
    except Lost as lost:
        raise _worker_error(lost, sources) from lost.__cause__


def batches(sizes: Sequence[int]) -> list[Batch]:
    """Put items of these sizes together until they are worth a message, the largest first."""
    made, numbers, size = [], list[int](), 0
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        numbers.append(number)
        size += sizes[number]
        if size + ITEM * len(numbers) >= BATCH:
            made.append(Batch(sorted(numbers), size))
            numbers, size = [], 0
    return [*made, Batch(sorted(numbers), size)] if numbers else made


def attempt(function: Callable[[Any], Any], items: Sequence[Any]) -> Outcomes:
    """Apply a function to items that go together, to the first that fails; Failures stay what they are."""
    outcomes = Outcomes()
    for item in items:
        try:
            outcomes.append(item if isinstance(item, Failure) else function(item))
        except RefquantError as error:
            cause = error.__cause__ if _pickles(error.__cause__) else None
            outcomes.append(Failure(error if _pickles(error) else _plain(error), cause))
        if isinstance(outcomes[-1], Failure):
            break
    return outcomes


def _results(
    function: Callable[[Item], Result], sources: Sequence[Source[Item]], waiting: list[Batch], crew: Crew
) -> Iterator[tuple[int, Result]]:
    """Do the work of `spread`. `end` is the number of the first failure: nothing behind it is waited for."""
    end, failure = len(sources), None
    while any(batch.numbers[0] < end for batch in (*waiting, *crew.flying)):
        while waiting and crew.has_room():
            batch = waiting.pop(0)
            if batch.numbers[0] < end:
                items = attempt(methodcaller("load"), [sources[number] for number in batch.numbers])
                crew.send(batch, attempt, function, items)
        for batch, outcomes in crew.receive():
            if not _complete(outcomes, batch):
                raise instead(outcomes, "results", batch)
            for number, outcome in zip(batch.numbers, outcomes):
                if not isinstance(outcome, Failure):
                    yield number, outcome
                elif number < end:
                    end, failure = number, outcome
    if failure is not None:
        raise failure.error from failure.cause


def _complete(outcomes: object, batch: Batch) -> bool:
    """Whether these are the outcomes of all items of a batch, or of those up to a failure."""
    if not isinstance(outcomes, Outcomes):
        return False
    missing = len(batch.numbers) - len(outcomes)
    return missing == 0 or (missing > 0 and len(outcomes) > 0 and isinstance(outcomes[-1], Failure))


def _plain(error: RefquantError) -> RefquantError:
    """Say what an error says by one of refquant's own, which pickles: of the nearest class above its own."""
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == RefquantError.__module__)
    facts = {name: getattr(error, name) for name in ("layer", "layer_type", "tensor", "index", "rule")}
    made: RefquantError = kind(error.reason, **facts)
    return made


def _pickles(value: object) -> bool:
    """Whether a value gets to another process and back."""
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        return False
    return True


def _worker_error(lost: Lost, sources: Sequence[Source[Any]]) -> WorkerError:
    """Say what was lost: the place of the error is the first tensor, others are named."""
    numbers = sorted(number for batch in lost.batches for number in batch.numbers)
    where, *others = (sources[number].where for number in numbers)
    reason = f"{lost} this tensor"
    if others:
        names = [place(**other)[:-2] for other in others[:NAMED]]
        names += [f"{len(others) - NAMED} more"] if len(others) > NAMED else []
        reason += f", or another that went with it: {'; '.join(names)}"
    reason += f" ({lost.details})" if lost.details else ""
    return WorkerError(reason).located(**where)
