"""Writes docs/huggingface.md: what transformers' common tests say of our models, and why a test is left out.

python tools/common_tests.py runs them (five minutes on two cores); with files of pytest's --junitxml it reads those.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "tests" / "huggingface"
HEAD = """# transformers' common tests

`tests/huggingface` runs `ModelTesterMixin` and `ConfigTester` of the installed release (transformers {version})
on seven families of mixers, as encoders, causal language models and encoder-decoders; `python tools/common_tests.py`
writes this page. The mixins come from the release's source archive, which lacks `GenerationTesterMixin`,
`ExportTesterMixin` and `config_common_kwargs`: empty stand-ins take their place, and
`tests/models/test_generation.py`, `tests/huggingface/test_cache.py` and `test_graphs.py` test generation, caches and
export.

| models | passed | failed | left out |
|---|---|---|---|
"""
WHY = """
No test fails. Those left out are left out by the library itself or by name in `tests/huggingface/families.py`:

| reason | times |
|---|---|
"""

END = """
**Not a single graph.** `torch.compile(fullgraph=True)` takes every registry entry in inference and training but the
graph mixer in training under `aot_eager`, whose gradient has strides that a view cannot take. Blocks of the sparse
graph are counted from the first token given, padding or not: there alone padding inside a text changes logits, a
little.
"""


def measured() -> list[Path]:
    """The tests' own report, of a run now."""
    path = ROOT / "build" / "huggingface" / "report.xml"
    files = [str(file) for file in sorted(FOLDER.glob("test_common_*.py"))]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "slow", *files, f"--junitxml={path}"],
        cwd=ROOT,
        check=False,
    )
    return [path]


def page(reports: list[Path]) -> str:
    """The page as Markdown."""
    import transformers

    counts: dict[str, Counter] = {}
    reasons: Counter = Counter()
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            name = case.get("classname", "").rpartition(".")[2].removeprefix("Test")
            skipped, failed = case.find("skipped"), case.find("failure")
            kind = "left out" if skipped is not None else "failed" if failed is not None else "passed"
            counts.setdefault(name, Counter())[kind] += 1
            if skipped is not None:
                reason = skipped.get("message", "")
                reasons[reason.partition(" <class")[0].replace("|", "/")] += 1
    rows = [f"| {n} | {c['passed']} | {c['failed']} | {c['left out']} |" for n, c in sorted(counts.items())]
    why = [f"| {reason} | {times} |" for reason, times in reasons.most_common()]
    return (
        HEAD.format(version=transformers.__version__)
        + "\n".join(rows)
        + "\n"
        + WHY
        + "\n".join(why)
        + "\n"
        + END
    )


if __name__ == "__main__":
    text = page([Path(name) for name in sys.argv[1:]] or measured())
    (ROOT / "docs" / "huggingface.md").write_text(text)
