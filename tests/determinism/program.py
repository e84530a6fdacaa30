"""`python -m tests.determinism.program JOBS`: print this interpreter's digests, and what it is."""

from __future__ import annotations

import json
import locale
import platform
import sys
import warnings
from contextlib import suppress

from google.protobuf import __version__ as protobuf
from google.protobuf.internal import api_implementation

from refquant.errors import RefquantWarning
from tests.determinism.results import digests, refquant_quantizer

if __name__ == "__main__":
    warnings.simplefilter("ignore", RefquantWarning)
    with suppress(locale.Error):  # not every machine has every locale; which it is, is printed
        locale.setlocale(locale.LC_ALL, "")
    about = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{sys.maxsize.bit_length() + 1}-bit {sys.byteorder}-endian",
        "protobuf": f"{protobuf} {api_implementation.Type()}",
        "locale": f"{locale.setlocale(locale.LC_ALL)}, {locale.localeconv()['decimal_point']}",
    }
    json.dump({**about, "digests": digests(refquant_quantizer(int(sys.argv[1])))}, sys.stdout)
