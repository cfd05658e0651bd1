# A Python bot, as the dating app's: its packages are installed by a first stage; what runs has neither pip's cache nor
# what pip was told. Both the classic builder and BuildKit take it, on Debian's images; Alpine's do as well.
#
# The product file's `build.args` are variables of the build alone. It runs `python -m bot` unless `command` says more.
ARG PYTHON=docker.io/library/python:3.13-slim

FROM ${PYTHON} AS builder
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
ENV PATH=/opt/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN python3 -m venv /opt/venv
# The list of packages comes first: as long as it stays the same, so do the packages.
COPY requirements.tx[t] pyproject.tom[l] .dockyard-ca.cr[t] ./
RUN if [ -f requirements.txt ]; then pip install -r requirements.txt; fi
# ARGS
COPY . .
# The root file system is read-only where this runs: what is not compiled now is compiled at every start.
RUN if [ ! -f requirements.txt ]; then pip install .; fi \
    && rm -f .dockyard-ca.crt \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib /app

FROM ${PYTHON} AS production
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN echo "bot:x:1001:1001::/app:/sbin/nologin" >> /etc/passwd && echo "bot:x:1001:" >> /etc/group
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app ./
USER 1001:1001
# The seed's check of the Python runtime.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 CMD ["python", "-c", "raise SystemExit(0)"]
CMD ["python", "-m", "bot"]
