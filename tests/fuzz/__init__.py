"""Hostile models: every one is served rightly or refused by a RefquantError, and costs what its size allows.

`python -m tests.fuzz` draws models that are bent in one field or a few, takes each along the whole path, and
writes what it finds into a folder: a base, and what was done to it. `python -m tests.fuzz FILE` tries that
once more. What once found something is in `seeds.json`, which the ordinary tests try.

* `wire`: a message as a tree of what stands on the wire, which need not make sense.
* `mutations`: what can be done to it, as data. `bases`: the models to which it is done.
* `contents`, `bends`: mutations drawn at random.
* `target`: the path, and what may come of it. `limits`: what it may cost.
* `crew`: processes that try inputs, and may crash or hang. `findings`: what was found, made small, as files.
* `guided`: the same for atheris, which is led by the branches that inputs take.
"""
