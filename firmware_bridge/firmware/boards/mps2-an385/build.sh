#!/bin/sh
# Builds firmware.elf of this board: build.sh OUT_DIR [RECORDING.npz]
# Needs arm-none-eabi-gcc with newlib, and a Python with numpy. PYTHON=... says which Python, CROSS=... another compiler's prefix, BATCHES=...
# how many messages wait while the wire takes none: 12 s of samples as it is, because in an emulator that runs 70 times too fast they are 0.2 s.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
core=$here/../../core
out=${1:?"build.sh OUT_DIR [RECORDING.npz]: say where the image goes"}
recording=${2:-$here/../../../../aura_edge/data/demo_recording.npz}

mkdir -p "$out"
"${PYTHON:-python3}" "$here/make_motion.py" "$recording" "$out/motion.c"
"${CROSS:-arm-none-eabi-}gcc" -std=c99 -Wall -Wextra -Werror -pedantic -Wconversion \
  -mcpu=cortex-m3 -mthumb -O2 -g -ffreestanding "-DAURA_EDGE_BATCHES=${BATCHES:-240}" -ffunction-sections -fdata-sections \
  -nostartfiles --specs=nano.specs -T "$here/mps2-an385.ld" -Wl,--gc-sections -Wl,--fatal-warnings \
  -I"$core" -I"$here" "$here"/*.c "$out/motion.c" "$core"/*.c -o "$out/firmware.elf"
"${CROSS:-arm-none-eabi-}size" "$out/firmware.elf"
