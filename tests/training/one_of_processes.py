"""Trains one experiment, in as many processes as a launcher starts this file in: FILE VALUES OUT [TYPE [OPTIONS]]."""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from spinodal.errors import InputError
from spinodal.training import Experiment, Label, override, train

if __name__ == "__main__":
    values, out, kind, options = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
    torch.set_default_dtype(getattr(torch, kind))
    torch.set_num_threads(1)
    stop = options.pop("stop", None)

    def end(step: float, steps: float):
        if step == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    rank = os.environ.get("RANK", "0")
    try:
        result = train(
            override(Experiment(), values), out, Label("test", "test", "test"), progress=end, **options
        )
        Path(f"{out}-result-{rank}.json").write_text(json.dumps(result.final))
    except InputError as error:
        Path(f"{out}-refused-{rank}.txt").write_text(str(error))
