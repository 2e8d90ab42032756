"""No page asks for more than its content security policy allows."""

from __future__ import annotations

from tests.e2e.conftest import OpenPage

NOTE_VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => {
    window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""

OWN_LINKS = """
[...document.links].filter((link) => link.origin === location.origin).map((link) => link.pathname)
"""


def test_no_page_breaks_its_own_policy(open_page: OpenPage) -> None:
    page, observer = open_page()
    page.set_default_timeout(60_000)
    page.context.add_init_script(NOTE_VIOLATIONS)
    observer.forgive("status of 404")
    seen, waiting = set[str](), {"/", "/nothing-here"}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("violations") == [], path
        links: list[str] = page.evaluate(OWN_LINKS)
        waiting |= {link for link in links if not link.startswith("/api/")} - seen
    assert "/api" in seen
