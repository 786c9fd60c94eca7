"""links.py SITE: follows every link within a folder of HTML pages, and within the project's Markdown, and fails where one
leads to a file or a place in it that does not exist. Addresses elsewhere are not asked for."""

import html.parser
import pathlib
import re
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if value and (name == "id" or (name == "name" and tag == "a")):
                self.places.add(value)
            elif value and (name == "href" or name == "src"):
                self.links.append(value)


def is_elsewhere(link):
    return re.match(r"[a-z][a-z0-9+.-]*:|//", link) is not None


def check_site(site):
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    if not (site / "index.html").exists():
        yield f"{site}: no index.html"
    for path, page in pages.items():
        for link in page.links:
            # Doxygen summarises nested classes that are private, and then leaves them out.
            if is_elsewhere(link) or link == "#nested-classes":
                continue
            file, place = urllib.parse.urldefrag(urllib.parse.unquote(link))
            target = (path.parent / file).resolve() if file else path
            if not target.exists():
                yield f"{path.name}: {link}: no such file"
            elif place and target in pages and place not in pages[target].places:
                yield f"{path.name}: {link}: no such place"


def check_markdown(project):
    for path in [*project.glob("*.md"), *(project / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if not is_elsewhere(link) and not (path.parent / link.split("#")[0]).exists():
                yield f"{path}: {link}: no such file"
        for mention in re.findall(r"`((?:docs|examples|tests|bench|include|cmake)/[\w./-]+)`", path.read_text()):
            if not (project / mention).exists() and not re.search(r"/[A-Z]+[./]", mention):
                yield f"{path}: `{mention}`: no such file"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    wrong = [*check_site(pathlib.Path(sys.argv[1])), *check_markdown(pathlib.Path(__file__).parents[2])]
    for complaint in wrong:
        print(complaint)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
