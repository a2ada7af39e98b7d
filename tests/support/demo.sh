#!/usr/bin/env bash
# The README's first command, in an environment without any key: it must end by itself, name both hosts and show both receipts.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
shown=$(env -u MOONSHOT_API_KEY -u KIMI_API_KEY -u ZAI_API_KEY -u GLM_API_KEY XDG_CONFIG_HOME="$home" XDG_DATA_HOME="$home" \
  cargo run --release --quiet --locked -- demo --once)
printf '%s\n' "$shown"
for provider in kimi glm; do
  printf '%s\n' "$shown" | grep -q "receipt: .* via $provider (127.0.0.1:" || { echo "no receipt of $provider"; exit 1; }
done
