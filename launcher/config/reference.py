"""docs/cluster-toml.md and docs/cluster.schema.json, made from the models: `python -m launcher.config.reference` writes both.

The schema is in the package, too, for whoever has installed it; `python -m launcher.config.reference FOLDER` writes both there.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from launcher.config.old_keys import WITHOUT_EFFECT
from launcher.config.schema import NAME_PATTERN, ClusterConfig, Probe, Restart, Service
from luabus.quantities import parse_size

HEAD: Final = """\
# cluster.toml

What a cluster consists of: every table and key, with its type, default and meaning. `luabus-cluster init` writes a small
file to start from, `luabus-cluster check` tells every fault with its line, and `luabus-cluster reload` applies a changed file
to a running cluster. Editors that know JSON schemas can use [cluster.schema.json](cluster.schema.json):

```toml
#:schema docs/cluster.schema.json
```

Relative paths start at the folder of the file. Sizes are numbers of bytes, or texts such as `"512MB"` (K, M, G, T: powers of
1024). Unknown keys and wrong types are errors, and then nothing is started or changed.

This page is made from the models in `launcher/config/schema.py` by `python -m launcher.config.reference`. With an installed
luabus, `python -m launcher.config.reference FOLDER` writes it and the schema into FOLDER.
"""

ENVIRONMENT: Final = """\
## Values from the environment

`${VAR}` is filled in where the cluster is started or reloaded: in `cluster.env`, and in the `env`, `command` and `cwd` of
services, in the forms of docker compose:

| Form | Gives |
|---|---|
| `${VAR}`, `$VAR` | the value; a variable that is not set is an error, which names it and the key |
| `${VAR:-default}`, `${VAR-default}` | the default if it is not set or empty, or only if it is not set |
| `${VAR:?words}`, `${VAR?words}` | an error with these words in these cases |
| `${VAR:+words}`, `${VAR+words}` | the words if it is set and not empty, or only set; else nothing |
| `$$` | a dollar sign |

Values come from the launcher's own environment first, then from the service's `env_file`, then from `cluster.env`. In `command`
and `cwd` the service's own `env` comes before all of them. `check` uses the environment in which it is called. The launcher's own
stays as it was when it started; `reload` reads the files anew, and starts those services anew whose values are others.

A `command` may be a shell's text, so there only the forms in braces are filled in: `$VAR`, `$1`, `$(...)`, `${VAR%.*}` and a
`$$` that is the shell's pid are left to it. For a shell's own `${VAR}` write `$${VAR}`.

```toml
[services.web]
command = ["server", "--port", "${PORT:-8080}"]
cwd = "${RELEASE:?the folder of the release}"
env = { PATH = "$HOME/bin:$PATH" }
```

## env_file

The rules are docker compose's. Blank lines and lines that begin with `#` are skipped, and `export ` before a name.

| Line | Value |
|---|---|
| `KEY=value # comment` | `value`: a comment begins at a `#` after a blank, so `a#b` has none |
| `KEY="a\\nb ${HOME}"` | in double quotes `\\n`, `\\r`, `\\t`, `\\\\`, `\\"` and `\\$` mean what they do elsewhere |
| `KEY='as $it is'` | in single quotes nothing means anything, but `\\'` |
| `KEY=${HOME}/data` | filled in as above, also from lines above it; in single quotes not |

A quoted value may go on over several lines; what follows its closing quotation mark, and is no comment, is an error with its
file and line.
"""

JOBS: Final = """\
## Jobs

A *job* is a service whose end is part of the plan, such as a migration: when it ends with one of `success_exit_codes`, it is
done, whether it was ready before or not, and is not started again. Then it counts as up for `up`, for the verbs and for health,
and whoever waits for it starts. Jobs are

- what another service waits for: `depends_on = { migrate = "completed" }`, whatever probes it has;
- a `command` that nothing asks whether it still serves: without `group`, `ready` and `liveness`;
- a service whose table gives `success_exit_codes`.

Any other service is a *daemon*: its end is missed, with whatever code, and `status` is not healthy then. So is all with
`restart.policy = "always"`. `depends_on = ["migrate"]`, or `{ migrate = "ready" }`, waits until it is ready or done;
`"completed"` until all its instances are done. For the end of what is on the bus, or always restarted, nobody can wait.

```toml
[services.migrate]
command = ["./migrate"]

[services.web]
command = ["./web"]
depends_on = { migrate = "completed" }
```

When a job fails for good (by default after 5 crashes; at once with `restart.policy = "never"`), those that wait for it do not
start; they and `status` say so, and all others stay up. `start migrate` tries it again, and when it is done they start. A verb
returns when a job for which others wait is done, and after other jobs when they have lived for `min_uptime`, or are done.
`restart` and a `reload` that changes the job run it once more; those that are up already do not wait for it again, unless what
they wait for was changed.

