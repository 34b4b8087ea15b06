#!/bin/sh
# NetworkManager: an active-backup bond with a monitor.
set -e
nmcli connection add type bond con-name bond0 ifname bond0 \
	bond.options "mode=active-backup,miimon=100,updelay=2000,num_grat_arp=1,resend_igmp=1" \
	ipv4.method manual ipv4.addresses 192.168.1.10/24 ipv4.gateway 192.168.1.1
nmcli connection add type ethernet con-name bond0-eth0 ifname eth0 master bond0
nmcli connection add type ethernet con-name bond0-eth1 ifname eth1 master bond0
nmcli connection up bond0-eth0
nmcli connection up bond0-eth1
nmcli connection up bond0
