#!/bin/sh
# Dumps the database without its readings into FOLDER, every EVERY_S seconds, and keeps the newest KEEP dumps.
# A dump appears under its name when it is whole. Readings are for a tool that copies the database's files.
set -eu
FOLDER=${FOLDER:-/backups}
dsn=$(cat "$POSTGRES_DSN_FILE")
while :; do
    file=$FOLDER/cityvigil-$(date -u +%Y%m%dT%H%M%SZ).dump
    if pg_dump --format=custom --exclude-table-data='_timescaledb_internal.*' --exclude-table-data='readings_spans.*' \
        --exclude-table-data=reading_texts --file="$file.part" "$dsn"; then
        mv "$file.part" "$file"
        echo "wrote $file"
        ls -1 "$FOLDER"/cityvigil-*.dump | sort -r | tail -n "+$((KEEP + 1))" | while read -r old; do rm -f "$old"; done
    else
        rm -f "$file.part"
        echo "no backup this time: pg_dump failed" >&2
    fi
    sleep "$EVERY_S"
done
