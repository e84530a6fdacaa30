"""Mutations drawn at random: where a model is bent, and how."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from tests.fuzz import bases
from tests.fuzz.contents import FIELDS, VALUES, Contents
from tests.fuzz.mutations import Mutation
from tests.fuzz.wire import Place, definitions, places

#: Parts of a model that say little of its weights; a field in them is drawn more rarely.
QUIET = ("description", "specificationVersion")

#: How often a field occurs when it is repeated; the last two are rare, since they take their time.
TIMES = (2, 2, 2, 3, 3, 5, 10, 30)
MANY_TIMES = (300, 2000)

#: How deep networks lie in branches and loops, and models in pipelines.
LEVELS = (1, 2, 3, 10, 20, 24, 25, 30, 32, 33, 34, 48, 49, 50, 90, 100, 101, 1000, 3000)
WAYS = ("branch.ifBranch", "branch.elseBranch", "loop.conditionNetwork", "loop.bodyNetwork")
PIPELINES = ("pipeline.models", "pipelineClassifier.pipeline.models", "pipelineRegressor.pipeline.models")


class Base(NamedTuple):
    """A model to bend, and where it can be bent."""

    name: str
    size: int
    #: Every field, the quiet ones aside, and these.
    loud: list[Place]
    quiet: list[Place]
    #: Type of message -> paths of the messages of this type.
    messages: dict[str, list[str]]
    #: Paths of names, and of networks.
    texts: list[str]
    networks: list[str]


@cache
def base(name: str) -> Base:
    """Look up where a base can be bent."""
    every = list(places(bases.tree(name)))
    messages: dict[str, list[str]] = defaultdict(list)
    for place in every:
        if place.kind.message:
            messages[place.kind.message].append(place.path)
    quiet = [place for place in every if place.path.split(".")[0] in QUIET]
    return Base(
        name,
        len(bases.model(name)),
        [place for place in every if place not in quiet] or every,
        quiet or every,
        dict(messages),
        [place.path for place in every if place.kind.is_text],
        [
            path
            for kind, paths in messages.items()
            if kind.startswith("NeuralNetwork")
            for path in paths
            if "layers" in definitions()[kind]
        ],
    )


class Input(NamedTuple):
    """A model to try: a base and what is done to it."""

    base: str
    mutations: list[Mutation]


def drawn(seed: int, number: int) -> Input:
    """Draw an input: the same one for the same seed and number."""
    return draw(random.Random(seed << 64 | number))


def draw(chance: random.Random) -> Input:
    """Draw an input from a source of chance."""
    name = "sample" if chance.random() < SAMPLE_SHARE else chance.choice(small_bases())
    bender = Bender(base(name), chance)
    mutations: list[Mutation] = []
    for _ in range(chance.choice(COUNTS)):
        operation = chance.choices(list(OPERATIONS), list(OPERATIONS.values()))[0]
        mutations += operation(bender)
    return Input(name, mutations)


@cache
def small_bases() -> list[str]:
    """List the bases other than the sample."""
    return [name for name in bases.names() if name != "sample"]


class Bender:
    """Draws where one base is bent."""

    def __init__(self, base: Base, chance: random.Random) -> None:
        self.base = base
        self.chance = chance
        self.contents = Contents(base.name, base.texts, chance)

    def place(self) -> Place:
        """Pick a field that is there."""
        return self.chance.choice(self.base.quiet if self.chance.random() < QUIET_SHARE else self.base.loud)

    def replace(self) -> list[Mutation]:
        """Give a field that is there another content."""
        place = self.place()
        return [("set", place.path, self.contents.content(place))]

    def again(self) -> list[Mutation]:
        """Let a field come a second time, with another content."""
        place = self.place()
        return [("add", place.path, self.contents.content(place))]

    def absent(self) -> list[Mutation]:
        """Give a message a field that it may not have."""
        kind, paths = self.chance.choice(
            [(kind, paths) for kind, paths in self.base.messages.items() if definitions()[kind]]
        )
        field = self.chance.choice(list(definitions()[kind].values()))
        place = Place(f"{self.chance.choice(paths)}.{field.name}", field, kind)
        return [("set", place.path, self.contents.content(place))]

    def tensor(self) -> list[Mutation]:
        """Give a tensor another form, or a field of values beside those that it has."""
        paths = self.base.messages.get("WeightParams")
        if not paths:
            return self.replace()
        path = self.chance.choice(paths)
        if self.chance.random() < 0.5:
            return [("set", path, self.contents.params(path).hex())]
        field = self.chance.choice(QUANTIZATION if self.chance.random() < 0.5 else VALUES)
        steps = ("WeightParams", *field.split("."))
        kind = None
        for step in steps[1:]:
            kind = definitions()[kind.message if kind else "WeightParams"][step]
        assert kind is not None
        place = Place(f"{path}.{field}", kind, "WeightParams")
        return [("set", place.path, self.contents.content(place))]

    def drop(self) -> list[Mutation]:
        return [("drop", self.place().path)]

    def repeat(self) -> list[Mutation]:
        """Let a field come many times; the layers of a network, more often than that."""
        times = self.chance.choice(MANY_TIMES if self.chance.random() < 0.02 else TIMES)
        return [("repeat", self.place().path, times)]

    def copy(self) -> list[Mutation]:
        """Give a message or a name the content of another: cycles, doubles, tensors of another layer."""
        groups = [paths for paths in (*self.base.messages.values(), self.base.texts) if len(paths) > 1]
        if not groups:
            return self.drop()
        source, target = self.chance.sample(self.chance.choice(groups), 2)
        return [("copy", source, target)]

    def swap(self) -> list[Mutation]:
        layers = self.base.messages.get("NeuralNetworkLayer", [])
        if len(layers) < 2:
            return self.copy()
        return [("swap", *self.chance.sample(layers, 2))]

    def unknown(self) -> list[Mutation]:
        """Put bytes into a message that are no field that it knows, or no field at all."""
        paths = self.chance.choice(list(self.base.messages.values()))
        return [("raw", self.chance.choice([*paths, ""]), self.chance.choice(FIELDS).hex())]

    def lie(self) -> list[Mutation]:
        by = self.chance.choice((-1, 1, 1, 2, -2, 100, 2**31, -(2**31), 2**62, 2**63))
        return [("lie", self.place().path, by)]

    def nest(self) -> list[Mutation]:
        if not self.base.networks:
            return self.pipe()
        path = self.chance.choice(self.base.networks)
        return [("nest", path, self.chance.choice(WAYS), self.chance.choice(LEVELS))]

    def pipe(self) -> list[Mutation]:
        return [("pipe", self.chance.choice(PIPELINES), self.chance.choice(LEVELS))]

    def flip(self) -> list[Mutation]:
        return [("flip", self.chance.randrange(self.base.size), self.chance.randrange(8))]

    def cut(self) -> list[Mutation]:
        """Cut a run of bytes out, from somewhere on, or to the end."""
        at = self.chance.randrange(self.base.size)
        return [("splice", at, self.chance.choice((1, 1, 2, 4, 9, self.base.size)), "")]

    def splice(self) -> list[Mutation]:
        """Put bytes of another model, or of this one, or any bytes, in place of some."""
        at, size = self.chance.randrange(self.base.size), self.chance.choice((0, 0, 1, 2, 4, 30))
        data = bases.model(self.chance.choice(small_bases()))
        start = self.chance.randrange(len(data))
        content = self.chance.choice((data[start : start + 60], self.chance.randbytes(4), b"\xff", b"\0"))
        return [("splice", at, size, content.hex())]


#: Share of inputs that are made of the embedded sample, which is a hundred times as large as any other base.
SAMPLE_SHARE = 0.001

#: Share of fields to bend that are quiet.
QUIET_SHARE = 0.1

#: How many mutations an input has.
COUNTS = (1, 1, 1, 1, 2, 2, 3, 5)

#: Fields by which codes are read.
QUANTIZATION = (
    "quantization",
    "quantization.numberOfBits",
    "quantization.linearQuantization",
    "quantization.linearQuantization.scale",
    "quantization.linearQuantization.bias",
    "quantization.lookupTableQuantization",
    "quantization.lookupTableQuantization.floatValue",
)

#: What can be done, and how often.
OPERATIONS: dict[Callable[[Bender], list[Mutation]], int] = {
    Bender.replace: 30,
    Bender.tensor: 20,
    Bender.absent: 8,
    Bender.drop: 6,
    Bender.again: 5,
    Bender.repeat: 5,
    Bender.copy: 6,
    Bender.swap: 3,
    Bender.unknown: 5,
    Bender.lie: 3,
    Bender.nest: 3,
    Bender.pipe: 1,
    Bender.flip: 6,
    Bender.cut: 3,
    Bender.splice: 4,
}
