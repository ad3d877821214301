#!/usr/bin/env bash
# Build the image kvgossip, with or without a registry of images.
#
#   docker/build.sh                 packages from PyPI, base image from a registry
#   docker/build.sh --no-registry   the base by base-image.sh, and wheels that this machine's pip fetches first
#
# BASE=image takes that one as base. PIP names the pip to fetch with (python3 -m pip).
set -euo pipefail
cd "$(dirname "$0")/.."

tag=${TAG:-kvgossip}
arguments=(--build-arg "VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' kvgossip/__init__.py)"
    --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)"
    --build-arg "CREATED=$(date -u +%Y-%m-%dT%H:%M:%SZ)")

fetch_wheels() { # for the Python of the base image, once for each pyproject.toml
    local mark sum
    mark=docker/wheels/.of
    sum=$(sha256sum pyproject.toml docker/build.sh | sha256sum)
    [ "$(cat "$mark" 2>/dev/null)" = "$sum" ] && return
    rm -f docker/wheels/*.whl
    ${PIP:-python3 -m pip} download -qq --disable-pip-version-check --dest docker/wheels \
        --only-binary :all: --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
        $(platforms) --requirement <(requirements) >&2
    echo "$sum" >"$mark"
}

requirements() {
    python3 - <<'PYTHON'
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))
print(*project["project"]["dependencies"], *project["build-system"]["requires"], sep="\n")
PYTHON
}

platforms() {
    local minor
    for minor in 28 17; do echo "--platform manylinux_2_${minor}_$(uname -m)"; done
    echo "--platform manylinux2014_$(uname -m) --platform any"
}

case ${1:-} in
    --no-registry)
        BASE=${BASE:-$(docker/base-image.sh)}
        fetch_wheels
        ;;
    "") ;;
    *)
        echo "usage: docker/build.sh [--no-registry]" >&2
        exit 2
        ;;
esac
[ -z "${BASE:-}" ] || arguments+=(--build-arg "BASE=$BASE")
docker build --quiet "${arguments[@]}" --tag "$tag" --file docker/Dockerfile . >&2
echo "$tag"
