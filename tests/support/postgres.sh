# A private Postgres for tests, to be sourced: start_postgres [certificate key], stop_postgres; kill_postgres, resume_postgres,
# pause_postgres and unpause_postgres for tests of outages. Its data, its socket and its port are its own; it
# fsyncs, because durability is what is tested. Sets EXAI_TEST_POSTGRES_URL (an admin of its own, on loopback),
# and for tests that kill it EXAI_TEST_POSTGRES_DATA and EXAI_TEST_POSTGRES_BIN.

# The newest installed major's programs; installs them by apt when there are none and we are root.
_postgres_bin() {
    _bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    if [ -z "$_bin" ] && command -v initdb >/dev/null 2>&1; then
        _bin=$(dirname "$(command -v initdb)")
    fi
    if [ -z "$_bin" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        # The package would start a server of its own on the usual port.
        mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql; } >&2 || return 1
        _bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    fi
    [ -n "$_bin" ] || { echo "postgres: not installed, and only root can install it" >&2; return 1; }
    echo "$_bin"
}

# Postgres refuses to run as root.
_as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"
    else
        "$@"
    fi
}

# Below the ports that the system gives to connections: one of those could have it, even one that is trying to reach it, when the
# server is started again.
_free_port() {
    python3 - <<'END'
import random, socket

while True:
    port = random.randrange(15000, 30000)
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
END
}

start_postgres() {
    EXAI_TEST_POSTGRES_BIN=$(_postgres_bin) || return 1
    _postgres_home=$(mktemp -d "${TMPDIR:-/tmp}/exai-postgres.XXXXXX") || return 1
    EXAI_TEST_POSTGRES_DATA=$_postgres_home/data
    mkdir "$_postgres_home/data" "$_postgres_home/socket"
    printf '%s\n' secret >"$_postgres_home/password"
    [ "$(id -u)" != 0 ] || chown -R postgres: "$_postgres_home"
    # initdb wants to be somewhere that its user may be.
    (cd "$_postgres_home" && _as_postgres "$EXAI_TEST_POSTGRES_BIN/initdb" --pgdata="$EXAI_TEST_POSTGRES_DATA" \
        --username=exai --pwfile="$_postgres_home/password" --auth=scram-sha-256 --encoding=UTF8 --no-locale) \
        >"$_postgres_home/initdb.log" 2>&1 || { cat "$_postgres_home/initdb.log" >&2; return 1; }
    _postgres_port=$(_free_port) || return 1
    {
        echo "port = $_postgres_port"
        echo "listen_addresses = '127.0.0.1'"
        echo "unix_socket_directories = '$_postgres_home/socket'"
        echo "fsync = on"
        echo "max_connections = 200"
    } >>"$EXAI_TEST_POSTGRES_DATA/postgresql.conf"
    if [ -n "${1:-}" ]; then
        cp "$1" "$EXAI_TEST_POSTGRES_DATA/server.crt" && cp "$2" "$EXAI_TEST_POSTGRES_DATA/server.key" || return 1
        [ "$(id -u)" != 0 ] || chown postgres: "$EXAI_TEST_POSTGRES_DATA/server.crt" "$EXAI_TEST_POSTGRES_DATA/server.key"
        chmod 600 "$EXAI_TEST_POSTGRES_DATA/server.key"
        echo "ssl = on" >>"$EXAI_TEST_POSTGRES_DATA/postgresql.conf"
    fi
    (cd "$_postgres_home" && _as_postgres "$EXAI_TEST_POSTGRES_BIN/pg_ctl" start --wait --pgdata="$EXAI_TEST_POSTGRES_DATA" \
        --log="$_postgres_home/server.log") >"$_postgres_home/pg_ctl.log" 2>&1 ||
        { cat "$_postgres_home/pg_ctl.log" "$_postgres_home/server.log" >&2; return 1; }
    EXAI_TEST_POSTGRES_URL="postgres://exai:secret@127.0.0.1:$_postgres_port/postgres"
    export EXAI_TEST_POSTGRES_BIN EXAI_TEST_POSTGRES_DATA EXAI_TEST_POSTGRES_URL
}

# Kills the server as a power cut of the server alone would: no process of it gets to say a word.
kill_postgres() {
    _postgres_processes KILL
}

# Starts it again on the data that it had.
resume_postgres() {
    _tries=0
    until (cd "$_postgres_home" && _as_postgres "$EXAI_TEST_POSTGRES_BIN/pg_ctl" start --wait --pgdata="$EXAI_TEST_POSTGRES_DATA" \
        --log="$_postgres_home/server.log") >"$_postgres_home/pg_ctl.log" 2>&1; do
        _tries=$((_tries + 1))
        [ "$_tries" -lt 20 ] || { cat "$_postgres_home/pg_ctl.log" >&2; return 1; }
        sleep 0.5
    done
}

# Freezes every process of it, and thaws them.
pause_postgres() {
    _postgres_processes STOP
}
unpause_postgres() {
    _postgres_processes CONT
}

_postgres_processes() {
    _postmaster=$(head -n 1 "$EXAI_TEST_POSTGRES_DATA/postmaster.pid") || return 1
    kill -s "$1" "$_postmaster" $(ps -o pid= --ppid "$_postmaster")
}

stop_postgres() {
    [ -n "${_postgres_home:-}" ] || return 0
    # A test that failed may have left it frozen, and then it does not stop.
    unpause_postgres 2>/dev/null
    (cd "$_postgres_home" && _as_postgres "$EXAI_TEST_POSTGRES_BIN/pg_ctl" stop --mode=immediate \
        --pgdata="$EXAI_TEST_POSTGRES_DATA") >/dev/null 2>&1
    rm -rf "$_postgres_home"
    unset _postgres_home EXAI_TEST_POSTGRES_BIN EXAI_TEST_POSTGRES_DATA EXAI_TEST_POSTGRES_URL
}
