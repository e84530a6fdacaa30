"""A seeded fault and no other: `python guarded.py FAULT`.

Where the plain testee without the fault is not right itself (on input that no vector has), it answers as
refquant does, so that what fuzzing finds is the fault.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from conformance.testees import faulty
from refquant.conformance import testee
from refquant.conformance.fuzz import Maker
from refquant.conformance.judge import judge


def main(fault: str) -> None:
    plain, wrong = faulty.testee("none"), faulty.testee(fault)
    maker = functools.lru_cache(None)(Maker)
    for line in sys.stdin:
        request = json.loads(line)
        if request["command"] == "stop":
            return
        if request["command"] == "start":
            reply: dict[str, Any] = {**testee.start(), "operations": faulty.OPERATIONS}
        else:
            operation, given = request["operation"], request["input"]
            reply = faulty.answer(plain, operation, given)
            if judge(maker(operation).case(given), reply):
                reply = testee.run(operation, given)
            else:
                reply = faulty.answer(wrong, operation, given)
        sys.stdout.write(json.dumps({"seq": request["seq"], **reply}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
