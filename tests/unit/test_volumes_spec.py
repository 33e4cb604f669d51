"""-v, --mount, --tmpfs: docker's grammar and messages, row by row."""

from __future__ import annotations

import os

import pytest

from pyrun.errors import InvalidInputError
from pyrun.volumes.mount_option import parse_mount
from pyrun.volumes.spec import MountSpec, clean, combine, parse_tmpfs, parse_volume


def seen(mount: MountSpec) -> dict[str, object]:
    """What differs from a plain read-write mount."""
    plain = MountSpec("", "", "")
    return {
        name: getattr(mount, name)
        for name in MountSpec.__slots__
        if getattr(mount, name) != getattr(plain, name) and name != "create_source"
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("/data", {"type": "volume", "target": "/data"}),
        ("/data/", {"type": "volume", "target": "/data"}),
        ("//data/../x", {"type": "volume", "target": "/x"}),
        ("vol:/data", {"type": "volume", "source": "vol", "target": "/data"}),
        (
            "v.o_l-1:/data:ro",
            {"type": "volume", "source": "v.o_l-1", "target": "/data", "readonly": True, "mode": "ro"},
        ),
        ("vol:/data:nocopy", {"type": "volume", "source": "vol", "target": "/data", "nocopy": True, "mode": "nocopy"}),
        ("/srv:/data", {"type": "bind", "source": "/srv", "target": "/data"}),
        ("/srv/../opt/:/data", {"type": "bind", "source": "/opt", "target": "/data"}),
        ("/srv:/data:", {"type": "bind", "source": "/srv", "target": "/data"}),
        ("/srv:/data:rw", {"type": "bind", "source": "/srv", "target": "/data", "mode": "rw"}),
        ("/srv:/data:ro,z", {"type": "bind", "source": "/srv", "target": "/data", "readonly": True, "mode": "ro,z"}),
        ("/srv:/data:Z", {"type": "bind", "source": "/srv", "target": "/data", "mode": "Z"}),
        ("/srv:/data:cached", {"type": "bind", "source": "/srv", "target": "/data", "mode": "cached"}),
        (
            "/srv:/data:rslave",
            {"type": "bind", "source": "/srv", "target": "/data", "propagation": "rslave", "mode": "rslave"},
        ),
        (
            "/srv:/data:ro,slave",
            {
                "type": "bind",
                "source": "/srv",
                "target": "/data",
                "readonly": True,
                "propagation": "slave",
                "recursive": False,
                "mode": "ro,slave",
            },
        ),
        ("/:/host:ro", {"type": "bind", "source": "/", "target": "/host", "readonly": True, "mode": "ro"}),
    ],
)
def test_volume_grammar(spec: str, expected: dict[str, object]) -> None:
    assert seen(parse_volume(spec)) == expected


def test_only_a_bind_of_v_makes_its_source() -> None:
    assert parse_volume("/srv:/data").create_source
    assert not parse_volume("vol:/data").create_source
    assert not parse_mount("type=bind,src=/srv,dst=/data").create_source


@pytest.mark.parametrize("relative", ["./x", "../x", "."])
def test_relative_source_begins_at_the_working_directory(relative: str) -> None:
    assert parse_volume(f"{relative}:/data").source == os.path.abspath(relative)
    assert parse_mount(f"type=bind,src={relative},dst=/data").source == os.path.abspath(relative)


