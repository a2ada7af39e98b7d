# The official clients that tests/sdk.rs runs, to be sourced: install_sdks installs the pinned versions into a cache folder outside the
# clone, once, and sets EXAI_TEST_SDKS to it.

_sdk_python1=mcp==1.30.0
_sdk_python2=mcp==2.3.0
_sdk_ts1='@modelcontextprotocol/sdk@1.32.2 ws@8'
_sdk_ts2='@modelcontextprotocol/client@2.4.0'
_sdk_claude='@anthropic-ai/claude-code@2.1.330'

_sdk_needs() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        command -v npm >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null && return
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nodejs npm python3-venv; } >&2
    fi
    command -v npm >/dev/null 2>&1 && python3 -c 'import ensurepip'
}

# _sdk_once NAME WHAT COMMAND...: runs the command in the folder NAME, unless WHAT is there already; it appears whole or not at all.
_sdk_once() {
    _name=$1 _what=$2
    shift 2
    [ "$(cat "$EXAI_TEST_SDKS/$_name/installed" 2>/dev/null)" = "$_what" ] && return
    rm -rf "${EXAI_TEST_SDKS:?}/$_name" && mkdir -p "$EXAI_TEST_SDKS/$_name" || return 1
    (cd "$EXAI_TEST_SDKS/$_name" && "$@") >&2 && printf '%s\n' "$_what" >"$EXAI_TEST_SDKS/$_name/installed"
}

_sdk_python() { python3 -m venv . && bin/pip install --quiet --disable-pip-version-check "$@"; }
_sdk_npm() { npm install --prefix . --no-audit --no-fund --loglevel=error "$@"; }

install_sdks() {
    export EXAI_TEST_SDKS="${XDG_CACHE_HOME:-$HOME/.cache}/exai/sdks"
    _sdk_needs || { echo "sdks: npm and python3 with venv are needed, and only root can install them" >&2; return 1; }
    _sdk_once python1 "$_sdk_python1" _sdk_python "${_sdk_python1/mcp/mcp[ws]}" || return 1
    _sdk_once python2 "$_sdk_python2" _sdk_python "$_sdk_python2" || return 1
    # shellcheck disable=SC2086  # several packages
    _sdk_once ts1 "$_sdk_ts1" _sdk_npm $_sdk_ts1 || return 1
    _sdk_once ts2 "$_sdk_ts2" _sdk_npm "$_sdk_ts2" || return 1
    _sdk_once claude "$_sdk_claude" _sdk_npm "$_sdk_claude" || return 1
}
