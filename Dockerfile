# The meter alone, for use with a Kafka of its own: see docker-compose.yml. What it is built with stays in the first stage.
FROM python:3.11.16-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS build

WORKDIR /src
COPY requirements-build.lock requirements-run.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-build.lock \
 && python -m venv /opt/meter \
 && /opt/meter/bin/pip install --no-cache-dir --require-hashes -r requirements-run.lock
COPY pyproject.toml README.md LICENSE ./
COPY meter meter
COPY streams streams
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/meter/bin/pip install --no-cache-dir --no-deps /wheels/*.whl \
 && /opt/meter/bin/pip uninstall --yes pip setuptools

FROM python:3.11.16-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7

RUN useradd --system --uid 999 meter && install --directory --owner meter --mode 0700 /data
COPY --from=build /opt/meter /opt/meter

# By number: a cluster that wants no root looks at that.
USER 999
WORKDIR /data
# The dedupe index: lost with the container unless it is a volume, and then read back from usage.priced.
# Nothing else is written, so the root may be read-only.
ENV METER_DATA_DIR=/data PATH=/opt/meter/bin:$PATH PYTHONDONTWRITEBYTECODE=1
VOLUME /data
ENTRYPOINT ["meter"]
