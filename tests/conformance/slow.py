"""A testee that takes its time, and starts a process that would go on without it: `python slow.py SECONDS`.

It makes a file, named after its process, when it is at a case.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from refquant.conformance import testee


def main(seconds: float) -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    for line in sys.stdin:
        request = json.loads(line)
        if request["command"] == "stop":
            return
        if request["command"] == "start":
            reply = testee.start()
        else:
            open(f"begun-{os.getpid()}", "w").close()
            time.sleep(seconds)
            reply = testee.run(request["operation"], request["input"])
        sys.stdout.write(json.dumps({"seq": request["seq"], **reply}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]))
