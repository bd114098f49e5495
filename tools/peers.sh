#!/usr/bin/env bash
# Puts a real Valkey and a real Redis under DIR (default build/peers), for the tests that compare kvcore with them.
#
#   tools/peers.sh [DIR]     prints DIR/bin; afterwards DIR/bin/valkey-server, valkey-cli, valkey-benchmark, redis-server ... work
#
# For Debian and its relatives. The packages of the distribution's newest suite are downloaded through the machine's own apt, with
# its configured mirror and keys, and unpacked, never installed: nothing outside DIR changes. They bring their own C library, so an
# older system runs them too. What is there already is kept. Without apt or a network the script says so and exits 3, and the
# comparing tests skip.
set -euo pipefail

dir=$(realpath -m "${1:-build/peers}")
marker="$dir/bin/.complete"
[ -e "$marker" ] && { echo "$dir/bin"; exit 0; }

give_up() { echo "peers: $1" >&2; exit 3; }
command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up "this needs apt-get and dpkg"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || give_up "$keyring is missing"

# The mirror that this machine is set up with.
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep -v security | grep '/debian/*$' | sort -u | head -n 1) || true
[ -n "$mirror" ] || give_up "apt knows no Debian mirror here"

work="$dir/work"
rm -rf "$work" "$dir/root"
mkdir -p "$work"/{lists/partial,cache/archives/partial,debs} "$dir/root" "$dir/bin"
touch "$work/status"
echo "deb [signed-by=$keyring] $mirror sid main" > "$work/sources.list"
apt=(apt-get -q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State=$work"
     -o "Dir::State::Lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache"
     -o Acquire::Check-Valid-Until=false -o Acquire::Retries=2 -o APT::Sandbox::User=root)
"${apt[@]}" update > "$work/log" 2>&1 || give_up "apt-get update failed: $(tail -n 1 "$work/log")"
(cd "$work/debs" && "${apt[@]}" download valkey-server valkey-tools redis-server redis-tools libc6 libatomic1 liblzf1 \
    libjemalloc2 libsystemd0 libssl3t64 libstdc++6 libgcc-s1 zlib1g libzstd1 > "$work/log" 2>&1) || give_up "download failed: $(tail -n 1 "$work/log")"
for package in "$work"/debs/*.deb; do dpkg -x "$package" "$dir/root"; done

# One wrapper a program: started through the loader and the libraries that came along.
loader=$(find "$dir/root" -name 'ld-linux-*.so.*' -print -quit)
libraries=$(find "$dir/root" \( -name libc.so.6 -o -name 'libjemalloc.so.2' \) -printf '%h\n' | sort -u | paste -sd:)
for program in "$dir"/root/usr/bin/{valkey,redis}-*; do
    name=$(basename "$program")
    cat > "$dir/bin/$name" <<WRAPPER
#!/bin/sh
exec '$loader' --argv0 $name --library-path '$libraries' '$program' "\$@"
WRAPPER
    chmod +x "$dir/bin/$name"
done
rm -rf "$work"
"$dir/bin/valkey-server" --version > /dev/null || give_up "what was unpacked does not run here"
touch "$marker"
echo "$dir/bin"
