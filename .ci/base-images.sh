#!/usr/bin/env bash
# Finds the base images that the container test needs, or makes stand-ins for them where no image registry can be
# reached: a Debian root made with debootstrap from the package mirror this machine uses, with its own Node and npm
# for the one and Debian's PostgreSQL for the other.
#
# Prints shell assignments for the caller to evaluate on standard output (CONTAINER_TEST_NODE_IMAGE and
# CONTAINER_TEST_POSTGRES_IMAGE, which the test reads); whatever else it has to say goes to standard error. Needs a
# container engine that answers.
# Exit code 3: there are no base images here and none can be made (the reason is on standard error).
set -euo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "$0")" && pwd)

official_node=${CONTAINER_TEST_NODE_IMAGE:-$(sed -n 's/^ARG BASE_IMAGE=//p' "$here/../Dockerfile")}
official_postgres=${CONTAINER_TEST_POSTGRES_IMAGE:-postgres:17}
stand_in_debian=dblink-proxy-ci/debian
stand_in_node=dblink-proxy-ci/node
stand_in_postgres=dblink-proxy-ci/postgres

say() { echo "base-images: $*" >&2; }
give_up() { say "$*"; exit 3; }

have() { docker image inspect "$1" > /dev/null 2>&1; }
obtain() { have "$1" || timeout 300 docker pull --quiet "$1" > /dev/null 2>&1; }

answer() { printf 'export CONTAINER_TEST_NODE_IMAGE=%q CONTAINER_TEST_POSTGRES_IMAGE=%q\n' "$1" "$2"; }
answer_stand_ins() {
  answer "$stand_in_node" "$stand_in_postgres"
  # The image that testcontainers uses to reap what a test leaves behind comes from a registry too.
  echo 'export TESTCONTAINERS_RYUK_DISABLED=true'
}

# The address of the Debian (or Ubuntu) archive as this machine's own package manager knows it.
mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $1" 'Component: main' | sed -n 1p
}

# A minimal root as a tar file, kept in the cache directory for a week.
debian_root() {
  local codename=$1 cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/dblink-proxy tarball uri
  tarball=$cache/$codename-$(dpkg --print-architecture).tar
  if [ -z "$(find "$tarball" -mtime -7 2> /dev/null)" ]; then
    [ "$(id -u)" = 0 ] || give_up "making a base image with debootstrap needs root"
    if ! command -v debootstrap > /dev/null; then
      DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends debootstrap >&2 \
        || give_up "debootstrap cannot be installed"
    fi
    uri=$(mirror "$codename")
    [ -n "$uri" ] || give_up "this machine has no package mirror for $codename"
    say "making a $codename root"
    debootstrap --variant=minbase --include=ca-certificates,libstdc++6 "$codename" "$work/root" "$uri" \
      > "$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log" >&2; give_up "debootstrap failed"; }
    rm -rf "$work/root"/var/lib/apt/lists/* "$work/root"/var/cache/apt/archives/*.deb
    # The certificate authorities that this machine trusts: npm and apt may be reached only through them.
    cp -L /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/ca-certificates.crt"
    mkdir -p "$cache"
    tar -C "$work/root" -cf "$tarball.$$" . && mv "$tarball.$$" "$tarball"
    rm -rf "$work/root"
  fi
  echo "$tarball"
}

# npm's settings that decide where packages come from, without any credentials the user may have in them.
npm_settings() {
  printf 'registry=%s\n' "$(npm config get registry 2> /dev/null)"
  if [ "$(npm config get cafile 2> /dev/null)" != null ]; then
    printf 'cafile=/etc/ssl/certs/ca-certificates.crt\n'
  fi
}

build() {
  local image=$1 context=$2
  docker build --quiet --network host --tag "$image" \
    --build-arg "DEBIAN_IMAGE=$stand_in_debian" \
    --build-arg http_proxy --build-arg https_proxy --build-arg no_proxy "$context" > "$work/build.log" 2>&1 \
    || { tail -n 20 "$work/build.log" >&2; give_up "building $image failed"; }
}

if obtain "$official_node" && obtain "$official_postgres"; then
  answer "$official_node" "$official_postgres"
  exit 0
fi
say "no image registry can be reached: standing $official_node and $official_postgres in from packages"

if have "$stand_in_node" && have "$stand_in_postgres"; then
  answer_stand_ins
  exit 0
fi
command -v apt-get > /dev/null || give_up "stand-ins are made from Debian packages, and there is no apt-get here"
. /etc/os-release
[ -n "${VERSION_CODENAME:-}" ] || give_up "this system does not name its release"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tarball=$(debian_root "$VERSION_CODENAME")
docker import "$tarball" "$stand_in_debian" > /dev/null

mkdir "$work/node"
cp "$here/stand-ins/node/Dockerfile" "$work/node/"
cp -L "$(node -p process.execPath)" "$work/node/node"
cp -RL "$(npm root --global 2> /dev/null)/npm" "$work/node/npm"
npm_settings > "$work/node/npmrc"
say "building the stand-ins"
build "$stand_in_node" "$work/node"
build "$stand_in_postgres" "$here/stand-ins/postgres"

answer_stand_ins
