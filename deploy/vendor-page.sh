#!/usr/bin/env bash
# Brings the libraries of the page (Preact, htm, D3, Observable Plot) from npm into ranking/serving/page/vendor, where they are
# committed: whoever runs dancerank needs neither npm nor the internet. Versions and the SHA-256 of each package are pinned here,
# those of the files that come of them in vendor/SHA256SUMS. After changing a version, run it with --update and read the diff.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../ranking/serving/page/vendor"

command -v npm >/dev/null || { echo "npm is needed to fetch packages: install Node.js (apt-get install npm)" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p licences "$work/npm"

# package NAME VERSION SHA256: fetches, verifies and unpacks it into $work/NAME
package() {
    local name=$1 version=$2 sha256=$3 archive
    archive=$work/npm/$(cd "$work/npm" && npm pack --silent "$name@$version")
    echo "$sha256  $archive" | sha256sum --check --quiet || { echo "$name@$version is not the package that was pinned" >&2; exit 1; }
    mkdir -p "$work/$name"
    tar -xzf "$archive" -C "$work/$name" --strip-components=1
}

# module NAME FILE AS: an ES module, whose imports become relative and whose source map, which is not kept, is not named
module() {
    sed -e 's#from *"preact"#from"./preact.js"#g' -e '/^\/\/# sourceMappingURL=/d' "$work/$1/$2" >"$3"
}

package preact 11.2.0 3c4456766bd32b6b534d52bf4e9c2a29b33e7eedf6e96ed479300ba1a7888ebf
package htm 3.1.1 2425b9bee11409177bcabc7f32e319926fc6690c1701c0b257c88bdff2d5ba90
package d3 7.9.2 f0c1d2c2479907a6e3265370d0fd715f7aef0f561cdd2b415df385ba7df9d1aa
package @observablehq/plot 0.6.17 4dcc9f7afd10caee8b2283c0075a5765610cfbbf6d7d93cdb153b3b5d3501afc

module preact dist/preact.mjs preact.js
module preact hooks/dist/hooks.mjs hooks.js
module htm dist/htm.mjs htm.js
cp "$work/d3/dist/d3.min.js" d3.min.js
cp "$work/@observablehq/plot/dist/plot.umd.min.js" plot.min.js
for name in preact htm d3; do cp "$work/$name/LICENSE" "licences/$name.txt"; done
cp "$work/@observablehq/plot/LICENSE" licences/plot.txt

if [[ ${1:-} == --update ]]; then
    find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS
else
    sha256sum --check --quiet SHA256SUMS
fi
