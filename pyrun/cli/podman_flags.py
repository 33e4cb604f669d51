"""podman's flags of the verbs of images, as its client lists them (4.3.1): see COMPATIBILITY.md. Cold."""

from __future__ import annotations

# verb -> its flags; "-a/--all" has a short form
FLAGS: dict[str, str] = {
    "pull": """
        -a/--all-tags --arch --authfile --cert-dir --creds --disable-content-trust --os --platform
        -q/--quiet --tls-verify --variant
    """,
    "push": """
        --authfile --cert-dir --compress --compression-format --creds --digestfile
        --disable-content-trust -f/--format -q/--quiet --remove-signatures --sign-by
        --sign-by-sigstore-private-key --sign-passphrase-file --tls-verify
    """,
    "images": """
        -a/--all --digests -f/--filter --format --history --no-trunc -n/--noheading -q/--quiet
        --sort
    """,
    "rmi": "-a/--all -f/--force -i/--ignore --no-prune",
    "history": "--format -H/--human --no-trunc -q/--quiet",
    "save": "--compress --format -m/--multi-image-archive -o/--output -q/--quiet --uncompressed",
    "load": "-i/--input -q/--quiet",
    "import": "--arch -c/--change -m/--message --os -q/--quiet --variant",
    "search": "--authfile --compatible -f/--filter --format --limit --list-tags --no-trunc --tls-verify",
    "login": """
        --authfile --cert-dir --get-login -p/--password --password-stdin --tls-verify -u/--username
        -v/--verbose
    """,
    "logout": "-a/--all --authfile",
    "image diff": "--format",
    "image exists": "",
    "image inspect": "-f/--format",
    "image mount": "-a/--all --format",
    "image prune": "-a/--all --external --filter -f/--force",
    "image scp": "-q/--quiet",
    "image sign": "-a/--all --authfile --cert-dir -d/--directory --sign-by",
    "image tree": "--whatrequires",
    "image trust": "",
    "image unmount": "-a/--all -f/--force",
    "untag": "",
    "tag": "",
    "manifest add": """
        --all --annotation --arch --authfile --cert-dir --creds --features --os --os-version
        --tls-verify --variant
    """,
    "manifest annotate": "--annotation --arch --features --os --os-features --os-version --variant",
    "manifest create": "--all -a/--amend --tls-verify",
    "manifest exists": "",
    "manifest inspect": "",
    "manifest push": """
        --all --authfile --cert-dir --compression-format --creds --digestfile -f/--format -q/--quiet
        --remove-signatures --rm --sign-by --sign-by-sigstore-private-key --sign-passphrase-file
        --tls-verify
    """,
    "manifest remove": "",
    "manifest rm": "",
}
