# Sourced by scripts/demo and scripts/test: virtual environments that are made once, and again when what they are made from changes.
# Expects $root, the top of the checkout.

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# retry COMMAND...: three times, for networks fail now and then.
retry() {
  local try
  for try in 1 2 3; do
    if "$@"; then return 0; fi
    if [ "$try" -lt 3 ]; then
      echo "${0##*/}: failed; trying again in $((try * 5)) s ..." >&2
      sleep $((try * 5))
    fi
  done
  return 1
}

# with_venv PYTHON...: print the first of them that is new enough and can make virtual environments.
with_venv() {
  local python
  for python in "$@"; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10)); ' 2>/dev/null &&
      "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      echo "$python"
      return 0
    fi
  done
  return 1
}

# make_venv FOLDER PYTHON...: an empty environment, unless a working one is there.
make_venv() {
  local folder=$1 python
  shift
  if "$folder/bin/python" -m pip --version >/dev/null 2>&1; then return 0; fi
  if ! python=$(with_venv "$@"); then
    fail "aura-edge needs Python 3.10 or newer with venv; found $({ command -v python3 >/dev/null && python3 --version; } 2>&1 || echo 'no python3')." \
      "Install it (Debian and Ubuntu: sudo apt install python3 python3-venv), then run this again."
  fi
  rm -rf -- "$folder"
  "$python" -m venv "$folder"
}

# The checkout's place belongs to it: an environment does not survive being moved.
fingerprint() {
  (cd "$root" && echo "$root" && cat -- "$@") | cksum
}

# is_made FOLDER FILE...: whether the environment was finished, from these very files.
is_made() {
  local folder=$1
  shift
  [ -x "$folder/bin/python" ] && [ "$(cat -- "$folder/made-from" 2>/dev/null)" = "$(fingerprint "$@")" ]
}

# mark_made FOLDER FILE...: the environment is finished.
mark_made() {
  local folder=$1
  shift
  fingerprint "$@" >"$folder/made-from"
}
