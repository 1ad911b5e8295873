#!/bin/sh
# Run once by the Postgres image on an empty volume: a role for each service, which owns the schema of its name.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set auth="$AUTH_DATABASE_PASSWORD" --set projects="$PROJECTS_DATABASE_PASSWORD" --set calls="$CALLS_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE auth LOGIN PASSWORD :'auth';
CREATE ROLE projects LOGIN PASSWORD :'projects';
CREATE ROLE calls LOGIN PASSWORD :'calls';
CREATE SCHEMA auth AUTHORIZATION auth;
CREATE SCHEMA projects AUTHORIZATION projects;
CREATE SCHEMA calls AUTHORIZATION calls;
SQL
