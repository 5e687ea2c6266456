"""What our code never does, whatever it is given: unpickle, evaluate, put values into SQL, skip a certificate."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa

from ranking.database import bulk
from ranking.database.tables import metadata

PROJECT = Path(__file__).parents[1]
PACKAGES = (
    *("schemas", "vdv", "networks", "exporters", "transport", "streamer", "ranking", "extraction", "dancerank"),
    "benchmarks",
)
SOURCES = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))

UNPICKLERS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle", "yaml"}
ALLOWED = {
    "benchmarks/rivals/kafka_loops.py": "KafkaConsumer KafkaProducer",
    "networks/training/state.py": "pickle.UnpicklingError",
    "ranking/database/bulk.py": "connection.exec_driver_sql(statement, ...)",
}
"""What a file may name: clients of the broker that the benchmark starts, as the rivals' documentation opens them; an
exception that torch raises; statements of names of our own tables and columns, whose values
are parameters (``test_statements_of_many_rows_hold_names_of_our_tables_alone``)."""


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def call_name(call: ast.Call) -> str:
    return ast.unparse(call.func)


def keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(given.value) for given in call.keywords if given.arg == name), None)


def unpickles(tree: ast.AST, allowed: str) -> Iterator[ast.AST]:
    """Imports of modules that run what they read, but for one name of theirs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLERS:
            yield node
        elif isinstance(node, ast.Import) and not allowed:
            yield from (node for alias in node.names if alias.name.split(".")[0] in UNPICKLERS)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in UNPICKLERS and ast.unparse(node) != allowed:
            yield node


def loads_objects(tree: ast.AST, _: str) -> Iterator[ast.AST]:
    """``torch.load`` without ``weights_only=True``, ``np.load`` without ``allow_pickle=False``."""
    for call in calls(tree):
        name = call_name(call)
        if name.endswith("torch.load") and keyword(call, "weights_only") != "True":
            yield call
        if name in ("np.load", "numpy.load") and keyword(call, "allow_pickle") != "False":
            yield call
        if "load_from_checkpoint" in name or name in ("torch.jit.load", "torch.package.PackageImporter", "np.fromfile"):
            yield call


def evaluates(tree: ast.AST, _: str) -> Iterator[ast.AST]:
    """``eval``, ``exec``, ``compile`` and ``__import__``; a shell."""
    for call in calls(tree):
        if call_name(call) in ("eval", "exec", "compile", "__import__", "os.system", "os.popen"):
            yield call
        if keyword(call, "shell") not in (None, "False"):
            yield call


def builds_sql(tree: ast.AST, allowed: str) -> Iterator[ast.AST]:
    """SQL in a text that is put together of more than constants."""
    for call in calls(tree):
        name = call_name(call).rpartition(".")[2]
        if not call.args or is_constant(call.args[0]):
            continue
        if f"{call_name(call)}({ast.unparse(call.args[0])}, ...)" == allowed:
            continue
        raw = name in ("text", "exec_driver_sql", "literal_column", "DDL") and of_sqlalchemy(call)
        given = name in ("execute", "executemany", "executescript", "scalars", "scalar") and is_made(call.args[0])
        if raw or given:
            yield call


def of_sqlalchemy(call: ast.Call) -> bool:
    """SQLAlchemy's own are called by their name alone, or on one of these; others are called ``text`` too."""
    return isinstance(call.func, ast.Name) or ast.unparse(call.func).startswith(("sa.", "sqlalchemy.", "connection."))


def is_made(node: ast.expr) -> bool:
    formatted = isinstance(node, ast.Call) and call_name(node).endswith((".format", ".join"))
    return formatted or isinstance(node, ast.JoinedStr | ast.BinOp)


def is_constant(node: ast.expr) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name.isupper()
        case ast.IfExp(body=one, orelse=other) | ast.BinOp(left=one, right=other):
            return is_constant(one) and is_constant(other)
        case ast.Call(func=ast.Name("str"), args=[ast.Call(func=ast.Name("int"))]):
            return True  # whatever it is of, the text is that of a number
        case ast.JoinedStr(values=parts):
            return all(is_constant(part.value) if isinstance(part, ast.FormattedValue) else True for part in parts)
    return False


