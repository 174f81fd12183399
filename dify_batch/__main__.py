"""`python -m dify_batch`: a batch from the command line."""

from __future__ import annotations

import sys

from dify_batch._command import main

if __name__ == "__main__":
    sys.exit(main())
