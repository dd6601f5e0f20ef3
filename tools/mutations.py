"""Which changes of the code no test notices: mutants of training, mixers, thermodynamics and the steps of time.

    python tools/mutations.py [--sample 200] [--seed 19] [--minutes 0] [--results build/mutations.jsonl] [--list]

The operators are those of cosmic-ray (pip install cosmic-ray). The seed draws places of the code, and at each of them
one of its mutants; mutants of annotations are none, and arithmetic is replaced by arithmetic, sets by sets. Each mutant
is put in a copy of the code, where the fast tests of TESTS run until one fails: then it is killed. At the end the tests
that failed run on the code as it is, where they must pass. The same command goes on where it stopped.
"""

import argparse
import ast
import contextlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parent.parent
ROOMS = ("training", "mixers", "thermodynamics", "flows/time")
FAMILIES = ({"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"}, {"BitOr", "BitAnd", "BitXor"})
CPU, WALL = 300, 900  # seconds for the tests of one mutant
HEAVY = ["beartype", "torch", "numba", "scipy.optimize", "transformers.trainer"]
TESTS = {  # the first that begins the module's path; before them run the tests of the module's name
    "training/tasks": "training/test_tasks.py",
    "training/build": "training/test_tasks.py training/test_memory_estimate.py",
    "training/rates": "training/test_rates.py",
    "training/size": "training/test_size.py",
    "training/memory": "training/test_memory_estimate.py",
    "training/finite": "training/test_nonfinite.py",
    "training/processes": "training/test_processes.py",
    "training/experiment": "training/test_experiment.py training/test_runs.py",
    "training/compare": "training/test_compare.py training/test_schedule.py training/test_size.py cli/test_training.py",
    "training/run": "training/test_tasks.py training/test_runs.py training/test_resume.py",
    "training/schedule": "training/test_schedule.py training/test_experiment.py training/test_runs.py",
    "training/constraints": "training/test_constraints.py training/test_rates.py",
    "training/": "training/test_schedule.py training/test_constraints.py training/test_nonfinite.py "
    "training/test_finished_runs.py training/test_runs.py training/test_resume.py",
    "mixers/channel": "mixers/channel mixers/test_contract.py",
    "mixers/cross": "mixers/cross mixers/test_contract.py",
    "mixers/graph": "mixers/graph mixers/test_continuation.py mixers/test_mixer_refusals.py",
    "mixers/ops": "mixers/ops mixers/token mixers/test_continuation.py",
    "mixers/token": "mixers/token mixers/ops mixers/test_continuation.py mixers/test_contract.py",
    "mixers/size": "training/test_size.py training/test_memory_estimate.py",
    "mixers/": "mixers/test_mixer_registry.py mixers/test_mixer_refusals.py mixers/test_contract.py "
    "models/test_parts.py models/test_model_starts.py",
    "thermodynamics/reactions": "thermodynamics/test_mass_action.py mixers/channel",
    "thermodynamics/": "thermodynamics mixers/channel/test_partition_block.py",
    "flows/time": "flows/test_time_steps.py flows/test_time.py flows/test_simulation_experiment.py "
    "flows/test_probes.py",
}


def tests_of(module: str) -> list[str]:
    """The files of tests that a mutant of a module must pass to survive."""
    room, stem = Path(module).parts[1], Path(module).stem
    named = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests" / room).rglob(f"test_*{stem}*.py"))
    mapped = next(files for begin, files in TESTS.items() if module.startswith(f"spinodal/{begin}"))
    return list(dict.fromkeys([*named, *(f"tests/{file}" for file in mapped.split())]))


def operators() -> Iterator[tuple[str, Any]]:
    try:
        from cosmic_ray.operators.provider import OperatorProvider
    except ImportError:
        sys.exit("mutants are made by cosmic-ray: pip install cosmic-ray")
    for name in OperatorProvider():
        operator = OperatorProvider()[name]
        if operator.arguments():
            continue
        pair = set(name.removeprefix("ReplaceBinaryOperator_").split("_"))
        if not name.startswith("ReplaceBinaryOperator") or any(pair <= family for family in FAMILIES):
            yield name, operator()


def places() -> dict[tuple[str, Any, Any], list[tuple[str, int]]]:
    """(file, start, end) -> the operators that change it, each with which of its occurrences in the file this is."""
    from cosmic_ray.ast import ast_nodes, get_ast

    found: dict[tuple[str, Any, Any], list[tuple[str, int]]] = {}
    usable = list(operators())
    for room in ROOMS:
        for path in sorted((ROOT / "spinodal" / room).rglob("*.py")):
            nodes = list(ast_nodes(get_ast(path.read_text())))
            for name, operator in usable:
                spans = [span for node in nodes for span in operator.mutation_positions(node)]
                for occurrence, (start, end) in enumerate(spans):
                    key = (str(path.relative_to(ROOT)), start, end)
                    found.setdefault(key, []).append((name, occurrence))
    return found


