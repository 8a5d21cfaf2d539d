# aura-edge on a Jetson with JetPack 7, whose user space is that of ARM servers: TensorRT 10.13, CUDA 13.0 with its compiler.
#   docker build -f docker/jetpack7.Dockerfile -t aura-edge:jetpack7 .        on the Jetson, or on any machine with ARM emulation
#   docker run --rm --runtime nvidia aura-edge:jetpack7 doctor
FROM python:3.12-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY aura_edge aura_edge
COPY train train
COPY export export
COPY bench bench
COPY firmware_bridge firmware_bridge
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM nvcr.io/nvidia/tensorrt:25.09-py3
ARG CUDA_PYTHON=13.0.1
# Libraries for older drivers of graphics cards would stand before the Jetson's own driver, which the container runtime brings in.
# Versions of the distribution's packages are those of its release: pinned, they vanish from its mirrors at the next security update.
# hadolint ignore=DL3008
RUN rm -rf /usr/local/cuda/compat \
    && apt-get update \
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
