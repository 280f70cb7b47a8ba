# What ./quickstart and ./test share. Sourced, not run.

say() { printf '\n\033[1;34m==>\033[0m %s\n' "$*"; }
die() { printf '\033[1;31merror:\033[0m %s\n' "$*" >&2; exit 1; }

AWS_CLI_VERSION=1.46.2

# install COMMAND=PACKAGE…: install the packages whose command is missing.
install() {
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || [ -e "${pair%%=*}" ] || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "root is needed to install: ${missing[*]}"
  say "Installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

install_for_running() {
  export PATH=$PATH:/usr/sbin:/sbin
  install containerd=containerd crun=crun nft=nftables ip=iproute2 iptables=iptables protoc=protobuf-compiler \
    /usr/include/google/protobuf/any.proto=libprotobuf-dev cc=build-essential curl=curl skopeo=skopeo
  command -v cargo >/dev/null || die "Rust is needed: a cargo of 1.95 or newer"
}

# Version 1 from PyPI, in an environment of its own, and Debian's version 2 for `aws logs tail`.
install_aws_cli() {
  export PATH=$PWD/.venv/bin:$PATH
  install /usr/bin/aws=awscli
  [ -x .venv/bin/aws ] && return 0
  say "Installing the AWS CLI into .venv"
  python3 -m venv .venv || { install /nonexistent=python3-venv; python3 -m venv .venv; }
  PYTHONDONTWRITEBYTECODE= .venv/bin/pip install --quiet --disable-pip-version-check "awscli==$AWS_CLI_VERSION" boto3
}

build_release() {
  say "Building longshore (some minutes the first time)"
  cargo build --release --locked
}

build_image() {
  say "Making the example image"
  cargo xtask image
}

BOTOCORE_VERSION=1.44.5

# The release of AWS's signer whose source package holds the signature cases.
AWS_SIGV4_VERSION=1.6.4

# What plays S3 in the tests of the registry in a bucket.
MOTO_VERSION=5.2.5

# pytest, botocore's own protocol cases (in its source package only), and the signature cases of AWS's signer for Rust.
install_test_tools() {
  .venv/bin/python -c 'import pytest' 2>/dev/null || .venv/bin/pip install --quiet --disable-pip-version-check pytest
  local cases=build/botocore-$BOTOCORE_VERSION/tests/unit/protocols
  if [ ! -d "$cases" ]; then
    say "Fetching botocore's protocol cases"
    mkdir -p build
    .venv/bin/pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest build \
      "botocore==$BOTOCORE_VERSION"
    tar -xzf "build/botocore-$BOTOCORE_VERSION.tar.gz" -C build
  fi
  export LONGSHORE_BOTOCORE_CASES=$PWD/$cases
  fetch_signature_cases
  install_moto
}

# In an environment of its own: its boto3 need not be the AWS CLI's.
install_moto() {
  [ ! -x build/moto/bin/moto_server ] || return 0
  say "Installing moto into build/moto"
  rm -rf build/moto
  python3 -m venv build/moto
  PYTHONDONTWRITEBYTECODE= build/moto/bin/pip install --quiet --disable-pip-version-check "moto[s3]==$MOTO_VERSION" flask flask-cors
}

# A manifest that nothing is built from: cargo fetches the package's source and says where it lies.
fetch_signature_cases() {
  local manifest=build/signature-cases/Cargo.toml
  mkdir -p build/signature-cases/src
  : >build/signature-cases/src/lib.rs
  cat >"$manifest" <<END
[package]
name = "signature-cases"
edition = "2024"
[dependencies]
aws-sigv4 = { version = "=$AWS_SIGV4_VERSION", default-features = false }
[workspace]
END
  local source
  source=$(cargo metadata --quiet --format-version 1 --manifest-path "$manifest" |
    .venv/bin/python -c 'import json, sys
print(next(one["manifest_path"] for one in json.load(sys.stdin)["packages"] if one["name"] == "aws-sigv4"))')
  ln -sfn "${source%/Cargo.toml}/aws-signing-test-suite" build/signature-cases/suite
}

build_test_image() { cargo xtask image busybox; }

# Ids of the default VPC and of its subnets, these comma-separated.
default_network() {
  aws ec2 describe-subnets --query '[Subnets[0].VpcId, join(`,`, Subnets[].SubnetId)]' --output text
}
