#!/usr/bin/env bash
# Makes the images that a build and docker-compose.yml ask a registry for, from Debian's and npm's packages instead: for a place without
# one, and for trying. As root, with debootstrap, npm and a running engine:
#
#   docker/local-images.sh            # capybara-base:local, capybara-postgres:local, capybara-redis:local
#
# capybara-base is Debian with the Node that package.json names, and trusts the certificates that this machine does. The other two take
# the settings that docker-compose.yml gives the official ones, and no others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

suite=${1:-bookworm}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
node=$(sed -n 's/^ *"node": "\([0-9.]*\)",*$/\1/p' package.json)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $(dpkg --print-architecture) in
  amd64) arch=x64 ;;
  arm64) arch=arm64 ;;
  *) echo "There is no Node for $(dpkg --print-architecture) among the packages: expected amd64 or arm64." >&2 && exit 1 ;;
esac

unpack() { # PACKAGE DIRECTORY
  mkdir -p "$2"
  (cd "$work" && npm pack --silent "$1" >/dev/null && tar -xzf ./*.tgz -C "$2" --strip-components=1 --no-same-owner && rm ./*.tgz)
}

debootstrap --variant=minbase --include=ca-certificates "$suite" "$work/root" "$mirror" >"$work/log" || { tail "$work/log" >&2; exit 1; }
unpack "node-linux-$arch@$node" "$work/node"
install -m 755 "$work/node/bin/node" "$work/root/usr/local/bin/node"
unpack npm@11 "$work/root/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/root/usr/local/bin/npm"
cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
tar -C "$work/root" -c . | docker import --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' - capybara-base:local

docker build --network host --tag capybara-postgres:local --file docker/local-postgres.Dockerfile docker
docker build --network host --tag capybara-redis:local --file docker/local-redis.Dockerfile docker
