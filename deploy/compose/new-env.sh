#!/bin/sh
# Print fresh secrets for docker-compose.yml: deploy/compose/new-env.sh >.env
set -eu
umask 077
for name in POSTGRES_PASSWORD AUTH_DATABASE_PASSWORD PROJECTS_DATABASE_PASSWORD CALLS_DATABASE_PASSWORD \
    RABBITMQ_PASSWORD INTERNAL_TOKEN_SECRET ENCRYPTION_KEY; do
    # Letters and digits only: the passwords stand in URLs.
    printf '%s=%s\n' "$name" "$(head -c 512 /dev/urandom | LC_ALL=C tr -dc 'A-Za-z0-9' | cut -c 1-43)"
done
