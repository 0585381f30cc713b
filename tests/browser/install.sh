#!/usr/bin/env bash
# Installs what the browser tests drive: Debian's Chromium and its driver (root; Debian or Ubuntu).
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
if command -v chromium > /dev/null && command -v chromedriver > /dev/null; then exit 0; fi
install() { apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 chromium chromium-driver; }
# The lists may be there, missing or too old.
install || { apt-get update -q -o DPkg::Lock::Timeout=300; install; }
