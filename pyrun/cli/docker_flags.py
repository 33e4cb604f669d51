"""docker's flags, verb by verb, as its client lists them (28.2.2): what COMPATIBILITY.md is measured against. Cold."""

from __future__ import annotations

# verb -> its flags; "-a/--all" has a short form
FLAGS: dict[str, str] = {
    "container attach": "--detach-keys --no-stdin --sig-proxy",
    "container commit": "-a/--author -c/--change -m/--message -p/--pause",
    "container cp": "-a/--archive -L/--follow-link -q/--quiet",
    "container create": """
        --add-host --annotation -a/--attach --blkio-weight --blkio-weight-device --cap-add --cap-drop
        --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota
        --cpu-rt-period --cpu-rt-runtime -c/--cpu-shares --cpus --cpuset-cpus --cpuset-mems --device
        --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps --device-write-iops
        --disable-content-trust --dns --dns-option --dns-search --domainname --entrypoint -e/--env
        --env-file --expose --gpus --group-add --health-cmd --health-interval --health-retries
        --health-start-interval --health-start-period --health-timeout -h/--hostname --init -i/--interactive
        --io-maxbandwidth --io-maxiops --ip --ip6 --ipc --isolation --kernel-memory -l/--label --label-file
        --link --link-local-ip --log-driver --log-opt --mac-address -m/--memory --memory-reservation
        --memory-swap --memory-swappiness --mount --name --network --network-alias --no-healthcheck
        --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged -p/--publish
        -P/--publish-all --pull -q/--quiet --read-only --restart --rm --runtime --security-opt --shm-size
        --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs -t/--tty --ulimit --use-api-socket
        -u/--user --userns --uts -v/--volume --volume-driver --volumes-from -w/--workdir
    """,
    "container diff": "",
    "container exec": """
        -d/--detach --detach-keys -e/--env --env-file -i/--interactive --privileged -t/--tty -u/--user
        -w/--workdir
    """,
    "container export": "-o/--output",
    "container inspect": "-f/--format -s/--size",
    "container kill": "-s/--signal",
    "container logs": "--details -f/--follow --since -n/--tail -t/--timestamps --until",
    "container ls": "-a/--all -f/--filter --format -n/--last -l/--latest --no-trunc -q/--quiet -s/--size",
    "container pause": "",
    "container port": "",
    "container prune": "--filter -f/--force",
    "container rename": "",
    "container restart": "-s/--signal -t/--timeout",
    "container rm": "-f/--force -l/--link -v/--volumes",
    "container run": """
        --add-host --annotation -a/--attach --blkio-weight --blkio-weight-device --cap-add --cap-drop
        --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota
        --cpu-rt-period --cpu-rt-runtime -c/--cpu-shares --cpus --cpuset-cpus --cpuset-mems -d/--detach
        --detach-keys --device --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps
        --device-write-iops --disable-content-trust --dns --dns-option --dns-search --domainname
        --entrypoint -e/--env --env-file --expose --gpus --group-add --health-cmd --health-interval
        --health-retries --health-start-interval --health-start-period --health-timeout -h/--hostname --init
        -i/--interactive --io-maxbandwidth --io-maxiops --ip --ip6 --ipc --isolation --kernel-memory
        -l/--label --label-file --link --link-local-ip --log-driver --log-opt --mac-address -m/--memory
        --memory-reservation --memory-swap --memory-swappiness --mount --name --network --network-alias
        --no-healthcheck --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged
        -p/--publish -P/--publish-all --pull -q/--quiet --read-only --restart --rm --runtime --security-opt
        --shm-size --sig-proxy --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs -t/--tty --ulimit
        --use-api-socket -u/--user --userns --uts -v/--volume --volume-driver --volumes-from -w/--workdir
    """,
    "container start": "-a/--attach --checkpoint --checkpoint-dir --detach-keys -i/--interactive",
    "container stats": "-a/--all --format --no-stream --no-trunc",
    "container stop": "-s/--signal -t/--timeout",
    "container top": "",
    "container unpause": "",
    "container update": """
        --blkio-weight --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime -c/--cpu-shares --cpus
        --cpuset-cpus --cpuset-mems -m/--memory --memory-reservation --memory-swap --pids-limit --restart
    """,
    "container wait": "",
    "image history": "--format -H/--human --no-trunc --platform -q/--quiet",
    "image import": "-c/--change -m/--message --platform",
    "image inspect": "-f/--format --platform",
    "image load": "-i/--input --platform -q/--quiet",
    "image ls": "-a/--all --digests -f/--filter --format --no-trunc -q/--quiet --tree",
    "image prune": "-a/--all --filter -f/--force",
    "image pull": "-a/--all-tags --disable-content-trust --platform -q/--quiet",
    "image rm": "-f/--force --no-prune --platform",
    "image save": "-o/--output --platform",
    "image tag": "",
    "inspect": "-f/--format -s/--size --type",
    "login": "-p/--password --password-stdin -u/--username",
    "logout": "",
    "manifest annotate": "--arch --os --os-features --os-version --variant",
    "manifest create": "-a/--amend --insecure",
    "manifest inspect": "--insecure -v/--verbose",
    "manifest push": "--insecure -p/--purge",
    "manifest rm": "",
    "push": "-a/--all-tags --disable-content-trust --platform -q/--quiet",
    "search": "-f/--filter --format --limit --no-trunc",
    "system df": "--format -v/--verbose",
    "system events": "-f/--filter --format --since --until",
    "system info": "-f/--format",
    "system prune": "-a/--all --filter -f/--force --volumes",
    "version": "-f/--format",
    "volume create": """
        --availability -d/--driver --group --label --limit-bytes -o/--opt --required-bytes --scope --secret
        --sharing --topology-preferred --topology-required --type
    """,
    "volume inspect": "-f/--format",
    "volume ls": "--cluster -f/--filter --format -q/--quiet",
    "volume prune": "-a/--all --filter -f/--force",
    "volume rm": "-f/--force",
    "volume update": "--availability",
}
