# Sourced by quickstart.sh and run_tests.sh: makes the virtual environment .venv with the pinned set.
# superres_make_env ROOT quickstart|tests
#
# SUPERRES_VENV         another folder than .venv
# SUPERRES_PYTHON       the Python to make it with
# SUPERRES_TORCH_INDEX  another package index for torch, e.g. one with CUDA builds
#
# A torch that is installed in the environment is never replaced.

superres_fail() {
    echo "error: $*" >&2
    exit 2
}

superres_find_python() {
    local candidate
    for candidate in ${SUPERRES_PYTHON:+"$SUPERRES_PYTHON"} python3 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    superres_fail "Python 3.11, 3.12 or 3.13 is needed; name one with SUPERRES_PYTHON=/path/to/python"
}

superres_make_env() {
    local root=$1 kind=$2
    local venv=${SUPERRES_VENV:-$root/.venv}
    local python=$venv/bin/python
    if [ ! -x "$python" ]; then
        local base
        base=$(superres_find_python) || exit 2
        echo "making $venv with $("$base" --version)"
        "$base" -m venv "$venv" || superres_fail \
            "no virtual environment could be made; on Debian or Ubuntu: apt-get install python3-venv"
    fi
    # What was installed is noted, so that the next run starts at once.
    local wanted stamp=$venv/.superres-installed-$kind
    wanted=$(cat "$root"/requirements/*.txt "$root/setup.py" | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted $root" ]; then
        superres_install "$root" "$python" "$kind"
        # The first import of mmengine makes a grammar file (yapf's), not atomically: two at once,
        # as test workers or ranks are, would read half of it.
        "$python" -c 'import yapf' || superres_fail "the installed packages cannot be imported"
        echo "$wanted $root" > "$stamp"
    fi
    "$python" - <<'PY' || exit 2
import sys
from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
try:
    import_cv2()
except UserError as error:
    sys.exit(f"error: {error}")
PY
    SUPERRES_ENV_PYTHON=$python
}

superres_install() {
    local root=$1 python=$2 kind=$3 have pins packages
    have=$("$python" -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null || true)
    if [ -z "$have" ]; then
        local pin
        pin=$(grep '^torch==' "$root/requirements/constraints.txt")
        echo "installing $pin"
        "$python" -m pip install --quiet --disable-pip-version-check \
            ${SUPERRES_TORCH_INDEX:+--index-url "$SUPERRES_TORCH_INDEX"} "$pin" ||
            superres_fail "torch could not be installed; is the package index reachable?"
        have=$("$python" -c 'from importlib.metadata import version; print(version("torch"))')
    fi
    echo "torch $have"
    pins=$(mktemp)
    grep -v '^torch==' "$root/requirements/constraints.txt" > "$pins"
    echo "torch==$have" >> "$pins"
    echo "installing the pinned set"
    if [ "$kind" = tests ]; then
        packages=(-r "$root/requirements/tests.txt")
    else
        packages=(scikit-image scikit-learn tensorboard)
    fi
    "$python" -m pip install --quiet --disable-pip-version-check -c "$pins" \
        -r "$root/requirements/runtime.txt" "${packages[@]}" ||
        { rm -f "$pins"; superres_fail "the packages could not be installed (see above)"; }
    if [ "$kind" = tests ]; then
        "$python" -m pip install --quiet --disable-pip-version-check -c "$pins" --no-deps \
            -r "$root/requirements/tests-alone.txt" ||
            echo "note: torchvision and spandrel could not be installed; their tests are skipped"
    fi
    rm -f "$pins"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps -e "$root" ||
        superres_fail "superres itself could not be installed (see above)"
}
