# aura-edge on an NVIDIA GPU in an x86-64 machine: onnxruntime's CUDA provider, and CUDA from Python. The driver is the host's, 580 or newer.
#   docker build -f docker/cuda.Dockerfile -t aura-edge:cuda .
#   docker run --rm --gpus all aura-edge:cuda doctor
FROM python:3.12-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY aura_edge aura_edge
COPY train train
COPY export export
COPY bench bench
COPY firmware_bridge firmware_bridge
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

# CUDA 13 and cuDNN 9 are what onnxruntime-gpu 1.31 is built for: change them together.
FROM nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04
ARG ONNXRUNTIME_GPU=1.31.1
ARG CUDA_PYTHON=13.0.1
# Versions of the distribution's packages are those of its release: pinned, they vanish from its mirrors at the next security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/aura \
    && useradd --create-home --uid 10001 --groups dialout aura
ENV PATH=/opt/aura/bin:$PATH
COPY --from=wheel /wheel /wheel
# The two onnxruntime packages overwrite each other: the one for CPUs goes before the one for GPUs comes.
RUN pip install --no-cache-dir /wheel/*.whl "cuda-python==${CUDA_PYTHON}" \
    && pip uninstall --yes onnxruntime \
    && pip install --no-cache-dir "onnxruntime-gpu==${ONNXRUNTIME_GPU}" \
    && rm -rf /wheel
USER 10001
# A volume put here belongs to the user, for it starts as a copy of this folder.
RUN mkdir -p /home/aura/.cache
ENTRYPOINT ["aura-edge"]
CMD ["stream", "--demo", "--engine", "ort", "--provider", "cuda"]
