#!/bin/sh
# Sets one part of the machine up: setup.sh system | system-test | venv | kafka | broker | detectors | timescale | clients   (make calls it, once each)
# Installs Debian packages only where it may (root, or sudo without a password); otherwise it prints the one line
# that does it and exits 2. It never asks a question, and starts no service.
set -eu
cd "$(dirname "$0")"
mkdir -p .stamps
say() { echo "setup: $*"; }

postgres_is_here() { command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }
venv_is_here() { command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null; }
java_is_here() { command -v java >/dev/null || [ -x "${JAVA_HOME:-/nonexistent}/bin/java" ]; }
jars_are_here() { [ -n "${CITYVIGIL_KAFKA_JARS:-}" ] || [ -e .stamps/kafka ]; }
chromium_is_here() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null; }
node_is_here() {
    command -v npm >/dev/null && command -v node >/dev/null &&
        node -e 'process.exit(process.versions.node.split(".")[0] < 18 ? 1 : 0)'
}
compiler_is_here() { command -v cc >/dev/null && [ -e /usr/include/stdlib.h ]; }
broker_headers_are_here() { [ -e /usr/include/mosquitto_plugin.h ] && [ -e /usr/include/mosquitto.h ]; }
atomic_is_here() { ls /usr/lib/*/libatomic.so.1 >/dev/null 2>&1; } # the browser driver wants it
faketime_is_here() { ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1; } # sets the clock of one process
chinese_is_here() { ls /usr/share/fonts/*/noto/*CJK* >/dev/null 2>&1; }

install_packages() {
    [ $# -gt 0 ] || return 0
    as_root=
    if [ "$(id -u)" != 0 ]; then
        as_root="sudo -n"
        if ! { command -v sudo && sudo -n true; } >/dev/null 2>&1; then
            echo "setup: missing system packages; run: sudo apt-get install -y --no-install-recommends $*" >&2
            exit 2
        fi
    fi
    if ! command -v apt-get >/dev/null; then
        echo "setup: no apt-get here; install what Debian calls: $*" >&2
        exit 2
    fi
    say "installing $*"
    # Debian starts a broker and a database cluster on install; ours run under a data folder, so its own stay down.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap '$as_root rm -f $policy' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
        $as_root chmod 755 $policy
    fi
    log=.stamps/apt.log
    apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300"
    { $apt update && $apt install --no-install-recommends "$@"; } </dev/null >$log 2>&1 || {
        tail -n 15 $log >&2
        echo "setup: apt-get install $* failed (whole output in $log)" >&2
        exit 2
    }
}

case ${1:-} in
system)
    missing=
    venv_is_here || missing="$missing python3 python3-venv"
    command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
    broker_headers_are_here || missing="$missing mosquitto-dev libmosquitto-dev"
    compiler_is_here || missing="$missing gcc libc6-dev"
    postgres_is_here || missing="$missing postgresql"
    java_is_here || missing="$missing openjdk-17-jre-headless"
    jars_are_here || command -v mvn >/dev/null || missing="$missing maven"
    install_packages $missing
    ;;
system-test)
    missing=
    chromium_is_here || missing="$missing chromium"
    atomic_is_here || missing="$missing libatomic1"
    chinese_is_here || missing="$missing fonts-noto-cjk"
    faketime_is_here || missing="$missing faketime"
    node_is_here || missing="$missing nodejs npm"
    install_packages $missing
    ;;
venv)
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "setup: needs Python 3.11 or newer as python3, found $(python3 --version)" >&2
        exit 2
    fi
    say "Python packages into .venv"
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock </dev/null
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-index --no-deps --no-build-isolation -e . </dev/null
    ;;
kafka)
    if [ -n "${CITYVIGIL_KAFKA_JARS:-}" ]; then
        say "Kafka's jars are taken from $CITYVIGIL_KAFKA_JARS"
        exit 0
    fi
    say "Kafka's jars into .kafka"
    rm -rf .kafka.new
    mvn -q -B -ntp -f kafka-jars/pom.xml dependency:copy-dependencies -DoutputDirectory="$PWD/.kafka.new" \
        </dev/null >.stamps/mvn.log 2>&1 || {
        tail -n 15 .stamps/mvn.log >&2
        echo "setup: mvn could not fetch Kafka's jars (whole output in .stamps/mvn.log)" >&2
        exit 2
    }
    (cd .kafka.new && sha256sum --quiet --strict -c ../kafka-jars/SHA256SUMS)
    rm -rf .kafka
    mv .kafka.new .kafka
    ;;
broker)
    say "the broker's plugin into .mosquitto"
    mkdir -p .mosquitto
    # Without a C library, as in the Dockerfile: the broker of compose is built with another one.
    cc -std=c99 -Wall -Wextra -Werror -O2 -shared -fPIC -nostdlib -fno-stack-protector \
        -o .mosquitto/log_in_names.new cityvigil/log_in_names.c
    mv .mosquitto/log_in_names.new .mosquitto/log_in_names.so
    ;;
detectors)
    say "the detectors' machine code into detectors/__pycache__"
    .venv/bin/python -m detectors.ready
    ;;
timescale)
    say "TimescaleDB in WebAssembly, for tests, into tests/timescale/node_modules"
    (cd tests/timescale && npm ci --ignore-scripts --no-audit --no-fund) </dev/null >.stamps/npm.log 2>&1 || {
        tail -n 15 .stamps/npm.log >&2
        echo "setup: npm ci in tests/timescale failed (whole output in .stamps/npm.log)" >&2
        exit 2
    }
    ;;
clients)
    # Clients that others wrote, for tests: each brings a paho of its own, so each has an environment of its own.
    for client in sparkplug thingsboard; do
        say "the $client client, for tests, into .venv-clients/$client"
        rm -rf ".venv-clients/$client"
        python3 -m venv --without-pip ".venv-clients/$client"
        pip=".venv/bin/python -m pip --python .venv-clients/$client/bin/python --disable-pip-version-check"
        { # one comes as source: what builds it is pinned too
            $pip install -q --require-hashes -r tests/clients/build.lock &&
                $pip install -q --require-hashes --no-build-isolation --use-pep517 -r "tests/clients/$client.lock"
        } </dev/null >.stamps/clients.log 2>&1 || {
            tail -n 15 .stamps/clients.log >&2
            echo "setup: pip could not install tests/clients/$client.lock (whole output in .stamps/clients.log)" >&2
            exit 2
        }
    done
    ;;
*)
    sed -n '2,4p' "$0" >&2
    exit 2
    ;;
esac
touch ".stamps/$1"
