#!/usr/bin/env bash
# Installs what tests/slurm/cluster.py starts: SLURM, munge, MariaDB (Debian or Ubuntu, root; about 76 MB). No service is
# started: where no policy forbids that already, one does for the time of the installation.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  made=yes
fi
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
packages=(slurmctld slurmd slurm-client munge slurmdbd mariadb-server-core mariadb-client-core iproute2 util-linux)
install() { apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "${packages[@]}"; }
# The lists may be there, missing or too old.
install || { apt-get update -q -o DPkg::Lock::Timeout=300; install; }