BAD_NAME = (
    'create {0}: "{0}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are '
    "allowed. If you intended to pass a host directory, use absolute path"
)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "invalid volume specification: ''"),
        (":/data", "invalid volume specification: ':/data'"),
        ("/data:ro", "invalid volume specification: '/data:ro'"),
        ("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"),
        ("/a:", "invalid volume specification: '/a:': invalid mount path: '' mount path must be absolute"),
        ("data", "invalid volume specification: 'data': invalid mount path: 'data' mount path must be absolute"),
        ("/a:b", "invalid volume specification: '/a:b': invalid mount path: 'b' mount path must be absolute"),
        ("/a:/", "invalid volume specification: '/a:/': invalid specification: destination can't be '/'"),
        ("/a:/x/..", "invalid volume specification: '/a:/x/..': invalid specification: destination can't be '/'"),
        ("/", "invalid volume specification: '/': invalid specification: destination can't be '/'"),
        ("/a:/b:xx", "invalid mode: xx"),
        ("/a:/b:ro,", "invalid mode: ro,"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/b:ro,ro", "invalid mode: ro,ro"),
        ("/a:/b:z,Z", "invalid mode: z,Z"),
        ("/a:/b:shared,private", "invalid mode: shared,private"),
        ("/a:/b:nocopy", "invalid mode: nocopy"),
        ("vol:/b:rshared", "invalid mode: rshared"),
        ("/a:/b:U", "invalid mode: U: U (change the owner of the source) is not supported"),
        ("v:/b", "volume name is too short, names should be at least two alphanumeric characters"),
        ("dir/sub:/b", BAD_NAME.format("dir/sub")),
        ("-v:/b", BAD_NAME.format("-v")),
        ("_v:/b", BAD_NAME.format("_v")),
        ("völ:/b", BAD_NAME.format("völ")),
        ("a b:/b", BAD_NAME.format("a b")),
        ("~/x:/b", BAD_NAME.format("~/x")),
        ("v" * 256 + ":/b", BAD_NAME.format("v" * 256)),
    ],
)
def test_bad_volume(spec: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_volume(spec)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("type=volume,source=vol,target=/data", {"type": "volume", "source": "vol", "target": "/data"}),
        ("src=vol,dst=/data", {"type": "volume", "source": "vol", "target": "/data"}),
        ("destination=/data", {"type": "volume", "target": "/data"}),
        (
            "src=vol,dst=/data,volume-nocopy",
            {"type": "volume", "source": "vol", "target": "/data", "nocopy": True},
        ),
        ("src=vol,dst=/data,volume-nocopy=false", {"type": "volume", "source": "vol", "target": "/data"}),
        ("type=bind,src=/srv,dst=/data", {"type": "bind", "source": "/srv", "target": "/data"}),
        ("TYPE=Bind,src=/srv,dst=/data", {"type": "bind", "source": "/srv", "target": "/data"}),
        ('"type=bind","src=/a,b",dst=/data', {"type": "bind", "source": "/a,b", "target": "/data"}),
        ("type=bind,src=/srv,dst=/d,ro", {"type": "bind", "source": "/srv", "target": "/d", "readonly": True}),
        ("type=bind,src=/srv,dst=/d,readonly=1", {"type": "bind", "source": "/srv", "target": "/d", "readonly": True}),
        ("type=bind,src=/srv,dst=/d,ro=false", {"type": "bind", "source": "/srv", "target": "/d"}),
        (
            "type=bind,src=/srv,dst=/d,bind-propagation=rshared",
            {"type": "bind", "source": "/srv", "target": "/d", "propagation": "rshared"},
        ),
        (
            "type=bind,src=/srv,dst=/d,bind-nonrecursive",
            {"type": "bind", "source": "/srv", "target": "/d", "recursive": False},
        ),
        (
            "type=bind,src=/srv,dst=/d,bind-recursive=disabled",
            {"type": "bind", "source": "/srv", "target": "/d", "recursive": False},
        ),
        ("type=bind,src=/srv,dst=/d,consistency=cached", {"type": "bind", "source": "/srv", "target": "/d"}),
        ("type=tmpfs,dst=/t", {"type": "tmpfs", "target": "/t", "options": ["noexec", "nosuid", "nodev"]}),
        (
            "type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1770,ro",
            {
                "type": "tmpfs",
                "target": "/t",
                "readonly": True,
                "options": ["noexec", "nosuid", "nodev", "size=67108864", "mode=1770", "ro"],
            },
        ),
    ],
)
def test_mount_grammar(spec: str, expected: dict[str, object]) -> None:
    assert seen(parse_mount(spec)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("1024", 1024), ("1b", 1), ("64k", 65536), ("1.5M", 1572864), ("2GiB", 2 << 30), ("1 TB", 1 << 40)],
)
def test_tmpfs_size(text: str, expected: int) -> None:
    assert f"size={expected}" in parse_mount(f"type=tmpfs,dst=/t,tmpfs-size={text}").options


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "invalid field '' must be a key=value pair"),
        ("type=bind", "target is required"),
        ("type=,dst=/d", "type is required"),
        ("type=bind,src=/a,dst", "invalid field 'dst' must be a key=value pair"),
        ("type=bind,src=/a,dst=/d,color=red", "unexpected key 'color' in 'color=red'"),
        ("type=bind,src=/a,dst=/d,ro=maybe", "invalid value for ro: maybe"),
        ("dst=/d,volume-nocopy=x", "invalid value for volume-nocopy: x"),
        ("type=bind,src=/a,dst=/d,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
        ("dst=/d,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'volume'"),
        ("type=tmpfs,dst=/d,bind-propagation=slave", "cannot mix 'bind-*' options with mount type 'tmpfs'"),
        ("type=nfs,dst=/d", 'invalid mount config for type "nfs": mount type unknown'),
        ("type=image,src=a,dst=/d", 'invalid mount config for type "image": is not supported yet'),
        ("dst=/d,volume-opt=type=nfs", "--mount volume-opt is not supported yet"),
        ("dst=/d,volume-driver=x", "--mount volume-driver is not supported yet"),
        ("type=bind,dst=/d", 'invalid mount config for type "bind": field Source must not be empty'),
        (
            "type=bind,src=rel/x,dst=/d",
            "invalid mount config for type \"bind\": invalid mount path: 'rel/x' mount path must be absolute",
        ),
        (
            "type=bind,src=/a,dst=d",
            "invalid mount config for type \"bind\": invalid mount path: 'd' mount path must be absolute",
        ),
        (
            "type=bind,src=/a,dst=/",
            "invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        ),
        (
            "type=bind,src=/a,dst=/d,bind-propagation=both",
            'invalid mount config for type "bind": invalid propagation mode: both',
        ),
        (
            "type=bind,src=/a,dst=/d,bind-recursive=some",
            'invalid mount config for type "bind": invalid value for bind-recursive: some',
        ),
        (
            "type=bind,src=/a,dst=/d,consistency=odd",
            'invalid mount config for type "bind": invalid value for consistency: odd',
        ),
        (
            "dst=/d,ro",
            'invalid mount config for type "volume": must not set ReadOnly mode when using anonymous volumes',
        ),
        ("type=tmpfs,src=/a,dst=/d", 'invalid mount config for type "tmpfs": field Source must not be specified'),
        ("type=tmpfs,dst=/d,tmpfs-size=x", 'invalid mount config for type "tmpfs": invalid value for tmpfs-size: x'),
        ("type=tmpfs,dst=/d,tmpfs-size=-1", 'invalid mount config for type "tmpfs": invalid value for tmpfs-size: -1'),
        (
            "type=tmpfs,dst=/d,tmpfs-mode=999",
            'invalid mount config for type "tmpfs": invalid value for tmpfs-mode: 999',
        ),
        (
            "type=tmpfs,dst=/d,tmpfs-mode=77777",
            'invalid mount config for type "tmpfs": invalid value for tmpfs-mode: 77777',
        ),
        ("src=a/b,dst=/d", 'invalid mount config for type "volume": ' + BAD_NAME.format("a/b")),
        ('"src=/a', "invalid mount specification: '\"src=/a': unexpected end of data"),
    ],
)
def test_bad_mount(spec: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_mount(spec)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("spec", "target", "options", "readonly"),
    [
        ("/t", "/t", ["noexec", "nosuid", "nodev"], False),
        ("/t:", "/t", ["noexec", "nosuid", "nodev"], False),
        ("/t:exec,size=64m", "/t", ["exec", "nosuid", "nodev", "size=64m"], False),
        ("/t:rw,mode=1777,ro", "/t", ["noexec", "nosuid", "nodev", "ro", "mode=1777"], True),
        ("/t:size=1m,size=2m", "/t", ["noexec", "nosuid", "nodev", "size=2m"], False),
    ],
)
def test_tmpfs(spec: str, target: str, options: list[str], readonly: bool) -> None:
    mount = parse_tmpfs(spec)
    assert (mount.target, mount.options, mount.readonly) == (target, options, readonly)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("t", "invalid tmpfs specification: 't': invalid mount path: 't' mount path must be absolute"),
        ("/", "invalid tmpfs specification: '/': invalid specification: destination can't be '/'"),
        ("/t:color=red", "invalid tmpfs option 'color=red'"),
        ("/t:size", "invalid tmpfs option 'size'"),
        ("/t:ro,", "invalid tmpfs option ''"),
    ],
)
def test_bad_tmpfs(spec: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_tmpfs(spec)
    assert caught.value.message == message


def test_combine_puts_outer_mounts_first_and_lets_the_image_yield() -> None:
    mounts = combine(
        [parse_volume("vol:/a/b/c"), parse_volume("/srv:/data")],
        [parse_mount("type=tmpfs,dst=/a")],
        [parse_tmpfs("/a/b")],
        ["/data/", "/var/lib/db"],
    )
    assert [(mount.type, mount.target) for mount in mounts] == [
        ("bind", "/data"),
        ("tmpfs", "/a"),
        ("tmpfs", "/a/b"),
        ("volume", "/a/b/c"),
        ("volume", "/var/lib/db"),
    ]


@pytest.mark.parametrize(
    ("volumes", "mounts", "tmpfs"),
    [(["/a", "/b:/a/"], [], []), (["/a"], ["type=tmpfs,dst=/a"], []), (["/x:/a"], [], ["/a:ro"])],
)
def test_two_mounts_at_one_place(volumes: list[str], mounts: list[str], tmpfs: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        combine(
            [parse_volume(v) for v in volumes], [parse_mount(m) for m in mounts], [parse_tmpfs(t) for t in tmpfs], []
        )
    assert caught.value.message == "Duplicate mount point: /a"


@pytest.mark.parametrize(
    ("path", "message"),
    [("/", "invalid volume of the image: '/': invalid specification: destination can't be '/'")],
)
def test_bad_volume_of_an_image(path: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        combine([], [], [], [path])
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("path", "expected"), [("//a", "/a"), ("/a/./b/../c/", "/a/c"), ("/..", "/"), ("data", "/data")]
)
def test_clean(path: str, expected: str) -> None:
    assert clean(path) == expected
