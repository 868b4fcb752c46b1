#!/usr/bin/env python3
"""Writes README.md and the pages of docs/ as Doxygen wants them.

    docs/site/pages.py folder

They are written for GitHub, which is more than Doxygen 1.9 reads: headings get the anchors that GitHub gives them, links
between pages go to the site's pages, links to sources to pages that show these, and formulas to where math.js finds them.
"""

import html
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / f"{name}.md" for name in ("README", "README.zh-CN", "CHANGELOG", "CONTRIBUTING", "SECURITY")]
PAGES += sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/adr").glob("*.md"), *(ROOT / "examples").glob("*/README.md")])
MATH_BEGIN, MATH_END = '@htmlonly<div class="math">', "</div>@endhtmlonly"
LANGUAGES = {".hpp": "cpp", ".cpp": "cpp", ".py": "py"}


def name_of(page):
    """What its page of the site is called."""
    if page == ROOT / "README.md":
        return "index"
    folder = "" if page.parent in (ROOT, ROOT / "docs") else page.parent.name + "-"
    return folder + page.stem.lower().replace(".", "-")


def label_of(page, anchor):
    """What Doxygen is to call a heading: it takes ASCII alone."""
    return f"{name_of(page)}-{anchor if anchor.isascii() else anchor.encode().hex()}"


def slugs(lines):
    """The anchor of each heading, by line, as GitHub makes them."""
    found, is_code = {}, False
    for number, line in enumerate(lines):
        is_code ^= line.startswith("```")
        if not is_code and (heading := re.match(r"#+ (.*)", line)):
            text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            again = sum(other == slug or re.fullmatch(re.escape(slug) + r"-\d+", other) is not None for other in found.values())
            found[number] = f"{slug}-{again}" if again else slug
    return found


class Page:
    def __init__(self, path, sources):
        self.path, self.sources = path, sources
        text = path.read_text()
        if path.stem.endswith("zh-CN"):  # a line that is broken between Chinese words has no space there
            text = re.sub(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n *(?=[^\s\-|#`<])", "", text)
        self.lines = text.splitlines()

    def text(self):
        out, fence, anchors = [], None, slugs(self.lines)
        for number, line in enumerate(self.lines):
            if line.startswith("```"):
                opens, fence = fence is None, line[3:] if fence is None else fence
                is_math = fence == "math"
                out.append((MATH_BEGIN if opens else MATH_END) if is_math else line.split(" ")[0])
                fence = fence if opens else None
            elif fence is not None:
                out.append(html.escape(line) if fence == "math" else line)
            elif number in anchors:
                out.append(self.heading(line, anchors[number]))
            else:
                out.append(line)
        return self.inline("\n".join(out) + "\n")

    def heading(self, line, anchor):
        label = label_of(self.path, anchor) if line.startswith("##") else name_of(self.path)
        return line if label == "index" else f"{line} {{#{label}}}"

    def inline(self, text):
        """Changes what is not code; links may go over the end of a line."""
        out = []
        for part in re.split(r"(^```.*?^```$|^@htmlonly.*?@endhtmlonly$|`[^`]*`)", text, flags=re.M | re.S):
            if part.startswith("`") and not part.startswith("```"):
                part = part.replace("\n", " ")
            elif not part.startswith(("`", "@htmlonly")):
                part = re.sub(r"(?<![\w$])\$([^$]+)\$(?!\w)", self.formula, part)
                part = re.sub(r"@(?!htmlonly|endhtmlonly)|%", r"\\\g<0>", part)
            out.append(part)
        # Code may stand within a link, but no link within code: the other way round its brackets would be one.
        text = "".join(out)
        link = r"(!?)\[((?:`[^`]*`|[^]`])*)\]\(([^)\s`]+)\)"
        code = r"^```.*?^```$|`[^`]*`"
        return re.sub(f"{link}|{code}", lambda found: self.link(found) if found[3] else found[0], text, flags=re.M | re.S)

    @staticmethod
    def formula(found):
        return f'@htmlonly<span class="math">{html.escape(" ".join(found[1].split()))}</span>@endhtmlonly'

    def link(self, found):
        is_image, text, target = found.group(1, 2, 3)
        if re.match(r"\w+:", target):
            return found[0]
        file, _, anchor = target.partition("#")
        path = pathlib.Path(os.path.normpath(self.path.parent / file)) if file else self.path
        if not path.exists():
            sys.exit(f"{self.path}: no {target}")
        if is_image:
            return f'<a href="{path.name}"><img src="{path.name}" alt="{html.escape(text)}"/></a>'
        if path in PAGES:
            return f"[{text}]({name_of(path)}.html" + (f"#{label_of(path, anchor)})" if anchor else ")")
        if path.is_dir():
            sys.exit(f"{self.path}: {target} is a folder; link to a file of it")
        self.sources.add(path)
        return f"[{text}]({source_name(path)}.html)"


def source_name(path):
    return "source-" + re.sub(r"\W", "-", str(path.relative_to(ROOT)).lower())


def source_page(path):
    lines = path.read_text().rstrip()
    return f"# {path.relative_to(ROOT)} {{#{source_name(path)}}}\n\n```{LANGUAGES.get(path.suffix, '')}\n{lines}\n```\n"


def main():
    target, sources = pathlib.Path(sys.argv[1]), set()
    target.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        (target / f"{name_of(page)}.md").write_text(Page(page, sources).text())
    for source in sources:
        (target / f"{source_name(source)}.md").write_text(source_page(source))


if __name__ == "__main__":
    main()