def without_annotations(code: str) -> str:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        for field in {"annotation", "returns"} & set(node._fields):
            setattr(node, field, None)
    return ast.dump(tree)


def mutants(seed: int) -> Iterator[tuple[dict[str, Any], str]]:
    """(what is changed, the file's new text) in the order that the seed gives."""
    from cosmic_ray.mutating import mutate_code

    usable, found, random = dict(operators()), places(), Random(seed)
    for file, start, end in random.sample(list(found), len(found)):
        name, occurrence = random.choice(found[file, start, end])
        code = (ROOT / file).read_text()
        changed = mutate_code(code, usable[name], occurrence) or code
        with contextlib.suppress(SyntaxError):
            if without_annotations(code) != without_annotations(changed):
                line = start[0] - 1
                lines = [text.splitlines()[line].strip() for text in (code, changed)]
                yield (
                    {"file": file, "line": line + 1, "column": start[1], "operator": name, "change": lines},
                    changed,
                )


def run_tests(copy: str, tests: list[str], output: str) -> None:
    import pytest

    os.setsid()
    os.chdir(copy)
    sys.dont_write_bytecode = False
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a command in the background ignores it
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU + 5))
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
    sys.path.insert(0, copy)
    loaded = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # plugins of pytest among HEAVY
    asked = ["-xqrfE", "--tb=line", "-p", "no:cacheprovider", "-m", "not slow and not browser"]
    sys.exit(pytest.main([*asked, *loaded, *tests]))


def outcome(context: Any, copy: Path, tests: list[str]) -> tuple[str, str]:
    """("killed", the test that failed), ("survived", "") or ("timed out", "")"""
    output = copy / "output.txt"
    process = context.Process(target=run_tests, args=(str(copy), tests, str(output)))
    process.start()
    process.join(WALL)
    late = process.is_alive() or process.exitcode == -signal.SIGXCPU
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    if late or process.exitcode == 0:
        return "timed out" if late else "survived", ""
    reports = [line for line in output.read_text().splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if not reports and (process.exitcode or 0) > 0:
        sys.exit(f"no test ran: {output.read_text()[-2000:]}")
    return "killed", reports[0].split(" - ")[0].split(" ", 1)[1] if reports else "the process"


@contextlib.contextmanager
def fresh_kernels(copy: Path, code: str) -> Iterator[None]:
    """A compiled loop is kept by the file that it stands in, with the loops of other files that it calls."""

    def forget() -> None:
        for path in copy.rglob("*.nb[ic]") if "loops" in code else ():
            path.unlink()

    forget()
    yield
    forget()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--minutes", type=float, default=0, help="stop after these; 0: when all are done")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "mutations.jsonl")
    parser.add_argument("--list", action="store_true", help="print the sample and run nothing")
    asked = parser.parse_args()

    from rich.progress import track

    sample = [mutant for mutant, _ in zip(mutants(asked.seed), range(asked.sample), strict=False)]
    if asked.list:
        for mutant, _ in sample:
            print(f"{mutant['file']}:{mutant['line']}", *mutant["change"], sep="\n    ")
        return
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    asked.results.touch()
    drawn = [mutant for mutant, _ in sample]
    rows = [json.loads(line) for line in asked.results.read_text().splitlines()]
    rows = [row for row in rows if {key: row[key] for key in drawn[0]} in drawn]
    done = [{key: row[key] for key in drawn[0]} for row in rows]
    end = time.monotonic() + 60 * (asked.minutes or 1e9)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "spinodal"
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "build", "runs"), symlinks=True
        )
        os.environ |= {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "TMPDIR": folder}
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for number, (mutant, code) in enumerate(track(sample, description="mutants"), 1):
            if mutant in done or time.monotonic() > end:
                continue
            file = copy / mutant["file"]
            file.write_text(code)
            os.utime(file, (number, number))  # compiled files are told apart by the second of their source
            start = time.monotonic()
            with fresh_kernels(copy, code):
                result, test = outcome(context, copy, tests_of(mutant["file"]))
            shutil.copy2(ROOT / mutant["file"], file)
            rows.append(
                {**mutant, "outcome": result, "test": test, "seconds": round(time.monotonic() - start, 1)}
            )
            with asked.results.open("a") as results:
                results.write(json.dumps(rows[-1]) + "\n")
        killers = sorted({row["test"] for row in rows if "::" in row["test"]})
        for killer in killers if killers and outcome(context, copy, killers)[0] != "survived" else ():
            if outcome(context, copy, [killer])[0] != "survived":
                print("fails without a mutant too:", killer)
    kinds = ("killed", "survived", "timed out")
    for room in ROOMS:
        count = Counter(row["outcome"] for row in rows if row["file"].startswith(f"spinodal/{room}/"))
        print(f"{room:16}", *(f"{count[kind]:4} {kind}" for kind in kinds))
    for row in rows:
        if row["outcome"] != "killed":
            print(
                f"{row['outcome']}: {row['file']}:{row['line']} {row['operator']}",
                *row["change"],
                sep="\n    ",
            )


if __name__ == "__main__":
    main()
