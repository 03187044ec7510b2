"""Go's text/template, the part that --format needs: `Template(text).render(data)`.

    text ──lexer──► tokens ──parser──► closures ──► text
                                          ▲
                                      functions

Data is what JSON gives (dict, list, str, int, float, bool, None); a dict's value may be a function, which is
called with what stands behind the field ({{.Label "key"}}).
"""

from __future__ import annotations

from nakagin.cli.templates.parser import Template
from nakagin.cli.templates.values import TemplateError

__all__ = ["Template", "TemplateError"]
