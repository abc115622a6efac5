# Sourced by quickstart.sh and run_tests.sh: makes the virtual environment .venv with the pinned set.
# superres_make_env quickstart|tests; the working directory then is the checkout
#
# SUPERRES_VENV         another folder than .venv
# SUPERRES_PYTHON       the Python to make it with, instead of python3
# SUPERRES_TORCH_INDEX  another package index for torch, e.g. one with CUDA builds
#
# A torch that is installed in the environment is never replaced.
superres_make_env() {
    local root kind=$1 base=${SUPERRES_PYTHON:-python3} wanted
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    local venv=${SUPERRES_VENV:-$root/.venv}
    SUPERRES_ENV_PYTHON=$venv/bin/python
    if [ ! -x "$SUPERRES_ENV_PYTHON" ]; then
        "$base" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
            echo "error: Python 3.11, 3.12 or 3.13 is needed; name one with SUPERRES_PYTHON=/path/to/python" >&2
            exit 2
        }
        echo "making $venv with $("$base" --version)"
        "$base" -m venv "$venv"
    fi
    # What was installed is noted, so that the next run starts at once.
    wanted="$(cat "$root"/requirements/*.txt "$root/setup.py" | cksum) $root"
    if [ "$(cat "$venv/.superres-$kind" 2>/dev/null)" != "$wanted" ]; then
        superres_install "$root" "$kind" "$venv/pins.txt"
        # The first import of mmengine makes a grammar file (yapf's), not atomically: two at once,
        # as test workers or ranks are, would read half of it.
        "$SUPERRES_ENV_PYTHON" -c 'import yapf'
        echo "$wanted" > "$venv/.superres-$kind"
    fi
    cd "$root"
}

superres_install() {
    local root=$1 kind=$2 pins=$3 packages=(scikit-image scikit-learn tensorboard)
    local pip=("$SUPERRES_ENV_PYTHON" -m pip install --quiet --disable-pip-version-check)
    local version=("$SUPERRES_ENV_PYTHON" -c 'from importlib.metadata import version; print(version("torch"))')
    echo "installing the pinned set; torch first, unless it is there"
    "${version[@]}" >/dev/null 2>&1 ||
        "${pip[@]}" ${SUPERRES_TORCH_INDEX:+--index-url "$SUPERRES_TORCH_INDEX"} \
            "$(grep '^torch==' "$root/requirements/constraints.txt")"
    { grep -v '^torch==' "$root/requirements/constraints.txt"; echo "torch==$("${version[@]}")"; } > "$pins"
    [ "$kind" = tests ] && packages=(-r "$root/requirements/tests.txt")
    "${pip[@]}" -c "$pins" -r "$root/requirements/runtime.txt" "${packages[@]}"
    if [ "$kind" = tests ]; then
        "${pip[@]}" -c "$pins" --no-deps -r "$root/requirements/tests-alone.txt" ||
            echo "note: torchvision and spandrel could not be installed; their tests are skipped"
    fi
    "${pip[@]}" --no-deps -e "$root"
}
