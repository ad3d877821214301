#!/bin/sh
# Inside the build of the image: fill the virtual environment, and leave out what no node reads.
set -eu

bin=/opt/kvgossip/bin
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
if ls /wheels/*.whl >/dev/null 2>&1; then
    export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
fi

case $1 in
    dependencies) # before the sources are copied: this layer stays while pyproject.toml does
        "$bin/python" -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))' \
            >/tmp/requirements
        "$bin/pip" install --quiet --only-binary :all: -r /tmp/requirements
        ;;
    kvgossip)
        "$bin/pip" install --quiet --no-deps .
        "$bin/pip" uninstall --quiet --yes setuptools pip
        # Cython's sources, type stubs and tests
        find /opt/kvgossip \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.c' -o -name '*.h' -o -name '*.pyi' \) -delete
        find /opt/kvgossip -type d -name tests -prune -exec rm -rf {} +
        ;;
esac
