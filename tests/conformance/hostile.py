"""A testee that misbehaves in one way, on the second request that is not `start`: `python hostile.py WAY`."""

from __future__ import annotations

import json
import os
import sys
import time

from refquant.conformance import testee


def main() -> None:
    way, runs = sys.argv[1], 0
    if way == "mute":
        time.sleep(60)
    for line in sys.stdin:
        request = json.loads(line)
        if request["command"] == "stop":
            return
        if request["command"] == "start":
            reply = testee.start()
        else:
            runs += 1
            reply = testee.run(request["operation"], request["input"])
        seq = request["seq"]
        if runs == 2:
            if way == "crash":
                os._exit(3)
            if way == "signal":
                os.kill(os.getpid(), 9)
            if way == "hang":
                time.sleep(60)
            if way == "flood":
                while True:
                    sys.stdout.write("x" * 65536)
            if way == "lines":
                sys.stdout.write("{}\n" * 200_000)
            if way == "rubbish":
                sys.stdout.write("\x00 not json\n")
                sys.stdout.flush()
                continue
            if way == "list":
                sys.stdout.write("[1]\n")
                sys.stdout.flush()
                continue
            if way == "wrong turn":
                seq += 1
            if way == "moody":
                reply["result"]["codes"] = reply["result"]["codes"][::-1]
            if way == "no result":
                reply = {}
            if way == "odd digits":
                reply = {"result": dict.fromkeys(reply.get("result", {}), "abc")}
            if way == "numbers":
                reply = {"result": dict.fromkeys(reply.get("result", {}), 5)}
        sys.stdout.write(json.dumps({"seq": seq, **reply}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
