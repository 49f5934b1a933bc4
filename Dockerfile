# The image of vicreg serve on the CPU: docker build -t vicreg .
# and on an NVIDIA GPU: docker build -t vicreg:cuda --target cuda .
# How to run them is in scripts/deploy/README.md. Every step is a script of
# scripts/docker, and scripts/docker/test.sh runs them without a container engine.
#
# The bases are named by tags, which get security fixes without a change here, and so are
# not the same bytes for ever. For builds that are, pin each by its digest: what
#     docker buildx imagetools inspect --format '{{.Manifest.Digest}}' debian:bookworm-slim
# prints goes behind the tag, FROM debian:bookworm-slim@sha256:..., and has to be renewed
# by hand or by a program such as Renovate.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY scripts/docker/build-packages.sh scripts/docker/
RUN scripts/docker/build-packages.sh
COPY scripts/get-onnxruntime.sh scripts/
COPY scripts/docker/onnxruntime.sh scripts/docker/modules.sh scripts/docker/
RUN scripts/docker/onnxruntime.sh
COPY go.mod go.sum ./
RUN scripts/docker/modules.sh
COPY . .
RUN scripts/docker/build.sh

# ONNX Runtime for CUDA is ten times as large, and fetched for that image only.
FROM golang:1.26-bookworm AS runtime-cuda
WORKDIR /src
COPY scripts/docker/build-packages.sh scripts/docker/
RUN scripts/docker/build-packages.sh
COPY scripts/get-onnxruntime.sh scripts/
COPY scripts/docker/onnxruntime-cuda.sh scripts/docker/
RUN scripts/docker/onnxruntime-cuda.sh

# CUDA of the version that ONNX Runtime is built for, and cuDNN. Ubuntu 24.04 has a
# newer glibc than the Debian that the program was linked on; 22.04 has an older one.
FROM nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04 AS cuda
WORKDIR /usr/local/share/vicreg
COPY LICENSE THIRD_PARTY_NOTICES.md ./
COPY scripts/docker/runtime-packages.sh scripts/docker/
RUN scripts/docker/runtime-packages.sh
COPY --from=runtime-cuda /out/ /
COPY --from=build /out/usr/local/bin/ /usr/local/bin/
WORKDIR /

ENV VICREG_ONNXRUNTIME=/usr/local/lib/vicreg ORT_DISABLE_TELEMETRY=1
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=2m --retries=3 CMD ["/usr/local/bin/vicreg", "health"]
ENTRYPOINT ["/usr/local/bin/vicreg"]
CMD ["serve", "--device", "cuda", "--model", "/models/backbone.onnx", "--addr", ":8080"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="vicreg" \
      org.opencontainers.image.description="Turns images into vectors over HTTP on an NVIDIA GPU with a backbone that vicreg has pretrained." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"

# Debian, since ONNX Runtime needs glibc; of the release that the program was
# linked on.
FROM debian:bookworm-slim AS cpu
WORKDIR /usr/local/share/vicreg
COPY LICENSE THIRD_PARTY_NOTICES.md ./
COPY scripts/docker/runtime-packages.sh scripts/docker/
RUN scripts/docker/runtime-packages.sh
COPY --from=build /out/ /
WORKDIR /

# ONNX Runtime would report its use to Microsoft, and keep files for that.
ENV VICREG_ONNXRUNTIME=/usr/local/lib/vicreg ORT_DISABLE_TELEMETRY=1
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=2m --retries=3 CMD ["/usr/local/bin/vicreg", "health"]
ENTRYPOINT ["/usr/local/bin/vicreg"]
CMD ["serve", "--model", "/models/backbone.onnx", "--addr", ":8080"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="vicreg" \
      org.opencontainers.image.description="Turns images into vectors over HTTP with a backbone that vicreg has pretrained." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"
