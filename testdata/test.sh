#!/usr/bin/env bash
# Everything that must pass, on a bare Debian machine that has Go and root (or sudo).
#   testdata/test.sh          installs what is missing, builds the lab's roots, runs vet, lint and all tests
#   testdata/test.sh --fast   leaves out what needs the lab's hosts, the tests that take long, and the race detector, which
#                             makes the rest several times as slow
# What follows a -- is given to every go test, so that  testdata/test.sh -- -run TestMainJob  runs one test of the lab.
set -euo pipefail
cd "$(dirname "$0")/.."

# slow are the tests that --fast leaves out, most of them since they work with real servers for many seconds; the full
# command runs them.
slow=(
  # cmd
  TestKilledAtAnyMoment TestAHungArchiverHoldsNobody TestTenThousandSegmentsThroughOneArchiver TestPlacesThatAnArchiverCannotUse
  TestANodeBacksUpAndRestoresARealServer TestLowLimits
  # executor
  TestAbortedAtEveryStep TestLostConnections TestBackupsAndWhatComesOfThem TestClusterFromBackupOfAnother TestRestoreThatIsCutOff
  TestDeltaThatIsCutOff TestDeltaThatFailsInItsMiddle TestSeveralArchives TestArchive TestMoveAside TestOverSSH
  TestADeltaThatIsCutOffBeforeItsRecoveryIsSetUpIsNotOpened TestARestoreKeepsWALOnItsDisk
  TestABackupThatIsEndedAtAnyMomentIsNone TestARestoreThatIsEndedAtAnyMomentIsTakenUp TestAVerifyThatIsEndedFindsNoDamage
  TestAnExpiryThatIsEndedAtAnyMomentLeavesWhatIsListedWhole TestBackupsExpiryRestoreAndVerifyAllAtOnce
  # executor/basebackup
  TestAnOlderServerBuildsUponAYoungerParent TestChainIsWhatTheServerWas TestFailingArchiveIsNamed TestFullBackupUnderLoad
  TestIdlePrimaryDoesNotHang TestIncrementalBackup TestOutageOfTheArchivePasses TestArchiveElsewhereIsNotAwaitedForEver
  TestServerWithoutArchivingIsRefused TestStandbyIsBackedUpWhileItsPrimaryIsIdle TestWrongServersAreRefused
  TestChecksumsTurnedOnBetweenBackups TestIncrementalOfAServerThatWentBack TestServerThatDiesBehindTheCopyIsWaitedFor
  TestSessionThatIsKilledEndsTheBackup TestKilledBackupIsNotListed TestTwoBackupsAtOnceOfOneInstance
  TestStandbyThatIsRestartedEndsTheBackup TestServerThatComesBackEndsTheBackup TestFullDiskOfTheNodeEndsAnIncrementalBackup
  TestFileThatTheDiskCannotReadEndsTheBackup TestFullBackupIsRestoredByTarAlone TestManySmallFiles
  TestAServerIsNotOpenedBeforeItIsKnownWhereItsRecoveryEnds TestARecoveryStopsAtATablespaceThatIsNewerThanTheBackup
  TestADrillDoesNothingOfWhatTheSourceDoesByItself TestWALThatAStandbyHasReceivedIsNoArchivedWAL
  TestWALThatIsNotKeptIsTold TestATablespaceBehindARelativeLinkIsNotLeftOut TestServerThatIsKilledEndsTheBackup
  TestADrillProvesABackupAndLeavesNothing TestADrillLeavesTheTablespacesOfTheSourceAlone TestWhatIsWrongWithABackupIsAProblem
  TestAfterAKillTheNextDrillClearsAwayServerAndFiles TestPostgreSQLEndsRecoveryWhereTheSettingsSay TestTarAndZstdAloneRestoreAFullBackup
  TestIncrementalBackups TestServersOwnManifest TestColdBackup TestPostgreSQLFindsARestoredClusterWhole TestAKilledDeltaIsTakenUp
  # executor/repo, executor/remote
  TestConformanceThroughSSHD TestReadCut TestRangeCut TestRealServer TestLeashKillsTheDefiant
  TestConformanceWithoutPrefix TestConformanceOfUploadsInParts TestFUSEWithoutNoReplace TestBigStreams
  # executor/wal
  TestPostgreSQL TestPostgreSQLAndItsArchiver TestEveryTarget TestSignals TestWALOfARealServer TestWhatIsLocatedIsWhatPgWaldumpTells
  # schema
  TestFunctionsTakeAnything
)
slow="^($(IFS='|'; echo "${slow[*]}"))\$"

args=("$@")
fast=
if [ "${1-}" = --fast ]; then
  fast=1
  shift
fi
case ${1-} in
'') ;;
--) shift ;;
*) echo "usage: $0 [--fast] [-- ARGUMENTS OF go test]" >&2; exit 1 ;;
esac
extra=("$@")
# go's cache of results knows nothing of the programs that tests build and run; only --fast may take results from it.
[ -n "$fast" ] || extra=(-count=1 ${extra[@]+"${extra[@]}"})

