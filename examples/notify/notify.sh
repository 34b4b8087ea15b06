#!/bin/sh
# Called by vrrpd after a change of state:
#
#   notify.sh INSTANCE|GROUP NAME ACTIVE|BACKUP|FAULT|STOP PRIORITY
#
# It must be executable, and writable by root alone:
#
#   install -D -o root -g root -m 0755 notify.sh /etc/vrrpd/notify.sh

kind=$1 name=$2 state=$3 priority=$4

logger -t vrrpd-notify "$kind $name is now $state (priority $priority)"

case $state in
    ACTIVE) ;; # start what must run beside the address: a cron job, a replication master
    BACKUP | FAULT | STOP) ;; # and stop it here
esac
