#!/usr/bin/env bash
# Build the base image from Debian's packages, for machines that reach a mirror of Debian but no image registry.
#
# Prints the name of the image, and nothing else, on stdout. The name ends in a hash of this file, so an image that is
# there already is not built again. The mirror is the one that this machine's apt uses, or $DEBIAN_MIRROR.
# Needs root, debootstrap and a Docker engine. Debian 12 is the release that has Python 3.11.
set -euo pipefail

SUITE=bookworm
PACKAGES=python3,python3-venv

say() { echo "base-image: $*" >&2; }
fail() { say "$*"; exit 1; }

find_mirror() { # the first archive of Debian itself among those of this machine's apt
    if [ -n "${DEBIAN_MIRROR:-}" ]; then
        echo "$DEBIAN_MIRROR"
        return
    fi
    apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(SITE)' 'Created-By: Packages' 2>/dev/null |
        awk '$1 == "Debian" && $2 == "main" && $3 !~ /security/ { print $3; exit }'
}

slim() { # what a container never reads
    local root=$1
    rm -rf "$root"/usr/share/{doc,man,info,locale,lintian,bug,i18n}
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/{apt,debconf}/* "$root"/var/log/* "$root"/tmp/*
}

case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) arch=$(dpkg --print-architecture) ;;
esac
image=kvgossip-base:$SUITE-$arch-$(sha256sum "$0" | cut -c1-12)
if docker image inspect "$image" >/dev/null 2>&1; then
    say "$image is there already"
    echo "$image"
    exit
fi

[ "$(id -u)" = 0 ] || fail "debootstrap needs root"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
mirror=$(find_mirror)
[ -n "$mirror" ] || fail "apt names no mirror of Debian here: run apt-get update, or set DEBIAN_MIRROR"

work=$(mktemp -d "${TMPDIR:-/var/tmp}/kvgossip-base-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
say "building $image, about a minute"
debootstrap --variant=minbase --arch="$arch" --include="$PACKAGES" "$SUITE" "$work/root" "$mirror" \
    >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "debootstrap failed"; }
slim "$work/root"
tar -C "$work/root" --numeric-owner --exclude=./dev/* -c . |
    docker import --change 'CMD ["python3"]' --change 'ENV LANG=C.UTF-8' - "$image" >/dev/null
echo "$image"
