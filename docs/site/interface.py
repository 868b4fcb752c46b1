#!/usr/bin/env python3
"""Writes the public interface of normkit's headers, declarations and their docstrings alone, for Doxygen to read.

    docs/site/interface.py include/normkit folder

What a user calls is written over several classes of namespace detail (docs/adr/0006-abilities-as-classes-between.md) and in
several overloads a function. A reader wants neither: a class gets the members of all its bases as its own, under the first
words of the base they come from, and overloads without a docstring of their own are listed as calls of the one before them.
The labels of docstrings (Shapes, Memory, ...) become paragraphs, their formulas code.
"""

import pathlib
import re
import sys

from headers import Header, is_hidden

LABEL = re.compile(r"(Shapes|Scalars|Units|Memory|Threads|Throws|Source|Else) {2,}(\S.*)")


def split(text):
    """The parts between commas that are in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "<({[") - (letter in ">)}]")
        parts[-1] += "" if letter == "," and depth == 0 else letter
        if letter == "," and depth == 0:
            parts.append("")
    return [part.strip() for part in parts if part.strip()]


def declarations(head):
    """Each of the variables that one declaration names, with its type."""
    if head.startswith("concept"):
        return [head.replace(" && ", " &&\n    ")]
    if head.startswith(("using", "static constexpr bool", "inline")):
        return [head]
    first, *others = split(head)
    kind = re.match(r"(.*) \w+$", first.split(" = ")[0])[1]
    return [first] + [f"{kind} {other}" for other in others]


def call_of(item):
    """forward(device, x, y): how a function is called."""
    inside = item.head[item.head.index("(", item.head.index(item.name) + len(item.name)) :]
    inside = inside[1 : Header(inside + "\n").behind_bracket(0) - 1]
    # Without a name: what copies and moves take.
    names = [(re.search(r"(\w+)( = .*)?$", part) or ["", "other"])[1] + ("?" if " = " in part else "") for part in split(inside)]
    name = "layer" if item.name == "operator()" else item.name
    given = [n for n in names if not n.endswith("?")]
    optional = [n[:-1] for n in names if n.endswith("?")]
    text = ", ".join(given)
    if optional:
        text += (" [, " if given else "[") + ", ".join(optional) + "]"
    return f"{name}({text})"


def prose(text):
    """What Doxygen would take for a command, a tag or a link."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\@<>#])", r"\\\1", part) for part in parts)


def docstring(doc, calls=()):
    """The same for Doxygen, and with the calls of overloads."""
    lines, is_labelled, is_code = [], False, False

    def code(on):
        nonlocal is_code
        if on != is_code:
            lines.append("@code{.unparsed}" if on else "@endcode")
            is_code = on

    for line in doc:
        is_indented = line.startswith("  ")
        code(is_indented and not is_labelled)
        if label := LABEL.match(line):
            lines.extend(["", f"@par {label[1]}", prose(label[2])])
            is_labelled = True
        elif is_indented:
            lines.append(prose(line.strip()) if is_labelled else line[2:])
        else:
            lines.extend([""] * is_labelled + [prose(line)])
            is_labelled = False
    code(False)
    if len(calls) > 1:
        lines.extend(["", "@par Calls", "@code{.unparsed}", *calls, "@endcode"])
    return lines[1:] if lines and not lines[0] else lines


def comment(lines, indent):
    return "".join(f"{indent}/// {line}".rstrip() + "\n" for line in lines)


def bases_of(item):
    """The names of the classes that it is made of, outermost first: public A<B<...>> is an A around a B."""
    declared = re.search(r" : (?:public )?(.*)$", item.head)
    return re.findall(r"(?:^|detail::|[<,] ?)(\w+)(?=<)", declared[1]) if declared else []


class Writer:
    def __init__(self, classes):
        self.classes = classes  # of namespace detail, by name

    def bases(self, item):
        """All classes that it is made of, forward and backward first, then from the innermost on."""
        found = {}
        for base in [self.classes[name] for name in bases_of(item) if name in self.classes and name != item.name]:
            for one in [base, *reversed(self.bases(base))]:
                found.setdefault(one.name, one)
        return sorted(reversed(found.values()), key=lambda base: base.name != "Layer")

    def items(self, items, indent):
        documented, together = {}, []  # what has a docstring, by name; each item with its overloads
        for item in items:
            has_own = item.doc or item.comment
            if not has_own and re.search(r"(\w+)\((const \1&|\1&& \w+)\)|operator=\(|^~", item.head):
                continue  # copied, moved and destroyed as one expects
            if item.name in ("takes", "is_device"):
                continue  # what calls are constrained by
            if item.kind == "function" and item.name in documented and not has_own:
                documented[item.name].append(item)
                continue
            together.append([item])
            if item.kind == "function" and has_own:
                documented[item.name] = together[-1]
        return "".join(self.item(overloads[0], overloads, indent) for overloads in together)

    def item(self, item, overloads, indent):
        if item.kind == "namespace":
            return self.namespace(item, indent)
        calls = list(dict.fromkeys(map(call_of, overloads))) if len(overloads) > 1 else []
        doc = docstring(item.doc + ([item.comment] if item.comment and item.kind != "class" else []), calls)
        out = comment(doc, indent)
        if item.kind == "macro":
            return out + item.head + "\n"
        head = "".join(indent + line + "\n" for line in item.template.splitlines()) + indent
        if item.kind == "other":
            return "".join(out + head + declared + ";\n" for declared in declarations(item.head))
        if item.kind != "class":
            return out + head + item.head + (" {}" if item.head.startswith("friend") else ";") + "\n"
        head += re.sub(r" : (?!.*std::).*", "", item.head) + " {\n" + indent + "public:\n"
        inside = self.items(item.items, indent + "  ")
        for base in self.bases(item):
            title = re.split(r"[.:]", " ".join(base.doc))[0]
            members = [m for m in base.items if m.kind != "class"]
            types = [m for m in members if m.head.startswith("using")]  # Doxygen would put their group first
            inside += self.items(types, indent + "  ")
            members = [m for m in members if m not in types]
            if text := self.items(members, indent + "  "):
                inside += f"{indent}  /// @name {title}\n{indent}  /// @{{\n\n{text}{indent}  /// @}}\n"
        return out + head + inside + indent + "};\n"

    def namespace(self, item, indent=""):
        if is_hidden(item.name):
            return ""
        inside = self.items(item.items, indent)
        doc = docstring(item.doc) if "::" in item.name else []  # that of all would be some file's
        return comment(doc, indent) + f"{item.head} {{\n{inside}}}\n" if inside else ""


def hidden_classes(items, inside=False):
    for item in items:
        if item.kind == "namespace":
            yield from hidden_classes(item.items, inside or is_hidden(item.name))
        elif item.kind == "class" and inside and item.items:
            yield item.name, item


def main():
    source, target = map(pathlib.Path, sys.argv[1:])
    headers = {path: Header(path.read_text(), path.parent != source).read() for path in sorted(source.rglob("*.hpp"))
               if not path.name.endswith(".inl.hpp")}
    writer = Writer(dict(pair for items in headers.values() for pair in hidden_classes(items)))
    target.mkdir(parents=True)
    (target / "normkit.hpp").write_text("/// Layers, what goes with them, and the errors that they throw.\nnamespace normkit {}\n")
    for path, items in headers.items():
        if any(item.kind == "namespace" for item in items):  # else it is macros for other headers
            if text := writer.items(items, ""):
                copy = target / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(text)


if __name__ == "__main__":
    main()
