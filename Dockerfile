# The gateway as an image: docs/DEPLOY.md shows how to run it. Give a digest to pin the base:
#   docker build --build-arg PYTHON=python:3.11-slim@sha256:… -t otp-gateway .
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS build
# With SENTRY_DSN: requirements-sentry.txt
ARG REQUIREMENTS=requirements.txt
WORKDIR /opt/otp-gateway
RUN python3 -m venv --without-pip venv
COPY requirements.txt requirements-sentry.txt /tmp/
RUN python3 -m pip --python venv/bin/python install --no-cache-dir --require-hashes -r /tmp/${REQUIREMENTS}
COPY LICENSE ./
COPY otp_gateway ./otp_gateway
# The user of the gateway cannot write here, so Python cannot do this later.
RUN venv/bin/python -m compileall -q otp_gateway

FROM ${PYTHON}
RUN groupadd --gid 10001 otp-gateway \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin otp-gateway
COPY --from=build /opt/otp-gateway /opt/otp-gateway
WORKDIR /opt/otp-gateway
ENV PATH=/opt/otp-gateway/venv/bin:$PATH
ENV PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:%s/healthz' % (os.environ.get('PORT') or 8000), timeout=2)"]
# gunicorn replaces the shell, so it is process 1 and gets SIGTERM. Logs go to standard output.
CMD ["sh", "-c", "exec python -m otp_gateway serve 2>&1"]
