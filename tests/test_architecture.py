"""The rules of the house that a reader relies on, held over the source itself."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path, PurePath

import pytest

from leadline_testing.tables import every_row

ROOT = Path(__file__).parents[1]
MEMBERS = sorted(path.parent for path in ROOT.glob("*/*/pyproject.toml"))
SERVICES = {"leadline_ingest", "leadline_rules", "leadline_ai", "leadline_results"}
LIBRARIES: Mapping[str, set[str]] = {
    "leadline_contracts": set(),
    "leadline_text": set(),
    "leadline_common": {"leadline_contracts"},
    "leadline_scoring": {"leadline_contracts", "leadline_text"},
    "leadline_inbound": {"leadline_contracts", "leadline_text"},
}
"""What each library may import of ours."""
FEATURES: Mapping[str, set[str]] = {
    "leadline_results.runs": {"leadline_results.web"},
    "leadline_results.workflows": {"leadline_results.web"},
    "leadline_results.web": set(),
}
"""What each feature that can be taken out of its service may import of that service."""
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# Which files may import what is somebody else's protocol; everything else goes through a port.
EDGES = {
    "aio_pika": ["leadline_common/broker/rabbitmq/*.py"],
    "aiormq": ["leadline_common/broker/rabbitmq/*.py"],
    "motor": ["mongo.py", "mongo_*.py"],
    "pymongo": ["mongo.py", "mongo_*.py", "leadline_testing/mongodb.py"],
    "bson": ["mongo.py", "mongo_*.py"],
    "sqlite3": ["sqlite.py", "sqlite_*.py", "broker/embedded/journal.py", "storage/temporary_numbers.py"],
    "anthropic": ["leadline_ai/providers/anthropic.py"],
    "openai": ["leadline_ai/providers/openai.py"],
    "google": ["leadline_ai/providers/gemini.py"],
    "uvicorn": ["leadline_common/http/*.py"],
    "litestar": ["leadline_common/http/*.py", "*routes.py", "leadline_testing/gateway.py"],
    "opentelemetry": ["leadline_common/telemetry/tracing.py", "leadline_common/telemetry/otlp.py"],
    "opentelemetry.sdk": ["leadline_common/telemetry/otlp.py"],
    "opentelemetry.exporter": ["leadline_common/telemetry/otlp.py"],
}
# Many distributions share these names; which one has what is imported.
SHARED = {
    "google.genai": "google-genai",
    "opentelemetry.context": "opentelemetry-api",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.trace": "opentelemetry-api",
}
# What a library takes by itself where it is installed: uvicorn parses requests with httptools, and is faster.
PICKED_UP = {"common": {"httptools"}}
ADAPTERS = re.compile(
    r"\.(broker\.(rabbitmq|embedded)|stores|providers\.(anthropic|gemini|openai)|(mongo|sqlite)(_\w+)?)(\.|$)"
)
NAME_ADAPTERS = ["app.py", "leadline_standalone/runtime.py"]
PERIODIC = "leadline_common.process.periodic"
LOG_LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
# In two parts, so that this file does not hold what it forbids.
TEMPORARY = r"(?<![\w.}])/t" + r"mp/\w"
IN_A_CONTAINER = ("deploy/", "docker-compose.yml")
"""Where a temporary path is that of a container, the same wherever it runs."""
FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w.}])/(?:wo" + r"rk|ho" + r"me|ro" + r"ot|Use" + r"rs)/\w",
            r"py" + r"pi\.org|python" + r"hosted|npm" + r"js\.|crates\." + r"io|proxy\.golang",
        ]
    )
)


@dataclass(frozen=True)
class Module:
    """One source file of a member, parsed."""

    path: Path
    member: Path
    name: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The top of its dotted name."""
        return self.name.partition(".")[0]

    def matches(self, patterns: list[str]) -> bool:
        """Tell whether its path ends like one of these."""
        return any(PurePath(self.path).match(pattern) for pattern in patterns)

    def imports(self) -> Iterator[str]:
        """Yield the dotted names of the modules it imports, wherever the import stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}: a relative import"
                yield str(node.module)
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def modules() -> list[Module]:
    """Parse every module that a member ships."""
    found = []
    for member in MEMBERS:
        source = member / "src"
        for path in sorted(source.rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            found.append(Module(path, member, name, ast.parse(path.read_text(encoding="utf-8"))))
    return found


@cache
def python_files() -> list[Path]:
    """Return every Python file of the repository."""
    return sorted(path for path in repository_files() if path.suffix == ".py")


@cache
def repository_files() -> list[Path]:
    """Return what is in the repository, or would be with the next commit."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def shown(path: Path) -> str:
    """Return a path as a reader of the repository knows it."""
    return path.relative_to(ROOT).as_posix()


