#!/usr/bin/env bash
# Brings what the tests start: Apache Kafka's jars (Maven), Prometheus and Chromium (Debian or Ubuntu). Quick when they are
# there. What cannot be had is named with its remedy; the tests that need it are then skipped, or fail under CI=true.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

kafka_jars() {
    local jars=kafka/jars
    if [[ -e $jars/.complete && $jars/.complete -nt kafka/pom.xml ]]; then
        return
    fi
    if ! java_is_new_enough || ! command -v mvn >/dev/null; then
        echo "Apache Kafka: needs Java 17 or later and Maven to fetch its jars;" \
            "install them (apt-get install default-jdk-headless maven) and run $0 again"
        return
    fi
    echo "==> fetching Apache Kafka's jars"
    rm -rf "$jars"
    if mvn --quiet --batch-mode -Dstyle.color=never --file kafka/pom.xml dependency:copy-dependencies </dev/null; then
        touch "$jars/.complete"
    else
        echo "Apache Kafka: Maven could not fetch the jars (see above); check its repository settings and run $0 again"
    fi
}

java_is_new_enough() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') || return 1
    [[ -n $version && $version -ge 17 ]]
}

# installed NAME PACKAGE VARIABLE: installs a package of Debian or Ubuntu, or says how to
installed() {
    local name=$1 package=$2 variable=$3
    if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
        echo "$name: not installed; as root on Debian or Ubuntu run 'apt-get install $package'," \
            "or set $variable to the path of its binary"
        return
    fi
    echo "==> installing $name"
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package"; } </dev/null >/dev/null; then
        echo "$name: apt-get could not install it (see above); try 'apt-get install $package' by hand"
    fi
}

prometheus_server() {
    command -v prometheus >/dev/null && command -v promtool >/dev/null || installed Prometheus prometheus DANCERANK_TEST_PROMETHEUS
}

chromium_browser() {
    command -v "${DANCERANK_TEST_CHROMIUM:-chromium}" >/dev/null || installed Chromium chromium DANCERANK_TEST_CHROMIUM
}

kafka_jars
prometheus_server
chromium_browser
