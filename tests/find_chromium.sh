#!/bin/sh
# Prints the path of a Chromium; installs one where the system's package manager lets us.
find_one() {
  for name in "$CHROMIUM" chromium chromium-browser google-chrome google-chrome-stable; do
    if [ -n "$name" ] && command -v "$name"; then return 0; fi
  done
  mac="/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
  if [ -x "$mac" ]; then echo "$mac"; return 0; fi
  return 1
}

find_one && exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root="sudo -n"; else exit 0; fi
fi
if command -v apt-get >/dev/null; then
  echo "Installing Chromium for the browser tests..." >&2
  { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >&2
elif command -v dnf >/dev/null; then
  $as_root dnf install -y -q chromium >&2
elif command -v apk >/dev/null; then
  $as_root apk add -q chromium >&2
fi
find_one || exit 0
