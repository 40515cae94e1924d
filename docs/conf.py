"""How Sphinx makes a site of these pages (`make docs`); nothing in it is loaded from another host."""

project = "Overthink"
author = "the Overthink authors"
project_copyright = "the Overthink authors, MIT licence"
html_title = "Overthink"

extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # links to a section, as GitHub names them
nitpicky = True
highlight_language = "none"

html_theme = "furo"
html_static_path = ["static", "../tasks/reporting/viewer/static/katex"]
html_css_files = ["katex.min.css", "pages.css"]
html_js_files = [("formulas.js", {"defer": "defer"})]
mathjax_path = "katex.min.js"  # the viewer's KaTeX, where Sphinx would load MathJax; on pages with formulas only
mathjax_options = {"defer": "defer"}
html_copy_source = False
html_show_sphinx = False