def top_of(name: str) -> str:
    """Return the first part of a dotted name."""
    return name.partition(".")[0]


def test_services_never_import_each_other() -> None:
    """A service can be replaced or scaled by itself; what they share travels in messages."""
    wrong = {
        f"{module.name} imports {name}"
        for module in modules()
        if module.package != "leadline_standalone"
        for name in module.imports()
        if top_of(name) in (SERVICES | {"leadline_standalone"}) - {module.package}
    }
    assert not wrong


def test_libraries_know_nothing_of_what_stands_on_them() -> None:
    """Common code knows nothing of scoring, and scoring nothing of brokers or HTTP."""
    wrong = {
        f"{module.name} imports {name}"
        for module in modules()
        if module.package in LIBRARIES
        for name in module.imports()
        if top_of(name).startswith("leadline_")
        and top_of(name) not in {module.package, *LIBRARIES[module.package]}
    }
    assert not wrong


@pytest.mark.parametrize("feature", sorted(FEATURES))
def test_separable_features_know_nothing_of_their_neighbours(feature: str) -> None:
    """Runs and workflows can become services of their own: only the composition root knows both."""
    allowed = {feature, *FEATURES[feature]}
    service = top_of(feature)
    inside = [module for module in modules() if within(module.name, {feature})]
    wrong = {
        f"{module.name} imports {name}"
        for module in inside
        for name in module.imports()
        if top_of(name) == service and not within(name, allowed)
    }
    assert inside
    assert not wrong