def trusts_blindly(tree: ast.AST, _: str) -> Iterator[ast.AST]:
    """Certificates that are not checked, hosts that are not compared."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if call_name(node).endswith(("_create_unverified_context", "disable_warnings")):
                yield node
            if keyword(node, "verify") == "False" or keyword(node, "ssl_check_hostname") == "False":
                yield node
        if isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
            yield node


def opens_kafka(tree: ast.AST, allowed: str) -> Iterator[ast.AST]:
    """Clients of a Kafka that are opened without the security of the settings: ``open_client`` passes it to all."""
    opened = {"KafkaProducer", "KafkaConsumer", "KafkaAdminClient"} - set(allowed.split())
    return (call for call in calls(tree) if call_name(call) in opened)


@cache
def calls(tree: ast.AST) -> tuple[ast.Call, ...]:
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Call))


RULES: dict[str, Callable[[ast.AST, str], Iterator[ast.AST]]] = {
    rule.__name__: rule for rule in (unpickles, loads_objects, evaluates, builds_sql, trusts_blindly, opens_kafka)
}


@pytest.fixture(scope="module", autouse=True)
def trees_forgotten() -> Iterator[None]:
    """A million nodes would be looked through with each collection of garbage, in all tests that follow."""
    yield
    for kept in (tree_of, call_name, calls):
        kept.cache_clear()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_source_breaks_the_rule(rule: Callable[[ast.AST, str], Iterator[ast.AST]]) -> None:
    assert len(SOURCES) > 100
    broken = [
        f"{path.relative_to(PROJECT)}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"
        for path in SOURCES
        for node in rule(tree_of(path), ALLOWED.get(str(path.relative_to(PROJECT).as_posix()), ""))
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("unpickles", "import pickle"),
        ("unpickles", "from marshal import loads"),
        ("unpickles", "import yaml as y"),
        ("unpickles", "def f():\n    import dill"),
        ("loads_objects", "torch.load(path)"),
        ("loads_objects", "torch.load(path, weights_only=False)"),
        ("loads_objects", "np.load(path)"),
        ("loads_objects", "Model.load_from_checkpoint(path)"),
        ("evaluates", "eval(text)"),
        ("evaluates", "subprocess.run(command, shell=True)"),
        ("builds_sql", 'text(f"SELECT {name}")'),
        ("builds_sql", 'connection.execute("SELECT " + name)'),
        ("builds_sql", 'connection.exec_driver_sql("SELECT %s" % name)'),
        ("builds_sql", 'sa.text("SELECT {}".format(name))'),
        ("builds_sql", 'cursor.execute("SELECT {}".format(name))'),
        ("builds_sql", "sa.literal_column(str(name))"),
        ("builds_sql", "sa.literal_column(int(name))"),
        ("trusts_blindly", "context.verify_mode = ssl.CERT_NONE"),
        ("trusts_blindly", "httpx.get(url, verify=False)"),
        ("opens_kafka", 'KafkaProducer(bootstrap_servers="kafka:9092")'),
    ],
)
def test_the_rule_sees_what_breaks_it(rule: str, source: str) -> None:
    assert list(RULES[rule](ast.parse(source), ""))


def test_the_exception_of_a_file_is_for_one_name() -> None:
    allowed = "pickle.UnpicklingError"
    assert not list(unpickles(ast.parse("import pickle\ntry: ...\nexcept pickle.UnpicklingError: ..."), allowed))
    assert list(unpickles(ast.parse("import pickle\npickle.loads(x)"), allowed))


def test_statements_of_many_rows_hold_names_of_our_tables_alone() -> None:
    statements = [bulk._insert(dialect, table, "") for dialect in ("sqlite", "postgresql") for table in bulk_tables()]
    assert len(statements) > 20
    tables = [*metadata.tables.values()]  # those of every module that was imported so far
    own_names = {"unnest", *metadata.tables, *(column.name for table in tables for column in table.columns)}
    for statement in statements:
        words = set(re.findall(r"[a-z_0-9]+", re.sub(r"%s::[a-z ]+\[\]", "", statement)))
        assert words <= own_names, statement


def bulk_tables() -> list[sa.Table]:
    kinds = (*bulk._ARRAYS,)
    return [table for table in metadata.sorted_tables if all(isinstance(c.type, kinds) for c in table.columns)]
