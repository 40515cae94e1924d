"""Write the generated pages beside this file: `make docs`; `tests/test_reference.py` compares them."""

from pathlib import Path

from docs.reference.pages import PAGES

if __name__ == "__main__":
    for name, page in PAGES.items():
        Path(__file__).with_name(f"{name}.md").write_text(page(), encoding="utf-8")
