"""Reads C++ headers, as clang-format has set them, into what they declare."""

import re
from dataclasses import dataclass, field

HIDDEN = {"detail", "impl"}  # namespaces whose names are not public


def is_hidden(namespace):
    return bool(HIDDEN & set(re.split(r"::| ", namespace)))


@dataclass
class Item:
    doc: list  # lines of its docstring
    kind: str = "other"  # namespace, class, enum, macro, function, other
    template: str = ""
    head: str = ""  # the declaration, without what it is a template of, and without bodies
    name: str = ""
    items: list = field(default_factory=list)  # of a namespace, and the public ones of a class
    comment: str = ""  # behind it, on its line


class Header:
    """read() gives the items of a text. Of internal headers those of hidden namespaces are passed over."""

    def __init__(self, text, is_internal=False):
        self.text, self.at, self.is_internal = text, 0, is_internal

    def read(self):
        return self.scope(is_public=True)

    # What moves over the text.

    def matches(self, pattern):
        return re.compile(pattern).match(self.text, self.at)

    def line(self):
        end = self.text.find("\n", self.at)
        line, self.at = self.text[self.at : end], end + 1
        return line

    def behind_literal(self, at):
        """The place behind the comment, string or character that begins at `at`, if one does."""
        text = self.text
        if text.startswith("//", at):
            return text.index("\n", at)
        if text[at] == '"' or (text[at] == "'" and not text[at - 1].isalnum()):  # not a 1'000
            end = at + 1
            while text[end] != text[at]:
                end += 2 if text[end] == "\\" else 1
            return end + 1
        return at

    def behind_bracket(self, at, pairs="(){}[]"):
        """The place behind the bracket that closes the one at `at`."""
        depth = 0
        while True:
            if (behind := self.behind_literal(at)) != at:
                at = behind
                continue
            found = pairs.find(self.text[at])
            depth += 0 if found < 0 else 1 if found % 2 == 0 else -1
            at += 1
            if depth == 0:
                return at

    def skip_requires(self):
        if found := self.matches(r"\s*requires\s*(?=\()"):
            self.at = self.behind_bracket(found.end())
            self.at = self.matches(r"\s*").end()

    # What reads.

    def scope(self, is_public):
        """The items up to the bracket that closes the scope, or to the end."""
        items, doc = [], []
        while True:
            space = self.matches(r"\s*")
            self.at = space.end()
            if space[0].count("\n") > 1:
                doc = []  # it belongs to nothing
            if self.at >= len(self.text) or self.text[self.at] == "}":
                return items
            if self.matches("/// @cond"):
                self.at = self.text.index("/// @endcond", self.at) + len("/// @endcond")
            elif self.matches("///"):
                doc.append(self.line()[3:].removeprefix(" "))
            elif self.matches("//"):
                self.line()
            elif self.matches("#"):
                items, doc = self.directive(items, doc), []
            elif access := self.matches(r"(public|private|protected):"):
                is_public, self.at = access[1] == "public", access.end()
            else:
                item = self.item(doc)
                if item.name and is_public:
                    items.append(item)
                doc = []

    def directive(self, items, doc):
        """A line of the preprocessor: the items, with a macro of ours or without one that is undefined."""
        line = self.line()
        if found := re.match(r"#undef (\w+)", line):
            return [item for item in items if item.name != found[1]]
        if found := re.match(r"#define (NORMKIT_\w+)(?= |$)", line):
            items.append(Item(doc, "macro", head=line, name=found[1]))
        while line.endswith("\\"):
            line = self.line()
        return items

    def item(self, doc):
        item = Item(doc)
        while self.matches("template <"):
            start, self.at = self.at, self.behind_bracket(self.at + len("template "), "<>")
            item.template += self.text[start : self.at] + "\n"
            self.at = self.matches(r"\s*").end()
            self.skip_requires()
        self.declaration(item)
        item.head = re.sub(r"\s+", " ", re.sub(r"//.*", "", item.head)).strip()
        item.name = name_of(item)
        if found := self.matches(r" *// (?!NOLINT)(.*)"):
            item.comment, self.at = found[1], found.end()
        return item

    def declaration(self, item):
        """Reads a declaration to its end: what a class or namespace holds too, but no body of a function."""
        words = self.matches(r"(?:inline )?(namespace|class|struct|enum)\b")
        is_value = False  # behind its =
        while True:
            here = self.text[self.at]
            if here == ";":
                self.at += 1
                return
            if here == "{" and words:
                return self.inside(item, words[1])
            if item.kind == "function" and not is_value:
                self.skip_requires()
                if self.matches("{"):
                    self.at = self.behind_bracket(self.at)
                    return
                if self.matches(": "):
                    return self.initializers()
                here = self.text[self.at]
            is_value |= here == "=" and not re.search(r"operator\W*$", item.head)
            if here == "(" and not words and not is_value and item.kind == "other":
                item.kind = "function"
            end = self.behind_literal(self.at)
            if end == self.at:
                end = self.behind_bracket(self.at) if here in "({[" else self.at + 1
            item.head, self.at = item.head + self.text[self.at : end], end

    def inside(self, item, word):
        """What stands in the brackets of a namespace, class or enumeration."""
        item.kind = "class" if word == "struct" else word
        end = self.behind_bracket(self.at)
        if word == "enum":
            item.head += self.text[self.at : end]
        elif not (self.is_internal and word == "namespace" and is_hidden(item.head)):
            self.at += 1
            item.items = self.scope(is_public=word != "class")
        self.at = end
        if word != "namespace":  # and perhaps the name of a variable
            self.at = self.text.index(";", self.at) + 1

    def initializers(self):
        """Passes over those of a constructor, and over its body."""
        while self.text[self.at] != "{":
            self.at = self.behind_bracket(self.matches(r"[:,]\s*[\w:<>, ]+?(?=[({])").end())
            self.at = self.matches(r"\s*").end()
        self.at = self.behind_bracket(self.at)


def name_of(item):
    """Nothing for what declares no name of its own."""
    head = item.head
    if re.match(r"using (typename )?[\w:]+$|static_assert|friend (?!.*\()", head):
        return ""
    if item.kind in ("class", "enum", "namespace"):
        return re.match(r"(?:inline )?(?:namespace|class|struct|enum class|enum) ([\w:]+)", head)[1]
    if item.kind == "function":
        return re.search(r"(operator\s*(?:\(\)|[^\s(]+)|operator [\w:]+|~?\w+)\s*\(", head)[1]
    found = re.search(r"(\w+)(\[\])?$", re.split(r" = | ?\{", head)[0])
    return found[1] if found else ""
