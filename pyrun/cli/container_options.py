"""The options of `run` and `create`, and the table of docker's that pyrun does not have yet.

Cold: read when click is, and by `generate_table.py`. Help words are docker's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.cli.definitions import flag, integer, many, text, unsupported

if TYPE_CHECKING:
    import click

_UNSUPPORTED_FLAGS = "--disable-content-trust --no-healthcheck --oom-kill-disable -q/--quiet --use-api-socket"
_UNSUPPORTED_WITH_VALUE = """
    --annotation -a/--attach --blkio-weight --blkio-weight-device --cgroup-parent --cpu-count
    --cpu-percent --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime -c/--cpu-shares --cpus --cpuset-cpus
    --cpuset-mems --device --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps
    --device-write-iops --domainname --expose --gpus --group-add --health-cmd --health-interval --health-retries
    --health-start-interval --health-start-period --health-timeout --io-maxbandwidth --io-maxiops --ip --ip6
    --isolation --kernel-memory --link --link-local-ip --mac-address -m/--memory
    --memory-reservation --memory-swap --memory-swappiness --net-alias --network-alias --oom-score-adj
    --pids-limit --runtime --shm-size --storage-opt --sysctl --volume-driver --volumes-from
"""


def container_options() -> list[click.Parameter]:
    """Return what `run` and `create` share."""
    return [
        many("--add-host", "Add a custom host-to-IP mapping (host:ip)"),
        text("--cgroupns", "Cgroup namespace to use (host|private)"),
        many("--cap-add", "Add Linux capabilities"),
        many("--cap-drop", "Drop Linux capabilities"),
        text("--cidfile", "Write the container ID to the file"),
        many("--dns", "Set custom DNS servers"),
        many("--dns-opt --dns-option", "Set DNS options"),
        many("--dns-search", "Set custom DNS search domains"),
        text("--entrypoint", "Overwrite the default ENTRYPOINT of the image"),
        many("-e --env", "Set environment variables"),
        many("--env-file", "Read in a file of environment variables"),
        text("-h --hostname", "Container host name"),
        flag("--init", "Run an init inside the container that forwards signals and reaps processes"),
        flag("-i --interactive", "Keep STDIN open even if not attached"),
        text("--ipc", "IPC mode to use (host|none|private|shareable|container:NAME)"),
        many("-l --label", "Set meta data on a container"),
        many("--label-file", "Read in a line delimited file of labels"),
        text("--log-driver", "Logging driver for the container (json-file, k8s-file, local, none, passthrough)"),
        many("--log-opt", "Log driver options"),
        many("--mount", "Attach a filesystem mount to the container", metavar="mount"),
        text("--name", "Assign a name to the container"),
        text("--net --network", "Connect a container to a network (none, host, private)", metavar="network"),
        text("--pid", "PID namespace to use (host|container:NAME)"),
        text("--platform", "Set platform if server is multi-platform capable"),
        flag("--privileged", "Give extended privileges to this container"),
        many("-p --publish", "Publish a container's port(s) to the host"),
        flag("-P --publish-all", "Publish all exposed ports to random ports"),
        text("--pull", "Pull image before running (always, missing, never)", default="missing"),
        flag("--read-only", "Mount the container's root filesystem as read only"),
        text("--restart", "Restart policy to apply when a container exits", default="no"),
        flag("--rm", "Automatically remove the container when it exits"),
        many("--security-opt", "Security Options"),
        text("--stop-signal", "Signal to stop the container"),
        integer("--stop-timeout", "Timeout (in seconds) to stop a container"),
        many("--tmpfs", "Mount a tmpfs directory"),
        flag("-t --tty", "Allocate a pseudo-TTY"),
        many("--ulimit", "Ulimit options", metavar="ulimit"),
        text("-u --user", "Username or UID (format: <name|uid>[:<group|gid>])"),
        text("--uts", "UTS namespace to use (host|container:NAME)"),
        text("--userns", "User namespace to use"),
        many("-v --volume", "Bind mount a volume"),
        text("-w --workdir", "Working directory inside the container"),
        *unsupported(_UNSUPPORTED_FLAGS, _UNSUPPORTED_WITH_VALUE),
    ]
