"""Prints the command of the README's code block that is marked `<!-- ci: NAME -->`.

The gate runs what a stranger would type, so that the README cannot go stale.
"""

import re
import sys
from pathlib import Path

name = sys.argv[1]
text = Path(__file__).parent.parent.joinpath("README.md").read_text()
found = re.search(rf"<!-- ci: {re.escape(name)} -->\s*```(?:bash|sh)\n(.*?)```", text, re.DOTALL)
if not found:
    sys.exit(f"README.md has no code block marked <!-- ci: {name} -->")
print(found.group(1).strip())
