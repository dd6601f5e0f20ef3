"""What axe-core finds fault with in a page."""

import json
from pathlib import Path
from typing import Any

AXE = Path(__file__).parent.parent.parent / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def findings(tab: Any) -> list[str]:
    """What axe-core finds, as "rule: elements"."""
    if not tab.evaluate("!!window.axe"):
        tab.evaluate(AXE.read_text(encoding="utf-8") + ";0")
    found = (
        f"axe.run({{ exclude: ['svg > *'] }}, {{ runOnly: {json.dumps(RULES)} }}).then((r) => r.violations)"
    )
    return [f"{v['id']}: {[node['target'] for node in v['nodes']]}" for v in tab.evaluate(found)]
