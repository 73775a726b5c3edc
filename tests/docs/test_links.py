"""Links lead somewhere."""

from __future__ import annotations

import pytest
from pages import PAGES, ROOT, anchors, links


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_a_file_and_a_heading_of_it(page: str) -> None:
    """Whatever is linked within the repository is there, down to the heading."""
    for target in links(page):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.is_file(), f"{page} links {target}"
        if anchor:
            linked = file.resolve().relative_to(ROOT).as_posix()
            assert anchor in anchors(linked), f"{page} links {target}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    """No page of docs is left out of the README's list."""
    assert {page for page in PAGES if page != "README.md"} <= {link.partition("#")[0] for link in links("README.md")}
