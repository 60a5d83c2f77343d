"""How `make docs` reads the code's docstrings: ours have no blank line between Args, Returns and Raises."""

import re

import griffe

SECTION = re.compile(r"(?<!\n)\n(Args|Attributes|Returns|Yields|Raises):\n")


class Sections(griffe.Extension):
    """Puts a blank line before each section, without which griffe takes it for text."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called with every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = SECTION.sub(r"\n\n\1:\n", obj.docstring.value)
