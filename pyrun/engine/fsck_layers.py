"""Part of fsck: the blobs, and the files of every layer in every form against the layer's archive.

One pass per form: blob, sha256, inflate, sha256 of the tar, compare. Layers go side by side.
It must not know index.json: it gets `Image`s.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrun.engine import forms, fsck_patches, idmap, namespace, pull
from pyrun.errors import DigestMismatchError, PyrunError
from pyrun.images import record as records
from pyrun.layers import verify
from pyrun.layers.lowerdir import SIDECAR, TREE
from pyrun.layers.thread import WaitedThread
from pyrun.runtime import engine_ns
from pyrun.store import blobs, dropped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.engine.fsck import Check
    from pyrun.engine.fsck_documents import Image
    from pyrun.oci.descriptor import Descriptor

SHOWN = 20  # differences of one layer that are told one by one
WORKERS = 4


class Layer:
    """One layer of any number of images. ``blobs``: its descriptors, with the places that have them."""

    __slots__ = ("blobs", "diff_id", "forms")

    def __init__(self, diff_id: str, forms: list[str]) -> None:
        self.diff_id = diff_id
        self.forms = forms
        self.blobs: dict[str, tuple[Descriptor, list[str]]] = {}


def check(check: Check) -> None:
    """Check all that the images name; then what needs more layers than one."""
    waiting = _layers(check)
    check.hear("total", "", 0 if check.options.quick else sum(_work(layer) for layer in waiting))
    # The largest last: the workers take from the end, and it decides when all is done.
    waiting.sort(key=_work)
    failures: list[BaseException] = []
    count = min(WORKERS, os.cpu_count() or 1, len(waiting))
    workers = [WaitedThread(_run, "pyrun-fsck", (check, waiting, failures)) for _ in range(count)]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        waiting.clear()  # each ends with the layer that it has: a repair is not left half done
        for worker in workers:
            worker.join()
        raise
    if failures:
        raise failures[0]
    for image in check.images:
        _check_unpacked(check, image)
        fsck_patches.check(check, image)


def _layers(check: Check) -> list[Layer]:
    found: dict[str, Layer] = {}
    for image in check.images:
        if image.manifest is not None and not image.layers:  # its config cannot be had
            for descriptor in image.manifest.layers:
                found.setdefault(descriptor.digest, Layer("", [])).blobs[descriptor.digest] = descriptor, image.places
        for descriptor, diff_id in image.layers:
            layer = found.setdefault(diff_id, Layer(diff_id, forms_of(check, diff_id)))
            _, places = layer.blobs.get(descriptor.digest, (descriptor, []))
            layer.blobs[descriptor.digest] = descriptor, [*places, *image.places]
    return list(found.values())


def forms_of(check: Check, diff_id: str) -> list[str]:
    """Return the forms of a layer that are there, the one that others are derived from first."""
    try:
        names = os.listdir(check.layout.layer(diff_id, "").rstrip("/"))
    except FileNotFoundError:
        return []
    return sorted((name for name in names if ".patch-" not in name), key=lambda name: (name != "full", name))


def _work(layer: Layer) -> int:
    size = sum(descriptor.size for descriptor, _ in layer.blobs.values())
    return size + max(len(layer.forms) - 1, 0) * next(iter(layer.blobs.values()))[0].size


def _run(check: Check, waiting: list[Layer], failures: list[BaseException]) -> None:
    while not failures:
        try:
            layer = waiting.pop()
        except IndexError:
            return
        try:
            _check_layer(check, layer)
        except BaseException as error:
            failures.append(error)


def _check_layer(check: Check, layer: Layer) -> None:
    check.blobs += len(layer.blobs)
    check.layers += len(layer.forms)
    good = [pair for pair in layer.blobs.values() if _has_blob(check, *pair)]
    if check.options.quick or not good:
        for form in layer.forms:
            _check_shape(check, layer.diff_id, form)
        return
    judged = [form for form in layer.forms if _can_judge(check, layer, form)]
    for place, (descriptor, places) in enumerate(good):
        check.bytes += descriptor.size
        if place or not judged:
            _verify_blob(check, descriptor, places)
        elif not all(_verify_form(check, layer.diff_id, form, descriptor, places) for form in judged):
            judged = []


def measure(check: Check, image: Image, known: dict[str, int]) -> dict[str, int]:
    """Return the unpacked bytes of an image's layers, reading the archives of those that nothing is known of."""
    for descriptor, diff_id in image.layers:
        for form in forms_of(check, diff_id):
            if diff_id in known or diff_id in check.sizes or not is_judged(form):
                continue
            try:
                _differences(check, diff_id, form, descriptor)
            except (*verify.DAMAGE, FileNotFoundError):
                continue
    return {**known, **check.sizes}


def is_judged(form: str) -> bool:
    """Whether a form can be compared here: owners of other ids look alike where there are no subordinate ids."""
    engine = engine_ns.engine_map()
    return form in (engine_ns.FORM_FLAT, engine.form) or idmap.of_form(form, engine) is not None


def _has_blob(check: Check, descriptor: Descriptor, places: list[str]) -> bool:
    path = check.layout.blob(descriptor.digest)
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        if there := dropped.repositories(check.layout, descriptor.digest):
            told = f"was dropped by `system prune --blobs`: its files are not checked; {there[0]} has it"
            check.findings.add("note", descriptor.digest, told)
            return False
        problem = "is missing"
    else:
        if size == descriptor.size:
            return True
        problem = f"is damaged: it has {size} bytes, not {descriptor.size}"
    check.findings.add("blob", descriptor.digest, problem, lambda: check.mender.blob(descriptor, places))
    return check.options.repair and blobs.exists(check.layout, descriptor.digest)