def within(name: str, packages: set[str]) -> bool:
    """Tell whether a dotted name is one of these packages, or in one."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


@every_row("library", sorted(EDGES))
def test_foreign_protocols_stay_at_the_edge(library: str) -> None:
    """Drivers, SDKs and frameworks are imported where they are adapted and nowhere else."""
    wrong = {
        shown(module.path)
        for module in modules()
        if any(within(name, {library}) for name in module.imports()) and not module.matches(EDGES[library])
    }
    assert not wrong


def test_only_composition_roots_name_adapters() -> None:
    """Which broker, store and assessor is used is said in one file a process."""
    wrong = {
        f"{shown(module.path)} imports {name}"
        for module in modules()
        if not ADAPTERS.search(module.name + ".") and not module.matches(NAME_ADAPTERS)
        for name in module.imports()
        if name.startswith("leadline_") and ADAPTERS.search(name)
    }
    assert not wrong


@every_row("member", MEMBERS)
def test_members_declare_what_they_import(member: Path) -> None:
    """Each member's own pyproject names every package it imports, and none that it does not."""
    project = tomllib.loads((member / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project.get("optional-dependencies", {}).values()
    lines = [*project["dependencies"], *(line for group in optional for line in group)]
    declared = {normalised(re.split(r"[\[<>=~!; ]", line)[0]) for line in lines}
    used = {
        normalised(distribution)
        for module in modules()
        if module.member == member
        for name in {package_of(name) for name in module.imports()} | set(named_packages(module.tree))
        if name not in sys.stdlib_module_names and name != module.package
        for distribution in ([SHARED[name]] if name in SHARED else distributions().get(name, [name]))
    }
    assert declared - PICKED_UP.get(member.name, set()) == used


def package_of(dotted: str) -> str:
    """Return what is imported: the top of a dotted name, or the part that one of many shares a top with."""
    shared = {top_of(name) for name in SHARED}
    return ".".join(dotted.split(".")[:2]) if top_of(dotted) in shared else top_of(dotted)


@cache
def distributions() -> Mapping[str, list[str]]:
    """Return which distributions each importable package comes from."""
    return packages_distributions()


def named_packages(tree: ast.Module) -> Iterator[str]:
    """Yield the packages whose files are asked for by name instead of by import."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).rpartition(".")[2] in {"files", "find_spec"}
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def normalised(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_nothing_happens_at_import() -> None:
    """Importing any module opens no socket, starts no process or thread and reads no setting of ours."""
    names = [module.name for module in modules() if module.package != "leadline_testing"]
    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *names], env={}, capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)


IMPORT_ALL = """
import importlib, os, sys, threading
from prometheus_client import REGISTRY, generate_latest

def report(event, arguments):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.system"):
        print(event, arguments)

class Environment(type(os.environ)):
    def __getitem__(self, name):
        if name.startswith("LEADLINE_"):
            print("read", name)
        return super().__getitem__(name)

os.environ.__class__ = Environment
sys.addaudithook(report)
for name in sys.argv[1:]:
    importlib.import_module(name)
if b"leadline" in generate_latest(REGISTRY):
    print("registered a metric")
if threading.active_count() > 1:
    print("started", threading.enumerate())
"""


def test_log_events_are_constant_names() -> None:
    """An event can be searched for and counted: a snake_case constant, with all that varies in fields."""
    wrong = []
    for module in modules():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            if is_every(node.func):
                event = next((word.value for word in node.keywords if word.arg == "failed"), None)
            elif logs(node.func) and module.name != PERIODIC:  # whose event is named by who calls it
                event = node.args[0] if len(node.args) == 1 else None
            else:
                continue
            text = event.value if isinstance(event, ast.Constant) else None
            if not (isinstance(text, str) and re.fullmatch(r"[a-z]+(_[a-z]+)*", text)):
                wrong.append(f"{shown(module.path)}:{node.lineno}")
    assert not wrong


def is_every(function: ast.expr) -> bool:
    """Tell whether a call of this repeats work and names the event of its failures."""
    return isinstance(function, ast.Name) and function.id == "every"


def logs(function: ast.expr) -> bool:
    """Tell whether a call of this writes to the log."""
    if isinstance(function, ast.IfExp):
        return logs(function.body)
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LOG_LEVELS
        and isinstance(function.value, ast.Name)
        and function.value.id in {"log", "logger"}
    )


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield all functions and methods, those inside others too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without those of the functions inside it."""
    inside = [inner for statement in function.body for inner in functions(statement)]
    nested = {line for inner in inside for line in range(inner.lineno, (inner.end_lineno or 0) + 1)}
    return len(set(range(function.lineno, (function.end_lineno or 0) + 1)) - nested)


def test_every_test_says_what_it_protects() -> None:
    """A test that fails tells its reader in one sentence what has been lost."""
    wrong = {
        f"{shown(path)}: {function.name}"
        for path in python_files()
        if path.name.startswith("test_")
        for function in functions(ast.parse(path.read_text(encoding="utf-8")))
        if function.name.startswith("test_") and not ast.get_docstring(function)
    }
    assert not wrong


def test_files_and_functions_are_short() -> None:
    """What ships can be read a file, and a function, at a time."""
    long_files = {
        shown(module.path): lines
        for module in modules()
        if (lines := len(module.path.read_text(encoding="utf-8").splitlines())) > MAX_FILE_LINES
    }
    long_functions = {
        f"{shown(path)}: {function.name}": lines
        for path in python_files()
        for function in functions(ast.parse(path.read_text(encoding="utf-8")))
        if (lines := own_lines(function)) > MAX_FUNCTION_LINES
    }
    assert not long_files | long_functions


def test_the_repository_names_no_machine_and_no_registry() -> None:
    """Nothing in it works on one machine alone, or says where packages are to come from."""
    wrong = []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        contained = shown(path).startswith(IN_A_CONTAINER)
        for number, line in enumerate(text.splitlines(), 1):
            if FORBIDDEN.search(line) or (re.search(TEMPORARY, line) and not contained):
                wrong.append(f"{shown(path)}:{number}: {line[:100]}")
    assert not wrong
