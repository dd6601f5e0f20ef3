r"""Runs: the folders that commands write, each with one record of its kind, configuration, origin and result.

    with open_run(out, kind="simulate", config=simulation, seed=0, owned=("trajectory.npz", "cosines.png"),
                  resume=resume, overwrite=overwrite) as folder:
        ...                                             # check all input: nothing was deleted or written yet
        folder.begin()                                  # the old run goes, the record says "finished": false;
                                                        # begin(hidden=96) adds what was solved for to its config
        folder.save_arrays("trajectory.npz", arrays)    # also write_text, remove; each whole or absent
        with folder.replacing("cosines.png") as place:  # a file, or a folder, that other code writes
            figure.savefig(place)
        run = folder.finish(result)                     # the record, last of all; `result` a dataclass or a mapping

`open_run` refuses what is in the way, in one sentence, and locks the folder until the block ends, however it ends.
With `resume`, `folder.previous` is the `Run` that is there, of the same configuration, finished or not; None if there
is none; `folder.adopt()` then adds to a finished run: the next `finish(result)` replaces its result and leaves its
origin. Other parameters: `ignored` names of the configuration that need not agree, `partial` names of files that
mark an unfinished run of before, `label` with name, recipe, command, paper, expected, and `record`, the file's name.

    run.json            {"format": 3, "checksum", "kind", "finished", labels, "config", "seed", commit ..., result}
    inputs.npz          arrays of `config`, results.npz those of the result (another name: finish(result, arrays=...))

Refuse:    check_folder(out, kind=..., owned=..., resume=..., overwrite=...) says what `open_run` would refuse whatever
           the configuration, before much work makes one.
Read:      read_run(path) -> Run(path, format, kind, finished, record); .folder .config .result .config_as(cls)
           .result_as(cls), with its `experiment` where cls has such a field; earlier formats too. InputError says
           what cannot be read.
Survey:    survey(folder, verify=...) -> [RunStatus(path, kind, state, step, loss, notes)] of the runs below a folder.
Codec:     encode(value) -> (json, arrays); decode(cls, json, arrays); equal(a, b); @register("short-name") on a
           dataclass that stands in a union or for an abstract type; field(metadata=UNSAVED or SAVED_IF_SET).
Files:     write_text, write_json, write_bytes, write_arrays, replacing(path), discard, checksum; SaveError.
State:     write_checkpoint(path, label, arrays), read_checkpoint(path, label) -> arrays or None: one file;
           close_checkpoint(folder, experiment=...), newest_checkpoint(run, experiment=...): folders with a manifest,
           of which rotate_checkpoints(newest, keep=...) leaves the newest steps.
Origin:    provenance() -> Provenance(commit, date, versions, machine, threads); commit(), versions(), machine().
Sweep:     from spinodal.runs import sweep; sweep.run(function, configurations, folder).

Messages name arguments in backquotes, `out`, and `InputError.fields` lists them: the command line shows --out.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
