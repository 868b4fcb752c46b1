#!/usr/bin/env python3
"""Fails where a link or picture of the site leads nowhere: no such file, or no such anchor in it.

    docs/site/check_links.py build/site
"""

import html.parser
import pathlib
import re
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src", "data") and value is not None:
                self.links.add(value)


def main():
    site = pathlib.Path(sys.argv[1])
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    broken, count = [], 0
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:|//", link):
                continue  # elsewhere
            count += 1
            file, _, anchor = link.partition("#")
            target = (path.parent / urllib.parse.unquote(file)).resolve() if file else path
            if not target.is_file() or not target.is_relative_to(site.resolve()):
                broken.append(f"{path.name}: no file {link}")
            elif anchor and target in pages and urllib.parse.unquote(anchor) not in pages[target].anchors:
                broken.append(f"{path.name}: no anchor {link}")
    print("\n".join(sorted(broken)), file=sys.stderr, end="\n" if broken else "")
    print(f"{len(pages)} pages, {count} links, {len(broken)} broken")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