def _verify_blob(check: Check, descriptor: Descriptor, places: list[str]) -> None:
    try:
        verify.verify_bytes(_chunks(check, descriptor), descriptor=descriptor)
    except FileNotFoundError:
        return
    except verify.DAMAGE:
        _tell_damaged(check, descriptor, places)


def _tell_damaged(check: Check, descriptor: Descriptor, places: list[str]) -> bool:
    return check.findings.add(
        "blob", descriptor.digest, "is damaged: its bytes have another digest",
        lambda: check.mender.blob(descriptor, places),
    )  # fmt: skip


def _can_judge(check: Check, layer: Layer, form: str) -> bool:
    if is_judged(form):
        return True
    if form == engine_ns.FORM_FULL or form.startswith(("keep-", "shift-")):
        check.findings.add("note", f"{layer.diff_id}/{form}", "is not checked: it wants subordinate ids")
    else:
        path = check.layout.layer(layer.diff_id, form)
        check.findings.add(
            "layer", f"{layer.diff_id}/{form}", "is no form of a layer",
            lambda: check.mender.set_aside(path, f"layer-{layer.diff_id}-{form}"),
        )  # fmt: skip
    return False


def _verify_form(check: Check, diff_id: str, form: str, descriptor: Descriptor, places: list[str]) -> bool:
    """Compare one form; False where the blob is no help. A damaged blob is mended first, and all is compared again."""
    try:
        problems = _differences(check, diff_id, form, descriptor)
    except verify.DAMAGE as error:
        if _is_of_tar(error, diff_id):
            check.findings.add("blob", descriptor.digest, f"holds another layer than its image says: {error}")
            return False
        # With --force it may have been taken away for nothing.
        if not _tell_damaged(check, descriptor, places) or not blobs.exists(check.layout, descriptor.digest):
            return False
        problems = _differences(check, diff_id, form, descriptor)
    except FileNotFoundError:
        if blobs.exists(check.layout, descriptor.digest) and os.path.isdir(check.layout.layer(diff_id, form)):
            problems = [f"{TREE} is missing"]
        else:
            return True  # collected meanwhile
    if not problems:
        return True
    check.findings.add_several(
        "layer", f"{diff_id}/{form}", problems,
        lambda: check.mender.layer(descriptor, diff_id, form, in_use=_is_in_use(check, diff_id, form)),
    )  # fmt: skip
    return True


def _is_of_tar(error: PyrunError, diff_id: str) -> bool:
    return isinstance(error, DigestMismatchError) and error.expected == diff_id


def _differences(check: Check, diff_id: str, form: str, descriptor: Descriptor) -> list[str]:
    id_map = idmap.of_form(form, engine_ns.engine_map())
    directory = check.layout.layer(diff_id, form)
    beside = engine_ns.FORM_FULL if id_map is not None else form
    found = verify.verify_layer(
        _chunks(check, descriptor), descriptor=descriptor, diff_id=diff_id, directory=directory,
        form=engine_ns.FORM_FLAT if form == engine_ns.FORM_FLAT else engine_ns.FORM_FULL,
        maps=forms.maps(id_map) if id_map is not None else (),
        sidecar_path=f"{check.layout.layer(diff_id, beside)}/{SIDECAR}", spawn=check.spawn,
    )  # fmt: skip
    check.sizes[diff_id] = found.unpacked
    problems = [f"/{difference.path} {difference.what}" for difference in found.differences[:SHOWN]]
    more = found.total - len(problems)
    return [*problems, f"and {more} more"] if more else problems


def _chunks(check: Check, descriptor: Descriptor) -> Iterator[bytes]:
    for chunk in blobs.chunks(check.layout.blob(descriptor.digest)):
        check.hear("bytes", descriptor.digest, len(chunk))
        yield chunk


def _check_shape(check: Check, diff_id: str, form: str) -> None:
    directory = check.layout.layer(diff_id, form)
    for name in (TREE, *((SIDECAR,) if form in (engine_ns.FORM_FULL, engine_ns.FORM_FLAT) else ())):
        if os.path.isdir(directory) and not os.path.lexists(f"{directory}/{name}"):
            check.findings.add("layer", f"{diff_id}/{form}", f"{name} is missing")


def _check_unpacked(check: Check, image: Image) -> None:
    """An image that index.json names can be run: there is a form that has all of its layers."""
    if not image.entries or image.config is None or image.manifest is None:
        return
    layout = check.layout
    of_all = [set(forms_of(check, diff_id)) for _, diff_id in image.layers]
    if set.intersection(*of_all) & {engine_ns.FORM_FULL, engine_ns.FORM_FLAT}:
        return
    if not os.path.exists(layout.image(image.digest)) and not any(of_all):
        return  # another tool put it there; nobody has run it yet

    def mend() -> str:
        assert image.manifest is not None
        assert image.config is not None
        record = records.build(image.digest, image.manifest, image.config, unpacked={}, keep=[])
        pull.ensure_form(layout, record, namespace.form(), spawn=check.spawn)
        return "unpacked again from its blobs"

    missing = [diff_id for (_, diff_id), there in zip(image.layers, of_all, strict=True) if not there]
    check.findings.add("image", image.digest, f"is not unpacked: {', '.join(missing) or 'no form is whole'}", mend)


def _is_in_use(check: Check, diff_id: str, form: str) -> bool:
    from pyrun.engine import ps
    from pyrun.store import containers

    path = check.layout.layer(diff_id, form) + "/"
    for container in ps.list_containers(check.layout, all=False):
        try:
            rootfs = containers.load_file(container.directory, "rootfs.json")
        except PyrunError:
            continue
        if any(str(lower).startswith(path) for lower in rootfs.get("lowerdirs", ())):
            return True
    return False
