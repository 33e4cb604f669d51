"""The launcher finds the Python and the packages it was installed for, wherever it was put, or says why not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCHER = Path(sys.prefix) / "bin" / "pyrun"
MINOR = sys.version_info.minor
PYTHON = Path(os.path.realpath(sys.executable))

pytestmark = pytest.mark.skipif(not LAUNCHER.exists(), reason="no launcher beside this Python: scripts/dev-build")

# Stands in for the package: says how it was started.
MAIN = """
import json, sys
def run(arguments):
    print(json.dumps([sys.executable, sys.path, arguments, sys.argv, 'site' in sys.modules, sys.flags.isolated]))
    sys.exit(7)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the launcher as a wheel has it: not bound to this source tree."""
    source = Path(__file__).resolve().parent.parent.parent / "native" / "launcher" / "launcher.c"
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    out = tmp_path_factory.mktemp("launcher") / "pyrun"
    defines = [f"-DPYRUN_MINOR={MINOR}", f'-DPYRUN_PYTHON="{PYTHON}"', "-D_GNU_SOURCE"]
    subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", *defines, str(source), "-o", str(out)], check=True)
    return out


def package(site_packages: Path) -> Path:
    (site_packages / "pyrun" / "cli").mkdir(parents=True)
    (site_packages / "pyrun" / "__init__.py").touch()
    (site_packages / "pyrun" / "cli" / "__init__.py").touch()
    (site_packages / "pyrun" / "cli" / "finder.py").write_text("def install(): pass\n")
    (site_packages / "pyrun" / "cli" / "main.py").write_text(MAIN)
    return site_packages


def put(program: Path, prefix: Path) -> Path:
    (prefix / "bin").mkdir(parents=True)
    return Path(shutil.copy2(program, prefix / "bin" / "pyrun"))


def start(
    launcher: Path, *arguments: str, **environment: str
) -> tuple[str, list[str], list[str], list[str], bool, int]:
    done = subprocess.run([launcher, *arguments], capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 7, done.stderr
    answer: tuple[str, list[str], list[str], list[str], bool, int] = json.loads(done.stdout)
    return answer


def test_virtual_environment(program: Path, tmp_path: Path) -> None:
    launcher = put(program, tmp_path)
    (tmp_path / "bin" / f"python3.{MINOR}").symlink_to(PYTHON)
    (tmp_path / "pyvenv.cfg").write_text(f"home = {PYTHON.parent}\ninclude-system-site-packages = false\n")
    site = package(tmp_path / "lib" / f"python3.{MINOR}" / "site-packages")
    python, path, arguments, argv, has_site, isolated = start(launcher, "run", "-it", "a b", "--", "")
    assert python == str(tmp_path / "bin" / f"python3.{MINOR}")
    assert arguments == ["run", "-it", "a b", "--", ""]
    assert argv == ["pyrun", *arguments]
    assert not has_site
    assert isolated
    assert path[-1] == str(site), "behind the standard library, and nothing of the system's"
    assert not [entry for entry in path if "dist-packages" in entry]


def test_virtual_environment_that_sees_the_system(program: Path, tmp_path: Path) -> None:
    launcher = put(program, tmp_path / "env")
    (tmp_path / "env" / "bin" / f"python3.{MINOR}").symlink_to(PYTHON)
    (tmp_path / "system" / "bin").mkdir(parents=True)
    system = tmp_path / "system" / "lib" / "python3" / "dist-packages"
    system.mkdir(parents=True)
    (tmp_path / "system" / "lib" / f"python3.{MINOR}").symlink_to(Path(os.__file__).parent)
    configuration = f"home = {tmp_path}/system/bin\ninclude-system-site-packages = true\n"
    (tmp_path / "env" / "pyvenv.cfg").write_text(configuration)
    site = package(tmp_path / "env" / "lib" / f"python3.{MINOR}" / "site-packages")
    path = start(launcher)[1]
    assert path.index(str(site)) < path.index(str(system))


def test_user_directory(program: Path, tmp_path: Path) -> None:
    """`pip install --user`: no interpreter beside the launcher."""
    launcher = put(program, tmp_path / ".local")
    site = package(tmp_path / ".local" / "lib" / f"python3.{MINOR}" / "site-packages")
    python, path, *_ = start(launcher)
    assert os.path.realpath(python) == str(PYTHON)
    assert str(site) in path


def test_symbolic_link_and_environment_do_not_matter(program: Path, tmp_path: Path) -> None:
    launcher = put(program, tmp_path / "real")
    site = package(tmp_path / "real" / "lib" / f"python3.{MINOR}" / "site-packages")
    link = tmp_path / "pyrun-link"
    link.symlink_to(launcher)
    evil = package(tmp_path / "evil")
    path = start(link, PYTHONPATH=str(evil), PYTHONHOME="/nonexistent", PYTHONSTARTUP="/nonexistent")[1]
    assert str(site) in path
    assert str(evil) not in path


def test_the_python_that_was_installed_for_is_preferred(program: Path, tmp_path: Path) -> None:
    launcher = put(program, tmp_path)
    package(tmp_path / "lib" / f"python3.{MINOR + 1}" / "site-packages")
    site = package(tmp_path / "lib" / f"python3.{MINOR}" / "site-packages")
    assert str(site) in start(launcher)[1]


def test_no_package(program: Path, tmp_path: Path) -> None:
    done = subprocess.run([put(program, tmp_path)], capture_output=True, text=True)
    assert done.returncode == 125
    assert done.stderr.startswith(f"pyrun: the Python package pyrun is not under {tmp_path}/lib\nhint: ")


def test_no_interpreter(program: Path, tmp_path: Path) -> None:
    launcher = put(program, tmp_path)
    package(tmp_path / "lib" / "python3.99" / "site-packages")
    done = subprocess.run([launcher], capture_output=True, text=True)
    assert done.returncode == 125
    assert "no Python interpreter" in done.stderr
    assert "python3.99" in done.stderr


def test_the_installed_one_runs() -> None:
    done = subprocess.run([LAUNCHER, "version"], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert "pyrun" in done.stdout
