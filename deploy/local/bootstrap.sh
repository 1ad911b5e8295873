#!/bin/sh
# Find a Python that is new enough, then let it install a lock file: bootstrap.sh worker|dev
set -eu
cd "$(dirname "$0")/../.."
for python in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$python" -m deploy.local.bootstrap "$1"
    fi
done
echo "Talkstack needs Python 3.11 or newer, and none was found: install it, or name one with PYTHON=/path/to/python3." >&2
exit 1
