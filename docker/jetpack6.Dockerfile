# aura-edge on a Jetson Orin with JetPack 6 (L4T r36.4): TensorRT 10.3, CUDA 12.6 with its compiler.
#   docker build -f docker/jetpack6.Dockerfile -t aura-edge:jetpack6 .        on the Jetson, or on any machine with ARM emulation
#   docker run --rm --runtime nvidia aura-edge:jetpack6 doctor
FROM python:3.12-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY aura_edge aura_edge
COPY train train
COPY export export
COPY bench bench
COPY firmware_bridge firmware_bridge
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM nvcr.io/nvidia/l4t-jetpack:r36.4.0
ARG CUDA_PYTHON=12.9.5
# Versions of the distribution's packages are those of its release: pinned, they vanish from its mirrors at the next security update.
# The environment sees the system's packages, for TensorRT's Python package is one of Debian's form; without it the build ends here.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv --system-site-packages /opt/aura \
    && /opt/aura/bin/python -c "from importlib.util import find_spec; assert find_spec('tensorrt'), 'this image has no TensorRT'" \
    && useradd --create-home --uid 10001 --groups dialout,video aura
ENV PATH=/opt/aura/bin:/usr/local/cuda/bin:$PATH
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir /wheel/*.whl "cuda-python==${CUDA_PYTHON}" \
    && rm -rf /wheel
USER 10001
# Engines are built on the device and kept here: a volume put here belongs to the user, for it starts as a copy of this folder.
RUN mkdir -p /home/aura/.cache
ENTRYPOINT ["aura-edge"]
CMD ["stream", "--demo", "--engine", "trt"]
