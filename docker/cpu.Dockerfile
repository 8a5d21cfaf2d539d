# aura-edge on a CPU, x86-64 or ARM.
#   docker build -f docker/cpu.Dockerfile -t aura-edge:cpu .
#   docker build -f docker/cpu.Dockerfile -t aura-edge:cpu --build-arg EXTRAS=openvino .
FROM python:3.12-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY aura_edge aura_edge
COPY train train
COPY export export
COPY bench bench
COPY firmware_bridge firmware_bridge
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.12-slim-bookworm
# Extras of aura-edge, with commas between them: openvino, parquet, mcap, ...
ARG EXTRAS=
# dialout may open serial ports: start with --device /dev/ttyUSB0.
RUN useradd --create-home --uid 10001 --groups dialout aura
COPY --from=wheel /wheel /wheel
# The one version there is to install is that of the wheel.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir "$(echo /wheel/*.whl)${EXTRAS:+[$EXTRAS]}" \
    && rm -rf /wheel
USER 10001
# A volume put here belongs to the user, for it starts as a copy of this folder.
RUN mkdir -p /home/aura/.cache
ENTRYPOINT ["aura-edge"]
CMD ["stream", "--demo"]
