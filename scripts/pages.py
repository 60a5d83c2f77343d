"""What `make docs` does to a page before mkdocs reads it."""


def on_page_read_source(page, config):
    """The text of a page below an empty line. Pages of results begin with lines like ``Command: ...``, which mkdocs
    would otherwise take for settings of the page and leave out."""
    with open(page.file.abs_src_path, encoding="utf-8") as file:
        return "\n" + file.read()