## When a start fails

What never was up as it is described now fails for good at once when it cannot work: no such program, folder or user, a module
that cannot be loaded. Once it was up, whatever goes wrong when it is started again is a crash, with its delays and limits. What
passes by itself (no memory, no descriptors, no more processes, a program that is just being written) is tried again however
long it takes.
"""

Table = tuple[str, type[BaseModel]]


def tables() -> Iterator[Table]:
    """The tables of a file, in the order of the page."""
    for name, field in ClusterConfig.model_fields.items():
        if name == "services":
            yield "services.NAME", Service
            yield "services.NAME.restart", Restart
            yield "services.NAME.ready, .startup, .liveness", Probe
        else:
            assert isinstance(field.annotation, type)
            yield name, field.annotation


def markdown() -> str:
    """The page."""
    parts = [HEAD]
    for name, model in tables():
        rows = "".join(
            _row(key, field) for key, field in model.model_fields.items() if key not in WITHOUT_EFFECT
        )
        parts.append(
            f"## [{name}]\n\n{_text(model.__doc__)}\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n{rows}"
        )
    return "\n".join([*parts, JOBS, ENVIRONMENT])


def schema() -> str:
    """The JSON schema, as text."""
    value = ClusterConfig.model_json_schema()
    value = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **value,
        "title": "cluster.toml of luabus",
    }
    # The models turn sizes in words into numbers before they check them; a file has the words.
    _allow_sizes(value)
    for key in WITHOUT_EFFECT:
        value["$defs"]["Service"]["properties"][key]["deprecated"] = True
    services = value["properties"]["services"]
    services["propertyNames"] = {"pattern": NAME_PATTERN}
    return json.dumps(value, indent=2) + "\n"


# What pydantic leaves under its own names where a value is converted before it is checked.
_LIMITS: Final = {"type": "type", "ge": "minimum", "le": "maximum"}


def _allow_sizes(value: dict[str, Any]) -> None:
    for model, key in (
        ("Logs", "max_size"),
        ("Service", "max_rss"),
        ("Bus", "frame_limit"),
        ("Routers", "waiting_limit"),
        ("Bus", "compress_above"),
    ):
        field = value["$defs"][model]["properties"][key]
        number = field.pop("anyOf", None) or [
            {new: field.pop(old) for old, new in _LIMITS.items() if old in field}
        ]
        size = {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*[KMGTkmgt]?([iI]?[bB])?\s*$"}
        field["anyOf"] = [*({_LIMITS.get(old, old): v for old, v in one.items()} for one in number), size]


def _row(key: str, field: FieldInfo) -> str:
    cells = (f"`{key}`", _kind(field), _default(field), _text(field.description))
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n"


def _text(text: str | None) -> str:
    return " ".join((text or "").split())


def _default(field: FieldInfo) -> str:
    value = field.default
    if field.is_required() or value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "see its table"
    return f"`{json.dumps(value)}`"


def _kind(field: FieldInfo) -> str:
    kind: Any = field.annotation
    for item in field.metadata:
        kind = Annotated[kind, item]
    return _type(kind)


def _type(kind: Any) -> str:
    """A type in words; `None` in a union only says that the key may be left out."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _limited(_type(inner[0]), inner[1:])
    if origin is Literal:
        return ", ".join(f"`{json.dumps(choice)}`" for choice in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(one) for one in inner if one is not type(None)))
    if origin is list:
        return f"list ({_type(inner[0])})"
    if origin is dict:
        return f"table (name = {_type(inner[1])})"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "table"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names[kind]


def _limited(name: str, metadata: Iterable[Any]) -> str:
    """`whole number` and its limits: `whole number, 1 to 64`."""
    limits: dict[str, float] = {}
    for item in metadata:
        if getattr(item, "func", None) is parse_size:
            name = "size"
        for limit in (item, *getattr(item, "metadata", ())):
            for key in ("ge", "le", "gt"):
                if (value := getattr(limit, key, None)) is not None:
                    limits[key] = value
    low, high, above = limits.get("ge"), limits.get("le"), limits.get("gt")
    if low is not None and high is not None:
        return f"{name}, {low} to {high}"
    if low is not None and low > 0:
        return f"{name}, at least {low}"
    return f"{name}, more than {above}" if above is not None else name


SHIPPED: Final = Path(__file__).parents[1] / "templates" / "cluster.schema.json"
"""The schema in the package."""


def main(folder: Path) -> None:
    """Writes both files into `folder`."""
    (folder / "cluster-toml.md").write_text(markdown(), "utf-8")
    (folder / "cluster.schema.json").write_text(schema(), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
    if len(sys.argv) == 1:
        SHIPPED.write_text(schema(), "utf-8")
