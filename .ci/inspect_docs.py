"""Follows the links between the pages of the built documentation, in the folder that is given.

Sphinx sees dead links in what people wrote, but not in what it writes itself, such as those from a
listing back to its description.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

root = Path(sys.argv[1]).resolve()
pages = {page: page.read_text(encoding="utf-8") for page in root.rglob("*.html")}
places = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in pages.items()}
links, dead = 0, []
for page, text in pages.items():
    for link in sorted(set(re.findall(r'\b(?:href|src)="([^"]+)"', text))):
        name, _, place = html.unescape(link).partition("#")
        if re.match(r"[a-z]+:", name):
            continue
        links += 1
        target = (page.parent / name.split("?")[0]).resolve() if name else page
        if not target.is_file() or (place and place not in places.get(target, {place})):
            dead.append(f"{page.relative_to(root)}: {link}")
print(f"{len(pages)} pages, {links} links between them, {len(dead)} of them dead")
if not pages or dead:
    sys.exit("\n".join(dead) or f"no page in {root}")
