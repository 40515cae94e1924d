# Two images: `cpu` holds the locked CPU environment with the embedded models, `gpu` vLLM for CUDA.
#   docker build --target cpu --tag overthink:cpu .
FROM python:3.11-slim-bookworm AS base
# vLLM's CPU kernels link to libnuma; Triton and torch compile kernels when they are first used; programs that models
# write run in bubblewrap.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap g++ libnuma1 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home overthink \
    && mkdir --parents /store /home/overthink/.cache/huggingface \
    && chown --recursive overthink /store /home/overthink
WORKDIR /app

FROM base AS gpu
RUN pip install --no-cache-dir "vllm>=0.32,<0.34" "prefect>=3.7.7,<3.7.8"
COPY . .
RUN pip install --no-cache-dir --editable ".[gpu]"
USER overthink

# As in the Makefile: the lock is complete and is installed without resolving.
FROM base AS cpu
COPY requirements/cpu.txt requirements/cpu.txt
RUN pip install --no-cache-dir --no-deps --requirement requirements/cpu.txt
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
USER overthink