export PATH="$PATH:/usr/local/go/bin:/usr/sbin:/sbin"
if ! command -v go >/dev/null; then
  echo "$0: Go is missing: see https://go.dev/doc/install, or put it on PATH" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "$0: the tests make hosts of their own out of namespaces and need root: run it as root, or install sudo" >&2
    exit 1
  fi
  exec sudo env "PATH=$PATH" "CI=${CI-}" "PG_MANAGE_LAB_CACHE=${PG_MANAGE_LAB_CACHE-}" \
    "GOFLAGS=${GOFLAGS-}" "GOPROXY=${GOPROXY-}" bash testdata/test.sh ${args[@]+"${args[@]}"}
fi
export HOME="${HOME:-/root}" CGO_ENABLED=1
export GOFLAGS="${GOFLAGS-} -buildvcs=false" # the work tree may belong to another user, which git refuses

# --- what must be installed ---------------------------------------------------------------------------------------------
missing=()
want() { # want PROGRAM PACKAGE...
  command -v "$1" >/dev/null || missing+=("${@:2}")
}
want gcc gcc libc6-dev # the race detector links with it
want ip iproute2
want ssh openssh-client
want sshd openssh-server
want ps procps
want sudo sudo
want nsenter util-linux
want mount mount
want age age
want zstd zstd
want lz4 lz4
want gzip gzip
want bindfs bindfs
want mkfs.ext4 e2fsprogs
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
[ -n "$fast" ] || want debootstrap debootstrap debian-archive-keyring
postgres=
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || postgres=1

policy=/usr/sbin/policy-rc.d
own_policy=
work=$(mktemp -d)
roots=()
cleanup() {
  [ -z "$own_policy" ] || rm -f "$policy"
  for pid in ${roots[@]+"${roots[@]}"}; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

if [ ${#missing[@]} -gt 0 ] || [ -n "$postgres" ]; then
  if ! command -v apt-get >/dev/null; then
    echo "$0: please install: ${missing[*]} ${postgres:+postgresql}" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  if [ ! -e "$policy" ]; then # nothing that is installed here shall start a service on this machine
    own_policy=1
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  install() { apt-get install -y -q --no-install-recommends "$@" </dev/null >"$work/apt.log" 2>&1 || { cat "$work/apt.log"; return 1; }; }
  echo "== install ${missing[*]} ${postgres:+postgresql}"
  apt-get update -q >"$work/apt.log" 2>&1 || { cat "$work/apt.log"; exit 1; }
  [ ${#missing[@]} -eq 0 ] || install "${missing[@]}"
  if [ -n "$postgres" ]; then
    install postgresql-common
    conf=/etc/postgresql-common/createcluster.conf # the package would make and start a cluster "main"
    grep -q '^create_main_cluster *= *false' "$conf" 2>/dev/null || echo 'create_main_cluster = false' >>"$conf"
    install postgresql
  fi
  [ -z "$own_policy" ] || rm -f "$policy"
  own_policy=
fi

# --- the tests ----------------------------------------------------------------------------------------------------------
failed=()
step() { # step NAME COMMAND...
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  if "$@"; then
    echo "== $name: ok, $((SECONDS - start)) s"
  else
    failed+=("$name")
    echo "== $name: FAILED, $((SECONDS - start)) s"
  fi
}

formatted() {
  local out
  out=$(go tool gofumpt -l . "${testdata[@]}" | sort -u) || return 1
  [ -z "$out" ] || { echo "not formatted, run go tool gofumpt -w on:"; echo "$out"; return 1; }
}

built() { # the roots are built beside the other steps
  local pid rc=0
  for pid in "${roots[@]}"; do wait "$pid" || rc=1; done
  roots=()
  return $rc
}

# ./... leaves testdata out
mapfile -t testdata < <(find ./testdata -name '*.go' -printf '%h\n' | sort -u)

if [ -z "$fast" ]; then
  go build -o "$work/lab" ./testdata/lab/cmd/lab
  for suite in trixie bookworm bullseye sid; do
    "$work/lab" base "$suite" &
    roots+=($!)
  done
fi
step vet go vet ./... "${testdata[@]}"
[ -n "$fast" ] || step "vet for arm64" env GOARCH=arm64 CGO_ENABLED=0 go vet ./...
step gofumpt formatted
step staticcheck go tool staticcheck ./... "${testdata[@]}"
how=(-race)
[ -z "$fast" ] || how=(-skip "$slow")
step "unit tests" go test -timeout 30m -parallel 4 "${how[@]}" ${extra[@]+"${extra[@]}"} ./...
if [ -z "$fast" ]; then
  step "lab roots" built
  step "lab tests" go test -race -timeout 55m -parallel 3 ${extra[@]+"${extra[@]}"} "${testdata[@]}"
fi

if [ ${#failed[@]} -gt 0 ]; then
  printf '== FAILED:'
  printf ' %s;' "${failed[@]}"
  echo
  exit 1
fi
echo "== all passed, $SECONDS s"
