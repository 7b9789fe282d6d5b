"""The site: built strictly, whole without a network, readable wide and narrow, light and dark."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import programs
import pytest
from browser_support import OpenPage, faint, overflow
from docs_support import DOCS, ROOT

SITE = ROOT / "build" / "site"


@pytest.fixture(scope="session")
def _site() -> None:
    done = programs.run([ROOT / "scripts" / "docs"], timeout=120)
    assert done.returncode == 0, done.stderr


def of_the_site(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that reads the site, which is built before it."""
    return pytest.mark.site(pytest.mark.usefixtures("_site")(test))


_LOADED = r"""<(?:script|img|iframe|source|video)[^>]* src=["']?(?:\w+:|//)|\
<link(?![^>]*rel="?(?:next|prev))[^>]* href=["']?(?:\w+:|//)|\
(?:url\(|@import\s*)['"]?(?:https?:)?//"""


@of_the_site
def test_nothing_is_loaded_from_elsewhere() -> None:
    """No page asks another host for a script, a style, a font or a picture."""
    built = [*SITE.rglob("*.html"), *SITE.rglob("*.css")]
    assert len(built) > 15
    for path in built:
        assert re.findall(_LOADED, path.read_text(encoding="utf-8")) == [], path


_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _sources() -> Iterable[Path]:
    yield from (ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md")
    yield from DOCS.rglob("*.md")
    yield from ROOT.glob("examples/*/README.md")


@pytest.mark.parametrize(
    "source", list(_sources()), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_links_of_the_sources(source: Path) -> None:
    """Each link of the Markdown, as the repository shows it, leads to a file and a heading."""
    for link in _LINK.findall(source.read_text(encoding="utf-8")):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = source if not parts.path else (source.parent / parts.path).resolve()
        assert target.exists(), f"{source.name}: {link}"
        if parts.fragment and target.suffix == ".md":
            assert parts.fragment in _anchors(target), f"{source.name}: {link}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# In a browser

LOOKED_AT = [
    pytest.param("index", 1280, "light", id="home page on a desktop"),
    pytest.param("quickstart", 360, "dark", id="quickstart, dark on a phone"),
    pytest.param("troubleshooting", 360, "light", id="troubleshooting on a phone"),
    pytest.param("reference/settings", 1280, "dark", id="settings, dark on a desktop"),
]


@of_the_site
@pytest.mark.browser
@pytest.mark.parametrize(("name", "width", "scheme"), LOOKED_AT)
def test_looks(open_page: OpenPage, name: str, width: int, scheme: str) -> None:
    """A page opens from the disk, fits its window, and its text stands out."""
    url = (SITE / f"{name}.html").as_uri()
    with open_page(url, width=width, color_scheme=scheme) as page:
        assert page.evaluate("document.body.dataset.mdColorScheme") == (
            "default" if scheme == "light" else "slate"
        )
        assert overflow(page) == 0
        broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
        page.wait_for_load_state()
        assert page.evaluate(broken) == []
        # (A heading's link shows itself only to a pointer above it.)
        assert [text for text in faint(page) if "¶" not in text] == []
