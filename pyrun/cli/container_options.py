"""The options of `run` and `create`, and the table of docker's that pyrun does not have yet.

Cold: read when click is, and by `generate_table.py`. Help words are docker's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.cli.definitions import flag, integer, many, signature_policy, text, unsupported

if TYPE_CHECKING:
    import click

_UNSUPPORTED_FLAGS = "--oom-kill-disable --use-api-socket"
_UNSUPPORTED_WITH_VALUE = """
    --blkio-weight --blkio-weight-device --cgroup-parent --cpu-count --cpu-percent --cpu-period --cpu-quota
    --cpu-rt-period --cpu-rt-runtime -c/--cpu-shares --cpus --cpuset-cpus --cpuset-mems --device-cgroup-rule
    --device-read-bps --device-read-iops --device-write-bps --device-write-iops --gpus
    --io-maxbandwidth --io-maxiops --ip --ip6 --kernel-memory --link --link-local-ip -m/--memory
    --memory-reservation --memory-swap --memory-swappiness --net-alias --network-alias --pids-limit --runtime
    --storage-opt --volume-driver
"""


def container_options() -> list[click.Parameter]:
    """Return what `run` and `create` share."""
    return [
        many("--add-host", "Add a custom host-to-IP mapping (host:ip)"),
        text("--cgroupns", "Cgroup namespace to use (host|private)"),
        many("--annotation", "Add an annotation to the container (passed through to the OCI runtime)", metavar="map"),
        many("-a --attach", "Attach to STDIN, STDOUT or STDERR"),
        many("--cap-add", "Add Linux capabilities"),
        many("--cap-drop", "Drop Linux capabilities"),
        text("--cidfile", "Write the container ID to the file"),
        many("--device", "Add a host device to the container"),
        flag("--disable-content-trust", "Skip image verification (it has no effect)", default=True),
        many("--dns", "Set custom DNS servers"),
        many("--dns-opt --dns-option", "Set DNS options"),
        many("--dns-search", "Set custom DNS search domains"),
        text("--domainname", "Container NIS domain name"),
        text("--entrypoint", "Overwrite the default ENTRYPOINT of the image"),
        many("-e --env", "Set environment variables"),
        many("--env-file", "Read in a file of environment variables"),
        flag("--env-host", "Use the caller's environment, under the image's"),
        many("--expose", "Expose a port or a range of ports"),
        many("--group-add", "Add additional groups to join (a name, an id, keep-groups)"),
        text("--health-cmd", "Command to run to check health"),
        text("--health-interval", "Time between running the check (ms|s|m|h)", metavar="duration"),
        integer("--health-retries", "Consecutive failures needed to report unhealthy"),
        text(
            "--health-start-interval",
            "Time between running the check during the start period (ms|s|m|h)",
            metavar="duration",
        ),
        text(
            "--health-start-period",
            "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)",
            metavar="duration",
        ),
        text("--health-timeout", "Maximum time to allow one check to run (ms|s|m|h)", metavar="duration"),
        text("-h --hostname", "Container host name"),
        flag("--init", "Run an init inside the container that forwards signals and reaps processes"),
        flag("-i --interactive", "Keep STDIN open even if not attached"),
        text("--ipc", "IPC mode to use (host|none|private|shareable|container:NAME)"),
        text("--isolation", "Container isolation technology (default, the only one on Linux)"),
        many("-l --label", "Set meta data on a container"),
        many("--label-file", "Read in a line delimited file of labels"),
        text("--log-driver", "Logging driver for the container (json-file, k8s-file, local, none, passthrough)"),
        many("--log-opt", "Log driver options"),
        text("--mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
        many("--mount", "Attach a filesystem mount to the container", metavar="mount"),
        text("--name", "Assign a name to the container"),
        text("--net --network", "Connect a container to a network (none, host, private)", metavar="network"),
        flag("--no-healthcheck", "Disable any container-specified HEALTHCHECK"),
        integer("--oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)"),
        text("--pid", "PID namespace to use (host|container:NAME)"),
        text("--platform", "Set platform if server is multi-platform capable"),
        flag("--privileged", "Give extended privileges to this container"),
        many("-p --publish", "Publish a container's port(s) to the host"),
        flag("-P --publish-all", "Publish all exposed ports to random ports"),
        text("--pull", "Pull image before running (always, missing, newer, never)", default="missing"),
        flag("-q --quiet", "Suppress the pull output"),
        flag("--read-only", "Mount the container's root filesystem as read only"),
        text("--restart", "Restart policy to apply when a container exits", default="no"),
        flag("--replace", "If a container with the same name exists, replace it"),
        flag("--rm", "Automatically remove the container when it exits"),
        many("--secret", "A secret for the container alone (id=NAME,src=FILE or id=NAME,env=VARIABLE)"),
        many("--security-opt", "Security Options"),
        text("--shm-size", "Size of /dev/shm", metavar="bytes"),
        signature_policy(),
        text("--stop-signal", "Signal to stop the container"),
        integer("--stop-timeout", "Timeout (in seconds) to stop a container"),
        many("--sysctl", "Sysctl options", metavar="map"),
        many("--tmpfs", "Mount a tmpfs directory"),
        flag("-t --tty", "Allocate a pseudo-TTY"),
        many("--ulimit", "Ulimit options", metavar="ulimit"),
        text("-u --user", "Username or UID (format: <name|uid>[:<group|gid>])"),
        text("--uts", "UTS namespace to use (host|container:NAME)"),
        text("--userns", "User namespace to use"),
        many("-v --volume", "Bind mount a volume"),
        many("--volumes-from", "Mount volumes from the specified container(s)"),
        text("-w --workdir", "Working directory inside the container"),
        *unsupported(_UNSUPPORTED_FLAGS, _UNSUPPORTED_WITH_VALUE),
    ]
