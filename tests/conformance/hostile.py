"""A testee that misbehaves in one way, on the second request that is not `start`: `python hostile.py WAY`."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from refquant.codec import packing
from refquant.errors import RefquantError

#: What it says of itself, where it says what is due.
START: dict[str, Any] = {
    "protocol": 1,
    "implementation": {"name": "hostile", "version": "1", "language": "Python"},
    "operations": ["kmeans.encode", "linear.encode", "pack"],
}

#: Way -> what stands in place of what was due at `start`.
STARTS: dict[str, dict[str, Any]] = {
    "offers nothing": {"operations": []},
    "offers the unknown": {"operations": ["fly", "pack"]},
    "offers lists": {"operations": [["pack"]]},
    "offers twice": {"operations": ["pack", "pack"]},
    "nameless": {"implementation": "mine"},
    "true": {"protocol": True},
    "another protocol": {"protocol": 2},
    "strange name": {"implementation": {"name": "m\n\ud800<", "version": "\x1b[31m", "language": "C"}},
}

#: Way -> the answer to the second run.
ANSWERS: dict[str, dict[str, Any]] = {
    "no result": {},
    "odd digits": {"result": {"bytes": "abc"}},
    "numbers": {"result": {"bytes": 5}},
    "another key": {"result": {"codes": ""}},
    "result as text": {"result": "00"},
    "error as text": {"error": "no"},
    "error beside result": {"result": {"bytes": ""}, "error": {"message": "no"}},
    "index below zero": {"error": {"message": "no", "index": -1}},
    "number for skipped": {"skipped": 1},
    "too many keys": {"skipped": "no", "note": "yes"},
    "strange message": {"error": {"message": "a\nb\x00\ud800\x1b[31m </x> & ]]>" + 9999 * "!"}},
}

#: Way -> the line that is sent in place of an answer.
LINES = {
    "rubbish": "\x00 not json",
    "deep": 200_000 * "[",
    "list": "[1]",
    "lines": 200_000 * "{}\n",
    "latin": '{"seq": "\xe9"}',
}


def main() -> None:
    way = sys.argv[1]
    runs = 0
    if way == "mute":
        time.sleep(60)
    for line in sys.stdin:
        request = json.loads(line)
        seq = request["seq"]
        if request["command"] == "stop":
            return
        if request["command"] == "start":
            say({"seq": seq, **START, **STARTS.get(way, {})})
            continue
        runs += 1
        reply = answer(request["operation"], request["input"])
        if way == "skips":
            reply = {"skipped": "not today"}
        if runs == 2:
            misbehave(way)
            if way in LINES:
                sys.stdout.flush()
                sys.stdout.buffer.write(LINES[way].encode("latin-1") + b"\n")
                sys.stdout.flush()
                continue
            reply = ANSWERS.get(way, reply)
            if way == "wrong turn":
                seq += 1
            if way == "true turn":
                seq = True
            if way == "moody":
                reply["result"]["codes"] = reply["result"]["codes"][::-1]
        if way == "moody once" and runs == 9:
            reply = {"error": {"message": "no"}}
        say({"seq": seq, **reply})


def answer(operation: str, given: dict[str, Any]) -> dict[str, Any]:
    """Answer as refquant does; most tests pack, and need not wait for all of it to be imported."""
    if operation == "pack":
        try:
            return {"result": {"bytes": packing.pack(bytes.fromhex(given["codes"]), given["nbits"]).hex()}}
        except RefquantError as error:
            return {"error": {"message": str(error), "index": error.index}}
    from refquant.conformance import testee

    return testee.run(operation, given)


def misbehave(way: str) -> None:
    """Do what no answer comes after."""
    if way == "crash":
        os._exit(3)
    if way == "signal":
        os.kill(os.getpid(), 9)
    if way == "hang":
        time.sleep(60)
    while way == "flood":
        sys.stdout.write("x" * 65536)


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
