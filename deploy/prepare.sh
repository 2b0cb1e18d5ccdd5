#!/bin/sh
# Makes what compose.yaml needs beside itself: passwords in secrets/, and .env.   deploy/prepare.sh [--demo]
# What is there already is left alone, so it can be run again. --demo: the city's clock starts now, 60 times faster.
set -eu
cd "$(dirname "$0")/.."
case ${1:-} in '' | --demo) ;; *) sed -n '2,3p' "$0" >&2; exit 2 ;; esac

# The folder keeps others out; in it the files can be read by the containers' users, whom this machine does not know.
mkdir -p secrets
chmod 700 secrets
make_secret() {
    [ -s "secrets/$1" ] || { printf %s "$2" >"secrets/$1.new" && chmod 444 "secrets/$1.new" && mv "secrets/$1.new" "secrets/$1"; }
}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
make_secret mqtt_password "$(random)"
make_secret push_secret "$(random)"
make_secret postgres_password "$(random)"
make_secret postgres_dsn "postgresql://cityvigil:$(cat secrets/postgres_password)@timescaledb:5432/cityvigil"

if [ ! -e .env ]; then
    {
        echo "# Read by docker compose. A port alone opens it to the network; with 127.0.0.1: it stays on this machine."
        echo "MQTT_PORT=127.0.0.1:1883"
        echo "CONSOLE_PORT=127.0.0.1:8080"
        if [ "${1:-}" = --demo ]; then
            now=$(date +%s)000000
            echo "CITY_CLOCK=$now,$now,60"
            echo "MIGRATE_OPTIONS=--demo"
        fi
    } >.env
fi
if [ "${1:-}" = --demo ] && ! grep -q ^CITY_CLOCK= .env; then
    echo "prepare.sh: .env is there and is not for a demo: move it away first" >&2
    exit 1
fi
echo "secrets/ and .env are ready"
