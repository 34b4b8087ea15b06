#!/bin/sh
# Is nginx serving? Exit status 0: yes, anything else: no. What is printed shows
# up in `vrrpctl status`.
#
#   check_nginx.sh [--fast] [URL]
#
# --fast only asks whether a master process runs. Without it, a page is fetched
# as well, by default http://127.0.0.1/ with curl or wget, whichever is there.
#
# vrrpd runs this without a shell around it and as an unprivileged user, so it
# must be executable and writable by root alone:
#
#   install -o root -g root -m 0755 check_nginx.sh /usr/local/bin/

fast=
if [ "${1:-}" = --fast ]; then
    fast=yes
    shift
fi
url=${1:-http://127.0.0.1/}

# -f: by the whole command line, since the worker processes are named alike.
if ! pgrep -f '^nginx: master' >/dev/null; then
    echo "no nginx master process"
    exit 1
fi
[ -n "$fast" ] && exit 0

# Any answer counts that is no error of the server's (5xx). The time limit of
# the page lies below the timeout of the check, so that the reason is shown.
if command -v curl >/dev/null; then
    status=$(curl --silent --output /dev/null --max-time 0.9 --write-out '%{http_code}' "$url")
elif command -v wget >/dev/null; then
    status=$(wget --quiet --tries=1 --timeout=1 --output-document=/dev/null --server-response "$url" 2>&1 |
        awk '$1 ~ /^HTTP\// { code = $2 } END { print code }')
else
    echo "neither curl nor wget is installed; use --fast"
    exit 1
fi
case $status in
    [1-4][0-9][0-9]) exit 0 ;;
    *)
        echo "$url answers ${status:-nothing}"
        exit 1
        ;;
esac
