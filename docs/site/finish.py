#!/usr/bin/env python3
"""Puts the navigation into every page of the site, and the names for its search beside them.

    docs/site/finish.py build/docs/names.xml build/site

The pages stand in the order of the README, the classes and functions in that of the alphabet.
"""

import html
import json
import pathlib
import re
import shutil
import sys
import xml.etree.ElementTree as Xml

from pages import ROOT, name_of

KATEX = pathlib.Path("/usr/share/javascript/katex")  # Debian: libjs-katex
NORMS = ["BatchNorm", "LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm"]


def pages(titles):
    """[title, address] of the pages that README's table of documentation names, decisions apart."""
    text = (ROOT / "README.md").read_text()
    table = text[text.index("\n## Documentation") :].split("\n## ")[1]
    found = {}
    for file in re.findall(r"\(([\w./-]+\.md)\)", table):
        name = name_of(ROOT / file)
        found.setdefault("Decisions" if "/adr/" in file else "Pages", []).append((titles[name], f"{name}.html"))
    return found


def names(tags):
    """Every documented name with its address, and the headings of pages."""
    for compound in tags.findall("compound"):
        kind, name = compound.get("kind"), compound.findtext("name")
        file = compound.findtext("filename").removesuffix(".html") + ".html"
        if kind in ("class", "struct", "concept", "namespace"):
            yield kind, name, file
        if kind == "page":
            yield kind, compound.findtext("title"), file
            for anchor in compound.findall("docanchor"):
                if anchor.text and anchor.get("title"):
                    yield "heading", anchor.get("title"), f"{anchor.get('file')}#{anchor.text}"
        if kind in ("class", "struct", "namespace"):
            for member in compound.findall("member"):
                target = f"{member.findtext('anchorfile')}#{member.findtext('anchor')}"
                yield member.get("kind"), f"{name}::{member.findtext('name')}", target


def plain(text):
    """Without the words that Doxygen puts around a name, and its links from names of parameters to functions called so."""
    text = re.sub(r" (Class|Struct|Concept|Namespace)( Template)? Reference(?=</div>|</title>| - )", "", text)
    text = re.sub(r"(?<=title)(.*)&lt; (.*?) &gt;", r"\1&lt;\2&gt;", text)
    text = text.replace('<h2 class="groupheader"> </h2>', "")
    arguments = re.compile(r'(<td class="mem(?:Templ)?ItemRight".*?</a>|<td class="paramname">)(.*?</td>)', re.S)
    own = re.compile(r'<a class="el" href="[^"]*">([a-z]\w*)</a>')
    return arguments.sub(lambda found: found[1] + own.sub(r"\1", found[2]), text)


def sections(text):
    """[heading, anchor] of a page."""
    found = re.findall(r'<h1><a class="anchor" id="([^"]*)"></a>\s*(.*?)</h1>', text, re.S)
    return [(re.sub(r"<[^>]*>", "", heading), anchor) for anchor, heading in found]


def navigation(groups, here, parts):
    inside = "".join(f'<li><a href="#{anchor}">{heading}</a></li>' for heading, anchor in parts)
    out = ['<nav><details open><summary>Contents</summary>', '<input id="search" type="search" placeholder="Search names and headings" '
           'aria-label="Search"/><ul id="found"></ul>']
    for title, entries in groups.items():
        out.append(f"<h2>{title}</h2><ul>")
        for text, target in entries:
            current = ' aria-current="page"' if target == here else ""
            below = f"<ul>{inside}</ul>" if current and inside else ""
            out.append(f'<li><a href="{target}"{current}>{html.escape(text)}</a>{below}</li>')
        out.append("</ul>")
    return "\n".join(out) + "</details></nav>"


def remove_unreachable(site, targets):
    """Doxygen's lists of members and folders, which no page names, and its pictures."""
    reached, new = set(), {"index.html", *(target.split("#")[0] for target in targets)}
    while new:
        reached |= new
        links = [re.findall(r'(?:href|src)="([^"#:]+)', (site / page).read_text()) for page in new if page.endswith(".html")]
        new = {link for found in links for link in found} - reached
    for file in site.glob("*"):
        if file.is_file() and file.name not in reached:
            file.unlink()


def groups_of(known):
    """What the navigation has: {title: [(text, address)]}."""
    def all_of(*kinds):
        return [(name, target) for kind, name, target in known if kind in kinds]

    classes = {name: target for name, target in all_of("class", "struct") if "::" not in name}
    groups = {
        "normkit": [("Home", "index.html")],
        **pages({target.removesuffix(".html"): title for title, target in all_of("page")}),
        "Layers": [(norm, classes.pop(norm)) for norm in NORMS],
        "Functions": [entry for entry in all_of("function") if "::" not in entry[0]],
        "Classes": list(classes.items()),
        "Concepts": all_of("concept"),
        "Namespaces": all_of("namespace"),
    }
    assert all(groups.values()), groups
    return groups


def main():
    tags, site = Xml.parse(sys.argv[1]).getroot(), pathlib.Path(sys.argv[2])
    known = {(kind, name.removeprefix("normkit::"), target) for kind, name, target in names(tags)}
    known = sorted(known, key=lambda entry: (entry[1].lower(), entry))
    groups = groups_of(known)
    addresses = [(name, target) for _, name, target in known]
    (site / "names.js").write_text(f"const names = {json.dumps(addresses, indent=0)};\n")
    for picture in (ROOT / "docs/img").glob("*.[sp][vn]g"):
        shutil.copy(picture, site)

    math = ""
    if KATEX.exists():
        for file in ("katex.min.js", "katex.min.css"):
            shutil.copy(KATEX / file, site)
        shutil.copytree(KATEX / "fonts", site / "fonts")
        math = '<link href="katex.min.css" rel="stylesheet"/><script src="katex.min.js" defer></script>'
    for page in site.glob("*.html"):
        text = plain(page.read_text())
        text = text.replace("<!-- math -->", math if 'class="math"' in text else "")
        if page.stem.endswith("-zh-cn"):
            text = text.replace('<html lang="en">', '<html lang="zh-CN">', 1)
        page.write_text(text.replace("<!-- navigation -->", navigation(groups, page.name, sections(text))))
    remove_unreachable(site, [target for _, target in addresses])


if __name__ == "__main__":
    main()
