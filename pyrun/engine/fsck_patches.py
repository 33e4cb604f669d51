"""Part of fsck: the patch of an image (layers/lowerdir.py), which no archive has: it is built again and compared.

It must not know how a patch is made.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from pyrun.engine import forms, idmap
from pyrun.errors import StorageFullError, StoreCorruptError
from pyrun.layers import patch, pyrun_tree, verify
from pyrun.layers.lowerdir import TREE, patch_dir
from pyrun.runtime import engine_ns
from pyrun.store import owner, trees

if TYPE_CHECKING:
    from pyrun.engine.fsck import Check
    from pyrun.engine.fsck_documents import Image


def check(check: Check, image: Image) -> None:
    """Check an image's patch in each form that has all of its layers."""
    diff_ids = [diff_id for _, diff_id in image.layers]
    if not diff_ids or check.options.quick:
        return
    engine = engine_ns.engine_map()
    for form in _forms(check, diff_ids):
        id_map = idmap.of_form(form, engine)
        if form not in (engine_ns.FORM_FLAT, engine.form) and id_map is None:
            continue
        source = form if id_map is None else engine_ns.FORM_FULL
        target = patch_dir(check.layout, diff_ids, form)
        if id_map is not None and not os.path.isdir(target):
            continue  # the next container under that map derives it
        problems = _problems(check, diff_ids, source, target, forms.maps(id_map) if id_map is not None else [])
        if not problems:
            continue

        def mend(form: str = form) -> str:
            return check.mender.patch(diff_ids, form)

        check.findings.add_several("patch", f"{diff_ids[-1]}/{os.path.basename(target)}", problems, mend)


def _forms(check: Check, diff_ids: list[str]) -> list[str]:
    try:
        names = os.listdir(check.layout.layer(diff_ids[-1], "").rstrip("/"))
    except FileNotFoundError:
        return []
    return sorted(
        name
        for name in names
        if ".patch-" not in name and all(os.path.isdir(check.layout.layer(item, name)) for item in diff_ids)
    )


def _problems(check: Check, diff_ids: list[str], source: str, target: str, maps: list[str]) -> list[str]:
    layout = check.layout
    if not check.is_writable:
        return []  # there is no room to build one
    building = f"{layout.tmp}/{owner.token()}"
    try:
        directories = [layout.layer(item, source) for item in diff_ids]
        is_wanted = patch.build(directories, temporary=building, spawn=check.spawn)
        if is_wanted != os.path.isdir(target):
            return ["is missing"] if is_wanted else ["is there, though nothing wants it"]
        return _compare(check, building, target, maps) if is_wanted else []
    except (FileNotFoundError, StoreCorruptError):
        return []  # a sidecar is missing or damaged, which is told, or all of it was collected meanwhile
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        check.findings.add("note", os.path.basename(target), "is not checked: there is no room to build it again")
        return []
    except StorageFullError:
        check.findings.add("note", os.path.basename(target), "is not checked: there is no room to build it again")
        return []
    finally:
        trees.remove_tree(building)


def _compare(check: Check, building: str, target: str, maps: list[str]) -> list[str]:
    """Compare two trees: one as an archive with the other."""
    archive = os.memfd_create("pyrun-patch", os.MFD_CLOEXEC)
    tree = os.open(f"{building}/{TREE}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        arguments = ["pack", "--root-fd", str(tree), "--path", "/", "--name", "."]
        job = pyrun_tree.Job(arguments, spawn=check.spawn, pass_fds=[tree], stdout_fd=archive)
        report, status = job.wait()
        if status != 0:
            raise pyrun_tree.failure(report, status, layer="", path=building)
        os.lseek(archive, 0, os.SEEK_SET)
        found = verify.verify_tree(archive, directory=target, maps=maps, spawn=check.spawn)
        return [f"/{difference.path} {difference.what}" for difference in found]
    finally:
        os.close(tree)
        os.close(archive)
