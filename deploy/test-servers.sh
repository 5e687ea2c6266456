#!/usr/bin/env bash
# Brings the servers that the tests start: Apache Kafka's jars (Maven) and Prometheus (Debian or Ubuntu). Quick when they are
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

prometheus() {
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
        return
    fi
    if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
        echo "Prometheus: not installed; as root on Debian or Ubuntu run 'apt-get install prometheus'," \
            "or set DANCERANK_TEST_PROMETHEUS to the path of its binary"
        return
    fi
    echo "==> installing Prometheus"
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus; } </dev/null >/dev/null; then
        echo "Prometheus: apt-get could not install it (see above); try 'apt-get install prometheus' by hand"
    fi
}

kafka_jars
prometheus
